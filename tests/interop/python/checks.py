"""What a requester checks, one JSON line each: {"service", "name", "ok", "detail"}."""
import asyncio
import json
import re
import time

from reactivestreams.publisher import Publisher
from reactivestreams.subscriber import Subscriber
from reactivestreams.subscription import Subscription
from rsocket.exceptions import RSocketProtocolError
from rsocket.extensions.helpers import composite, route
from rsocket.payload import Payload

from service import APPLICATION_ERROR, CUSTOM_ERROR

ENDLESS = 0x7FFFFFFF
TEXT = "no such order: 42 — ünïcode"


# Only when they are asked for.
ASKED = ["idle", "leased"]


async def run_checks(rsocket, options):
    for spec in options.service.split(","):
        service, _, items = spec.partition(":")
        checks = Checks(rsocket, service, int(items or 1000), options)
        await run_all(checks, service, options)


async def run_all(checks, service, options):
    only, brief, skip = (text.split(",") for text in (options.only, options.brief, options.skip))
    for name, seconds, check in checks.all():
        if name in ASKED if only == [""] else name not in only:
            continue
        if f"{service}/{name}" in skip:
            continue
        limit = 1 if f"{service}/{name}" in brief else seconds
        started = time.monotonic()
        try:
            detail = await asyncio.wait_for(check(), limit)
            line = {"name": name, "ok": True, "detail": detail or ""}
        except asyncio.TimeoutError:
            line = {"name": name, "ok": False, "detail": f"nothing after {limit} s"}
        except Exception as error:
            line = {"name": name, "ok": False, "detail": f"{type(error).__name__}: {error}"}
        line["service"] = service
        line["ms"] = round((time.monotonic() - started) * 1000)
        print(json.dumps(line), flush=True)


class Checks:
    def __init__(self, rsocket, service, items, options):
        self.rsocket = rsocket
        self.service = service
        self.items = items
        self.size = options.size
        self.lifetime = options.lifetime / 1000

    def all(self):
        return [
            ("rr-0", 10, lambda: self.echo(0)),
            ("rr-1k", 10, lambda: self.echo(1024)),
            ("rr-1m", 20, lambda: self.echo(1024 * 1024)),
            ("rr-metadata", 10, self.metadata),
            ("rr-empty", 10, self.empty),
            ("rr-many", 30, self.many),
            ("stream-credit", 120, lambda: self.stream(64)),
            ("stream-endless", 120, lambda: self.stream(ENDLESS)),
            ("stream-cancel", 10, self.cancel),
            ("channel-echo", 20, lambda: self.channel(range(10, 1010, 10))),
            ("channel-empty", 10, lambda: self.channel([5, 0, 5])),
            ("channel-64k", 20, lambda: self.channel([65_536, 65_537, 65_538])),
            ("fnf", 10, self.fire_and_forget),
            ("error-rr", 10, lambda: self.error("fail", APPLICATION_ERROR)),
            ("error-custom", 10, lambda: self.error("fail-custom", CUSTOM_ERROR)),
            ("error-stream", 10, self.error_in_stream),
            ("unknown-route", 10, self.unknown_route),
            ("idle", 60, self.idle),
            ("leased", 60, self.leased),
        ]

    def call(self, method, data=b"x"):
        return call(self.rsocket, f"{self.service}.{method}", data)

    async def count(self, method):
        return int((await self.call(method)).data)

    def request(self, method, data, initial, sink):
        payload = Payload(data, metadata(f"{self.service}.{method}"))
        self.rsocket.request_stream(payload).initial_request_n(initial).subscribe(sink)

    async def echo(self, size):
        sent = pattern(size)
        answer = await self.call("echo", sent)
        same(answer.data or b"", sent)
        return f"{size} B"

    async def metadata(self):
        """The responder sends back the request's metadata as data: the broker must not touch it."""
        answer = await self.call("echo-metadata")
        same(answer.data, metadata(f"{self.service}.echo-metadata"))

    async def empty(self):
        same((await self.call("empty")).data or b"", b"")

    async def many(self):
        sizes = iter(range(1, 1001))

        async def worker():
            for size in sizes:
                await self.echo(size)

        await asyncio.gather(*(worker() for _ in range(32)))
        return "1000 calls"

    async def stream(self, step):
        """Counts numbered items, `step` asked for at a time, and never takes one uncredited."""
        sink = Sink(step, self.items)
        self.request("range", f"{self.items} {self.size}".encode(), step, sink)
        await sink.end
        same(sink.received, self.items)
        return f"{sink.received} items"

    async def cancel(self):
        before = await self.count("cancel-count")
        sink = Sink(16, cancel_at=50)
        self.request("forever", b"", 16, sink)
        await sink.end
        while await self.count("cancel-count") != before + 1:
            await asyncio.sleep(0.01)
        return "seen by the responder"

    async def channel(self, sizes):
        sent = [pattern(size) for size in sizes]
        sink = Sink(8, check=lambda i, data: data == sent[i])
        payload = Payload(sent[0], metadata(f"{self.service}.echo"))
        self.rsocket.request_channel(payload, Items(sent[1:])).initial_request_n(8).subscribe(sink)
        await sink.end
        same(sink.received, len(sent))
        return f"{sink.received} items"

    async def fire_and_forget(self):
        before = await self.count("fnf-count")
        for i in range(10):
            payload = Payload(pattern(i), metadata(f"{self.service}.count"))
            await self.rsocket.fire_and_forget(payload)
        while await self.count("fnf-count") != before + 10:
            await asyncio.sleep(0.01)
        return "10 arrived"

    async def idle(self):
        """Says nothing for longer than the lifetime that was announced: keepalive alone must do."""
        await asyncio.sleep(self.lifetime * 2.5)
        return await self.echo(100)

    async def leased(self):
        """More calls than a lease allows: the library holds them until the next one."""
        for size in range(12):
            await self.echo(size)
        return "12 calls"

    async def error(self, method, code):
        return await refused(self.call(method, TEXT.encode()), code, TEXT)

    async def error_in_stream(self):
        sink = Sink(ENDLESS)
        self.request("fail-after", TEXT.encode(), ENDLESS, sink)
        await refused(sink.end, APPLICATION_ERROR, TEXT)
        same(sink.received, 3)
        return "after 3 items"

    async def unknown_route(self):
        answer = call(self.rsocket, "no.such.service", b"x")
        return await refused(answer, 0x204, "RST-900404.*")


