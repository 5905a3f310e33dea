// A test peer on rsocket-kotlin: `java -jar interop.jar respond|request --broker URI --service NAME`.
//
// The commands and the checks are described in ../README.md. Sends in fragments of 16 KiB; spells the
// registering entries by their full MIME text.

@file:OptIn(ExperimentalMetadataApi::class)

import io.rsocket.kotlin.ExperimentalMetadataApi
import io.rsocket.kotlin.RSocket
import io.rsocket.kotlin.core.CustomMimeType
import io.rsocket.kotlin.core.RSocketConnector
import io.rsocket.kotlin.core.WellKnownMimeType
import io.rsocket.kotlin.keepalive.KeepAlive
import io.rsocket.kotlin.metadata.RoutingMetadata
import io.rsocket.kotlin.metadata.buildCompositeMetadata
import io.rsocket.kotlin.metadata.metadata
import io.rsocket.kotlin.metadata.toBuffer
import io.rsocket.kotlin.payload.Payload
import io.rsocket.kotlin.payload.PayloadMimeType
import io.rsocket.kotlin.payload.buildPayload
import io.rsocket.kotlin.payload.data
import io.rsocket.kotlin.payload.metadata
import io.rsocket.kotlin.transport.RSocketTransportApi
import java.io.FileDescriptor
import java.io.FileOutputStream
import java.io.PrintStream
import java.net.URI
import kotlin.system.exitProcess
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.io.Buffer
import kotlinx.io.writeString

private val APP_INFO = CustomMimeType("message/x.rsocket.application+json")
private val PUBLISHED = CustomMimeType("message/x.rsocket.service.registry.v0+json")

fun main(args: Array<String>): Unit = runBlocking {
    System.setOut(PrintStream(FileOutputStream(FileDescriptor.out), true, Charsets.UTF_8))
    val options = args.drop(1).chunked(2).associate { (name, value) -> name to value }
    val service = options.getValue("--service")
    if (args[0] == "respond") {
        val peer = connect(options, service, Service())
        while (runCatching { peer.requestResponse(payload("$service.ping", ByteArray(0))) }.isFailure) {
            delay(10)
        }
        println("{\"ready\":\"$service\"}")
        // The driver holds our standard input; when it goes away, so do we.
        System.`in`.readAllBytes()
    } else {
        runChecks(connect(options, null, Service()), options)
    }
    exitProcess(0)
}

@OptIn(RSocketTransportApi::class)
private suspend fun connect(options: Map<String, String>, name: String?, handler: RSocket): RSocket {
    val connector = RSocketConnector {
        maxFragmentSize = 16 * 1024
        connectionConfig {
            keepAlive = KeepAlive(number(options, "--keepalive", 20_000), number(options, "--lifetime", 90_000))
            payloadMimeType =
                PayloadMimeType(
                    WellKnownMimeType.ApplicationOctetStream,
                    WellKnownMimeType.MessageRSocketCompositeMetadata,
                )
            if (name != null) setupPayload { registration(name) }
        }
        acceptor { handler }
    }
    return connector.connect(Target(URI(options.getValue("--broker")), options["--ca"]))
}

private fun registration(name: String): Payload {
    val entries = buildCompositeMetadata {
        add(APP_INFO, json("""{"name":"$name"}"""))
        add(PUBLISHED, json("""{"published":["$name"]}"""))
    }
    return buildPayload {
        data("")
        metadata(entries)
    }
}

private fun json(text: String) = Buffer().apply { writeString(text) }

fun payload(route: String, data: ByteArray) = buildPayload {
    data(data)
    metadata(routing(route))
}

fun routing(route: String): Buffer =
    buildCompositeMetadata { add(RoutingMetadata(route)) }.toBuffer()

fun number(options: Map<String, String>, name: String, otherwise: Int) =
    options[name]?.toInt() ?: otherwise
