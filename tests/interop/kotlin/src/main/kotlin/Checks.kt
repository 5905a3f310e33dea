// What a requester checks, one JSON line each: {"service", "name", "ok", "detail"}.

@file:OptIn(ExperimentalStreamsApi::class)

import io.rsocket.kotlin.ExperimentalStreamsApi
import io.rsocket.kotlin.RSocket
import io.rsocket.kotlin.RSocketError
import io.rsocket.kotlin.RequestStrategy
import io.rsocket.kotlin.payload.Payload
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.TimeoutCancellationException
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitAll
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.asFlow
import kotlinx.coroutines.flow.flowOn
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.withTimeout
import kotlinx.io.readByteArray
import kotlinx.io.readString

private const val ENDLESS = Int.MAX_VALUE
private const val TEXT = "no such order: 42 — ünïcode"

/** Only when they are asked for. */
private val ASKED = listOf("idle")

private class Check(val name: String, val seconds: Int, val body: suspend () -> String)

suspend fun runChecks(peer: RSocket, options: Map<String, String>) {
    for (spec in options.getValue("--service").split(",")) {
        val (service, items) = (spec.split(":") + "1000").take(2)
        Subject(peer, service, items.toInt(), options).run()
    }
}

private class Subject(
    val peer: RSocket,
    val service: String,
    val items: Int,
    val options: Map<String, String>,
) {
    val lengths = (1..100).map { it * 10 }

    fun all() =
        listOf(
            Check("rr-0", 10) { echo(0) },
            Check("rr-1k", 10) { echo(1024) },
            Check("rr-1m", 20) { echo(1024 * 1024) },
            Check("rr-metadata", 10, ::metadata),
            Check("rr-empty", 10) { call("empty").also { same(it, ByteArray(0)) }.size.toString() },
            Check("rr-many", 30, ::many),
            Check("stream-credit", 120) { stream(64) },
            Check("stream-endless", 120) { stream(ENDLESS) },
            Check("stream-cancel", 10, ::cancel),
            Check("channel-echo", 20) { channel(lengths) },
            Check("channel-empty", 10) { channel(listOf(5, 0, 5)) },
            Check("channel-64k", 20) { channel(listOf(65_536, 65_537, 65_538)) },
            Check("fnf", 10, ::fireAndForget),
            Check("error-rr", 10) { refused(APPLICATION_ERROR, TEXT) { call("fail", TEXT) } },
            Check("error-custom", 10) { refused(CUSTOM_ERROR, TEXT) { call("fail-custom", TEXT) } },
            Check("error-stream", 10, ::errorInStream),
            Check("unknown-route", 10, ::unknown),
            Check("idle", 60, ::idle),
        )

    suspend fun run() {
        val only = options["--only"]?.split(",")
        val brief = options["--brief"].orEmpty().split(",")
        val skip = options["--skip"].orEmpty().split(",")
        for (check in all()) {
            if (if (only == null) check.name in ASKED else check.name !in only) continue
            if ("$service/${check.name}" in skip) continue
            val limit = if ("$service/${check.name}" in brief) 1 else check.seconds
            val started = TimeSource.Monotonic.markNow()
            val line =
                try {
                    line(check.name, true, withTimeout(limit.seconds) { check.body() })
                } catch (_: TimeoutCancellationException) {
                    line(check.name, false, "nothing after $limit s")
                } catch (error: Throwable) {
                    line(check.name, false, "$error")
                }
            println("$line,\"service\":\"$service\",\"ms\":${started.elapsedNow().inWholeMilliseconds}}")
        }
    }

    suspend fun call(method: String, data: ByteArray): ByteArray =
        peer.requestResponse(payload("$service.$method", data)).data.readByteArray()

    suspend fun call(method: String, data: String = "x") = call(method, data.toByteArray())

    suspend fun count(method: String) = String(call(method)).toInt()

    suspend fun echo(size: Int): String {
        same(call("echo", pattern(size)), pattern(size))
        return "$size B"
    }

    /** The responder sends back the request's metadata as data: the broker must not touch it. */
    suspend fun metadata(): String {
        same(call("echo-metadata"), routing("$service.echo-metadata").readByteArray())
        return ""
    }

    suspend fun many(): String = coroutineScope {
        val sizes = (1..1000).iterator()
        val workers = List(32) { async { while (sizes.hasNext()) echo(sizes.next()) } }
        workers.awaitAll()
        "1000 calls"
    }

    /** Counts numbered items, [step] asked for at a time, and never takes one uncredited. */
    suspend fun stream(step: Int): String {
        val request = "$items ${options["--size"] ?: "0"}"
        val credit = Credit(step, items)
        val numbered = peer.requestStream(payload("$service.range", request.toByteArray()))
        var received = 0
        numbered.flowOn(credit).collect { item ->
            val number = item.data.readString().substringBefore('.')
            check(number == "$received") { "item $received is $number" }
            received += 1
            check(received <= credit.granted) { "$received items for a credit of ${credit.granted}" }
        }
        check(received == items) { "$received items" }
        return "$received items"
    }

    suspend fun cancel(): String {
        val before = count("cancel-count")
        val forever = peer.requestStream(payload("$service.forever", ByteArray(0)))
        forever.flowOn(Credit(16, 0)).take(50).collect(Payload::close)
        until("cancel-count", before + 1)
        return "seen by the responder"
    }

    suspend fun channel(sizes: List<Int>): String {
        val first = payload("$service.echo", pattern(sizes[0]))
        val rest: Flow<Payload> = sizes.drop(1).asFlow().map { bytes(pattern(it)) }
        val got = peer.requestChannel(first, rest).flowOn(Credit(8, sizes.size))
        val received = got.map { it.data.readByteArray() }.toList()
        check(received.size == sizes.size) { "${received.size} items" }
        received.forEachIndexed { i, item -> same(item, pattern(sizes[i])) }
        return "${received.size} items"
    }

    suspend fun fireAndForget(): String {
        val before = count("fnf-count")
        repeat(10) { peer.fireAndForget(payload("$service.count", pattern(it))) }
        until("fnf-count", before + 10)
        return "10 arrived"
    }

    suspend fun errorInStream(): String {
        var received = 0
        refused(APPLICATION_ERROR, TEXT) {
            peer.requestStream(payload("$service.fail-after", TEXT.toByteArray())).collect {
                it.close()
                received += 1
            }
        }
        check(received == 3) { "$received items" }
        return "after 3 items"
    }

    suspend fun unknown() =
        refused(0x204, "RST-900404.*") {
            peer.requestResponse(payload("no.such.service", "x".toByteArray()))
        }

    /** Says nothing for longer than the lifetime that was announced: keepalive alone must do. */
    suspend fun idle(): String {
        delay((number(options, "--lifetime", 90_000) * 5L / 2).milliseconds)
        return echo(100)
    }

    suspend fun until(method: String, wanted: Int) {
        while (count(method) != wanted) delay(10)
    }
}

