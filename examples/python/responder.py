"""Serves `com.example.Greeter` through the broker, over one connection that this program opened."""
import asyncio
import sys
from datetime import timedelta
from urllib.parse import urlparse

from rsocket.extensions.helpers import composite, metadata_item
from rsocket.helpers import create_response, single_transport_provider
from rsocket.payload import Payload
from rsocket.request_handler import BaseRequestHandler
from rsocket.rsocket_client import RSocketClient
from rsocket.transports.tcp import TransportTCP

# Registering: who we are, and what we serve.
APP = b'{"name":"greeter-py"}'
SERVICES = b'{"published":["com.example.Greeter"]}'
REGISTRATION = composite(
    metadata_item(APP, b"message/x.rsocket.application+json"),
    metadata_item(SERVICES, b"message/x.rsocket.service.registry.v0+json"),
)


class Greeter(BaseRequestHandler):
    async def request_response(self, request):
        return create_response(b"Hello, " + request.data + b"!")

    async def on_close(self, rsocket, exception=None):
        sys.exit("the broker has gone")


async def main(broker):
    connection = await asyncio.open_connection(broker.hostname, broker.port)
    async with RSocketClient(
        single_transport_provider(TransportTCP(*connection)),
        handler_factory=Greeter,
        metadata_encoding=b"message/x.rsocket.composite-metadata.v0",
        setup_payload=Payload(None, REGISTRATION),
        keep_alive_period=timedelta(seconds=20),
    ):
        print("serving com.example.Greeter", flush=True)
        await asyncio.Event().wait()


asyncio.run(main(urlparse(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:9999")))
