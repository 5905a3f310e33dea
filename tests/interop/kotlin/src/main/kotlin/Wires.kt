// TCP, TLS and WebSocket on the JDK alone, for the library's core.
//
// The library's own transports are separate artefacts; this peer is about what its core says.

import io.rsocket.kotlin.transport.RSocketClientTarget
import io.rsocket.kotlin.transport.RSocketConnection
import io.rsocket.kotlin.transport.RSocketSequentialConnection
import io.rsocket.kotlin.transport.RSocketTransportApi
import java.io.BufferedOutputStream
import java.io.DataInputStream
import java.io.FileInputStream
import java.net.Socket
import java.net.URI
import java.net.http.HttpClient
import java.net.http.WebSocket
import java.nio.ByteBuffer
import java.security.KeyStore
import java.security.cert.CertificateFactory
import java.util.concurrent.CompletionStage
import javax.net.ssl.SSLContext
import javax.net.ssl.TrustManagerFactory
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.trySendBlocking
import kotlinx.coroutines.future.await
import kotlinx.coroutines.job
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import kotlinx.io.Buffer
import kotlinx.io.readByteArray

/** Frames read ahead, and frames waiting to be written. */
private const val QUEUE = 64

@OptIn(RSocketTransportApi::class)
class Target(private val uri: URI, private val ca: String?) : RSocketClientTarget {
    override val coroutineContext = Job() + Dispatchers.Default

    override suspend fun connectClient(): RSocketConnection =
        withContext(Dispatchers.IO) {
            when (uri.scheme) {
                "tcp" -> Stream(Socket(uri.host, uri.port))
                "tls" -> Stream(trust().socketFactory.createSocket(uri.host, uri.port))
                else -> Messages.connect(uri, if (uri.scheme == "wss") trust() else null)
            }
        }

    private fun trust(): SSLContext {
        val roots = KeyStore.getInstance(KeyStore.getDefaultType()).apply { load(null) }
        val certificate =
            FileInputStream(ca!!).use { CertificateFactory.getInstance("X.509").generateCertificate(it) }
        roots.setCertificateEntry("ca", certificate)
        val factory = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm())
        factory.init(roots)
        return SSLContext.getInstance("TLS").apply { init(null, factory.trustManagers, null) }
    }
}

/** What both have in common: bounded queues between the library and the wire. */
@OptIn(RSocketTransportApi::class)
abstract class Wire : RSocketSequentialConnection, CoroutineScope {
    override val coroutineContext = Job() + Dispatchers.IO
    protected val received = Channel<Buffer>(QUEUE)
    protected val sending = Channel<ByteArray>(QUEUE)

    override suspend fun sendFrame(streamId: Int, frame: Buffer) = sending.send(frame.readByteArray())

    override suspend fun receiveFrame(): Buffer? = received.receiveCatching().getOrNull()
}

/** A length of three bytes before each frame. */
private class Stream(socket: Socket) : Wire() {
    init {
        socket.tcpNoDelay = true
        val (input, output) = DataInputStream(socket.getInputStream().buffered(1 shl 16)) to
            BufferedOutputStream(socket.getOutputStream(), 1 shl 16)
        coroutineContext.job.invokeOnCompletion { socket.close() }
        launch {
            try {
                while (true) {
                    val length = (input.readUnsignedShort() shl 8) or input.readUnsignedByte()
                    val frame = ByteArray(length).also(input::readFully)
                    received.send(Buffer().apply { write(frame) })
                }
            } catch (_: java.io.IOException) {
                received.close()
            }
        }
        launch {
            try {
                for (frame in sending) {
                    output.write(byteArrayOf((frame.size shr 16).toByte(), (frame.size shr 8).toByte(), frame.size.toByte()))
                    output.write(frame)
                    if (sending.isEmpty) output.flush()
                }
            } catch (_: java.io.IOException) {
                sending.cancel()
            }
        }
    }
}

/** One binary message is one frame. */
private class Messages : Wire(), WebSocket.Listener {
    private val frame = Buffer()

    override fun onBinary(socket: WebSocket, data: ByteBuffer, last: Boolean): CompletionStage<*>? {
        frame.write(ByteArray(data.remaining()).also(data::get))
        if (last) received.trySendBlocking(Buffer().apply { transferFrom(frame) })
        socket.request(1)
        return null
    }

    override fun onClose(socket: WebSocket, code: Int, reason: String): CompletionStage<*>? {
        received.close()
        return null
    }

    override fun onError(socket: WebSocket, error: Throwable) {
        received.close()
    }

    companion object {
        suspend fun connect(uri: URI, trust: SSLContext?): Messages {
            val client = HttpClient.newBuilder().apply { trust?.let(::sslContext) }.build()
            val wire = Messages()
            val socket = client.newWebSocketBuilder().buildAsync(uri, wire).await()
            wire.launch {
                for (frame in wire.sending) socket.sendBinary(ByteBuffer.wrap(frame), true).await()
            }
            wire.coroutineContext.job.invokeOnCompletion { socket.abort() }
            return wire
        }
    }
}
