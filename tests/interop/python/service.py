"""What every responder serves, in rsocket-py's terms."""
import asyncio

from reactivestreams.publisher import Publisher
from reactivestreams.subscriber import Subscriber
from reactivestreams.subscription import Subscription
from rsocket.exceptions import RSocketProtocolError
from rsocket.extensions.composite_metadata import CompositeMetadata
from rsocket.extensions.helpers import require_route
from rsocket.helpers import create_error_future, create_future
from rsocket.payload import Payload
from rsocket.request_handler import BaseRequestHandler

APPLICATION_ERROR = 0x201
CUSTOM_ERROR = 0x401


class Service(BaseRequestHandler):
    def __init__(self):
        self.fnf = 0
        self.cancels = 0

    async def request_response(self, payload):
        answer = getattr(self, "single_" + method(payload))
        try:
            return create_future(Payload(answer(payload)))
        except Exception as error:
            return create_error_future(error)

    async def request_fire_and_forget(self, payload):
        assert method(payload) == "count"
        self.fnf += 1

    async def request_stream(self, payload):
        return Pump(*getattr(self, "stream_" + method(payload))(payload))

    async def request_channel(self, payload):
        assert method(payload) == "echo"
        echo = Echo(payload)
        return echo, echo

    def single_ping(self, _):
        return b"pong"

    def single_echo(self, payload):
        return payload.data

    def single_echo_metadata(self, payload):
        return payload.metadata

    def single_empty(self, _):
        return None

    def single_fnf_count(self, _):
        return str(self.fnf).encode()

    def single_cancel_count(self, _):
        return str(self.cancels).encode()

    def single_fail(self, payload):
        raise RuntimeError(payload.data.decode())

    def single_fail_custom(self, payload):
        raise RSocketProtocolError(CUSTOM_ERROR, payload.data.decode())

    def stream_range(self, payload):
        return numbered(*map(int, payload.data.split())), None

    def stream_forever(self, _):
        return numbered(2**63), self.cancelled

    def stream_fail_after(self, payload):
        return failing(payload.data.decode()), None

    def cancelled(self):
        self.cancels += 1


def method(payload):
    """`service.fnf-count` -> `fnf_count`"""
    route = require_route(CompositeMetadata().parse(payload.metadata))
    return route.rpartition(".")[2].replace("-", "_")


def numbered(count, size=0):
    """Items that begin with their number; `size` pads them with dots."""
    for i in range(count):
        yield str(i).encode().ljust(size, b".")


def failing(text):
    yield from numbered(3)
    raise RuntimeError(text)


class Pump(Publisher, Subscription):
    """An item per credit, yielding now and then, so that the library writes and reads in between.

    The library's own generator stream makes a whole grant of items in one go, whatever its size.
    """

    BATCH = 64

    def __init__(self, items, on_cancel):
        self.items = items
        self.on_cancel = on_cancel
        self.credit = 0
        self.granted = asyncio.Event()

    def subscribe(self, subscriber):
        self.subscriber = subscriber
        subscriber.on_subscribe(self)
        self.task = asyncio.create_task(self.run())

    def request(self, n):
        self.credit += n
        self.granted.set()

    def cancel(self):
        self.task.cancel()
        if self.on_cancel:
            self.on_cancel()

    async def run(self):
        sent = 0
        try:
            for item in self.items:
                while self.credit == 0:
                    self.granted.clear()
                    await self.granted.wait()
                self.credit -= 1
                self.subscriber.on_next(Payload(item))
                sent += 1
                if sent % self.BATCH == 0:
                    await asyncio.sleep(0)
            self.subscriber.on_complete()
        except Exception as error:
            self.subscriber.on_error(error)


class Echo(Publisher, Subscriber, Subscription):
    """Sends back what comes; credit of one direction is credit of the other."""

    def __init__(self, first):
        self.first = first

    def subscribe(self, subscriber):
        self.out = subscriber
        subscriber.on_subscribe(self)

    def on_subscribe(self, subscription):
        self.incoming = subscription

    def request(self, n):
        if self.first is not None:
            self.out.on_next(Payload(self.first.data))
            self.first = None
            n -= 1
        if n > 0:
            self.incoming.request(n)

    def cancel(self):
        self.incoming.cancel()

    def on_next(self, payload, is_complete=False):
        self.out.on_next(Payload(payload.data), is_complete)

    def on_complete(self):
        self.out.on_complete()

    def on_error(self, exception):
        pass
