"""Calls `com.example.Greeter.greet` by name: the broker knows who serves it."""
import asyncio
import sys
from datetime import timedelta
from urllib.parse import urlparse

from rsocket.extensions.helpers import composite, route
from rsocket.helpers import single_transport_provider
from rsocket.payload import Payload
from rsocket.rsocket_client import RSocketClient
from rsocket.transports.tcp import TransportTCP


async def main(broker):
    connection = await asyncio.open_connection(broker.hostname, broker.port)
    async with RSocketClient(
        single_transport_provider(TransportTCP(*connection)),
        metadata_encoding=b"message/x.rsocket.composite-metadata.v0",
        keep_alive_period=timedelta(seconds=20),
    ) as rsocket:
        # The route travels in the request's metadata: service, dot, method.
        metadata = composite(route("com.example.Greeter.greet"))
        reply = await rsocket.request_response(Payload(b"Python", metadata))
        print(reply.data.decode())


asyncio.run(main(urlparse(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:9999")))