/** [step] items at a time, and none beyond [total] if there is one. */
private class Credit(val step: Int, val total: Int) : RequestStrategy, RequestStrategy.Element {
    var granted = 0L
        private set

    private var received = 0L

    override fun provide() = this

    override suspend fun firstRequest(): Int = grant()

    override suspend fun nextRequest(): Int {
        received += 1
        return if (received == granted && received != total.toLong()) grant() else 0
    }

    private fun grant(): Int = step.also { granted += it }
}

private suspend fun refused(code: Int, pattern: String, call: suspend () -> Any?): String {
    val error = runCatching { call() }.exceptionOrNull() ?: error("answered instead of refused")
    check(error is RSocketError && error.errorCode == code) { "$error" }
    val text = error.message.orEmpty()
    check(text == pattern || text.matches(Regex(pattern, RegexOption.DOT_MATCHES_ALL))) { text }
    return "0x${code.toString(16)} $text"
}

private fun same(got: ByteArray, wanted: ByteArray) =
    check(got.contentEquals(wanted)) { "${got.size} bytes, or other ones, for ${wanted.size}" }

private fun pattern(size: Int) = ByteArray(size) { (it * 31 + (it shr 8)).toByte() }

private fun line(name: String, ok: Boolean, detail: String): String {
    val text = detail.replace("\\", "\\\\").replace("\"", "\\\"").replace(Regex("\\s+"), " ")
    return "{\"name\":\"$name\",\"ok\":$ok,\"detail\":\"$text\""
}
