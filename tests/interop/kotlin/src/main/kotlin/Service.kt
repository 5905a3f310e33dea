import io.rsocket.kotlin.ExperimentalMetadataApi
import io.rsocket.kotlin.RSocket
import io.rsocket.kotlin.RSocketError
import io.rsocket.kotlin.metadata.CompositeMetadata
import io.rsocket.kotlin.metadata.RoutingMetadata
import io.rsocket.kotlin.metadata.read
import io.rsocket.kotlin.payload.Payload
import io.rsocket.kotlin.payload.buildPayload
import io.rsocket.kotlin.payload.data
import java.util.concurrent.atomic.AtomicInteger
import kotlinx.coroutines.Job
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.onStart
import kotlinx.io.Buffer
import kotlinx.io.readByteArray
import kotlinx.io.readString

const val APPLICATION_ERROR = 0x201
const val CUSTOM_ERROR = 0x401

/** What every responder serves, in rsocket-kotlin's terms. */
class Service : RSocket {
    override val coroutineContext = Job()
    private val fnf = AtomicInteger()
    private val cancels = AtomicInteger()

    override suspend fun requestResponse(payload: Payload): Payload =
        when (val method = method(payload)) {
            "ping" -> text("pong")
            "echo" -> bytes(payload.data.readByteArray())
            "echo-metadata" -> bytes(payload.metadata!!.readByteArray())
            // The library cannot complete without a payload; an empty one says the same.
            "empty" -> bytes(ByteArray(0))
            "fnf-count" -> text(fnf.toString())
            "cancel-count" -> text(cancels.toString())
            "fail" -> throw RuntimeException(payload.data.readString())
            "fail-custom" -> throw RSocketError.Custom(CUSTOM_ERROR, payload.data.readString())
            else -> throw IllegalArgumentException(method)
        }

    override suspend fun fireAndForget(payload: Payload) {
        payload.close()
        fnf.incrementAndGet()
    }

    override fun requestStream(payload: Payload): Flow<Payload> {
        val words = payload.data.readString()
        return when (val method = method(payload)) {
            "range" -> range(words.split(" ").map(String::toInt))
            "forever" ->
                flow {
                    var i = 0
                    try {
                        while (true) emit(text("${i++}"))
                    } finally {
                        cancels.incrementAndGet()
                    }
                }
            "fail-after" ->
                flow {
                    for (i in 0..2) emit(text("$i"))
                    throw RuntimeException(words)
                }
            else -> throw IllegalArgumentException(method)
        }
    }

    override fun requestChannel(initPayload: Payload, payloads: Flow<Payload>): Flow<Payload> =
        payloads
            .onStart { emit(initPayload) }
            .map { bytes(it.data.readByteArray()) }

    /** Items that begin with their number; the second argument pads them with dots. */
    private fun range(arguments: List<Int>) = flow {
        val size = arguments.getOrElse(1) { 0 }
        for (i in 0 until arguments[0]) emit(text(i.toString().padEnd(size, '.')))
    }
}

@OptIn(ExperimentalMetadataApi::class)
private fun method(payload: Payload): String {
    val entries = payload.metadata!!.copy().read(CompositeMetadata).entries
    val routing = entries.first { it.mimeType == RoutingMetadata.mimeType }
    return routing.content.read(RoutingMetadata).tags.first().substringAfterLast('.')
}

fun text(value: String) = buildPayload { data(value) }

fun bytes(value: ByteArray) = buildPayload { data(Buffer().apply { write(value) }) }