class Sink(Subscriber):
    """Takes items in order, within credit; `end` says how the stream ended."""

    def __init__(self, step, total=None, cancel_at=None, check=None):
        self.step = self.granted = step
        self.total = total
        self.cancel_at = cancel_at
        self.check = check or (lambda i, data: int(data.rstrip(b".")) == i)
        self.received = 0
        self.end = asyncio.get_running_loop().create_future()

    def on_subscribe(self, subscription):
        self.subscription = subscription

    def on_next(self, payload, is_complete=False):
        if self.end.done():
            return
        if not self.check(self.received, payload.data or b""):
            return self.stop(AssertionError(f"item {self.received} is {short(payload.data)}"))
        self.received += 1
        if self.received > self.granted:
            text = f"{self.received} items for a credit of {self.granted}"
            return self.stop(AssertionError(text))
        if is_complete:
            self.on_complete()
        elif self.received == self.cancel_at:
            self.stop()
        elif self.received == self.granted and self.received != self.total:
            self.granted += self.step
            self.subscription.request(self.step)

    def stop(self, error=None):
        self.subscription.cancel()
        self.end.set_exception(error) if error else self.end.set_result(None)

    def on_complete(self):
        if not self.end.done():
            self.end.set_result(None)

    def on_error(self, exception):
        if not self.end.done():
            self.end.set_exception(exception)


class Items(Publisher, Subscription):
    """The outgoing half of a channel, one item per credit."""

    def __init__(self, items):
        self.items = list(items)

    def subscribe(self, subscriber):
        self.subscriber = subscriber
        subscriber.on_subscribe(self)

    def request(self, n):
        now, self.items = self.items[:n], self.items[n:]
        for i, item in enumerate(now):
            self.subscriber.on_next(Payload(item), is_complete=not self.items and i == len(now) - 1)

    def cancel(self):
        self.items = []


async def call(rsocket, name, data):
    return await rsocket.request_response(Payload(data, metadata(name)))


def metadata(name):
    return composite(route(name))


async def refused(answer, code, text):
    try:
        await answer
    except RSocketProtocolError as error:
        same(int(error.error_code), code)
        found = error.data
    except RuntimeError as error:  # what the library makes of APPLICATION_ERROR
        same(APPLICATION_ERROR, code)
        found = str(error)
    else:
        raise AssertionError("answered instead of refused")
    if found != text and not re.fullmatch(text, found, re.DOTALL):
        raise AssertionError(f"{found!r} instead of {text!r}")
    return f"0x{code:x} {found}"


def same(found, wanted):
    if found != wanted:
        raise AssertionError(f"{short(found)} instead of {short(wanted)}")


def short(value):
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value)} bytes {value[:32]!r}"
    return repr(value)


def pattern(size):
    return bytes((i * 31 + (i >> 8)) & 0xFF for i in range(size))
