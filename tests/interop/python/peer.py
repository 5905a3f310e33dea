"""A test peer on rsocket-py: `peer.py respond|request --broker URI --service NAME`.

The commands and the checks are described in ../README.md. Sends in fragments of 16 KiB; spells the
registering entries by their full MIME text, because the library knows no id for them.
"""
import argparse
import asyncio
import json
import ssl
import sys
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlparse

import aiohttp
from rsocket.extensions.helpers import composite, metadata_item
from rsocket.extensions.mimetypes import WellKnownMimeTypes
from rsocket.helpers import single_transport_provider
from rsocket.payload import Payload
from rsocket.request_handler import BaseRequestHandler
from rsocket.rsocket_client import RSocketClient
from rsocket.transports.aiohttp_websocket import TransportAioHttpClient
from rsocket.transports.tcp import TransportTCP

from checks import call, run_checks
from service import Service

APP_INFO = b"message/x.rsocket.application+json"
PUBLISHED = b"message/x.rsocket.service.registry.v0+json"


async def main(options):
    loop = asyncio.get_running_loop()
    if options.role == "respond":
        async with connected(options, options.service, Service) as rsocket:
            await routable(rsocket, options.service)
            print(json.dumps({"ready": options.service}), flush=True)
            # The driver holds our standard input; when it goes away, so do we.
            await loop.run_in_executor(None, sys.stdin.read)
    else:
        async with connected(options) as rsocket:
            await run_checks(rsocket, options)


@asynccontextmanager
async def connected(options, name=None, handler_factory=BaseRequestHandler):
    entries = [
        metadata_item(json.dumps({"name": name}).encode(), APP_INFO),
        metadata_item(json.dumps({"published": [name]}).encode(), PUBLISHED),
    ]
    async with RSocketClient(
        single_transport_provider(await transport(options)),
        handler_factory=handler_factory,
        setup_payload=Payload(None, composite(*entries)) if name else None,
        metadata_encoding=WellKnownMimeTypes.MESSAGE_RSOCKET_COMPOSITE_METADATA,
        data_encoding=WellKnownMimeTypes.APPLICATION_OCTET_STREAM,
        keep_alive_period=timedelta(milliseconds=options.keepalive),
        max_lifetime_period=timedelta(milliseconds=options.lifetime),
        fragment_size_bytes=16 * 1024,
        honor_lease=options.lease > 0,
    ) as rsocket:
        yield rsocket


async def transport(options):
    uri = urlparse(options.broker)
    trust = ssl.create_default_context(cafile=options.ca) if options.ca else None
    if uri.scheme in ("tcp", "tls"):
        return TransportTCP(*await asyncio.open_connection(uri.hostname, uri.port, ssl=trust))
    if trust is None:
        return TransportAioHttpClient(options.broker)
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust))
    return TransportAioHttpClient(websocket=await session.ws_connect(options.broker))


async def routable(rsocket, name):
    """Until a call to our own service comes back to us through the broker."""
    while True:
        try:
            await call(rsocket, f"{name}.ping", b"")
            return
        except Exception:
            await asyncio.sleep(0.01)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("role", choices=["respond", "request"])
    parser.add_argument("--broker", required=True)
    parser.add_argument("--service", required=True)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--brief", default="")
    parser.add_argument("--skip", default="")
    parser.add_argument("--lease", type=int, default=0)
    parser.add_argument("--ca")
    parser.add_argument("--keepalive", type=int, default=20_000)
    parser.add_argument("--lifetime", type=int, default=90_000)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main(arguments()))
