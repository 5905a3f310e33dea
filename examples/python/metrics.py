"""Lets Prometheus see this program through the broker: it publishes `jackfield.Metrics`, whose method `scrape`
answers with text in the Prometheus format. No port of its own."""
import asyncio
import sys
import time
from datetime import timedelta
from urllib.parse import urlparse

from rsocket.extensions.helpers import composite, metadata_item
from rsocket.helpers import create_response, single_transport_provider
from rsocket.payload import Payload
from rsocket.request_handler import BaseRequestHandler
from rsocket.rsocket_client import RSocketClient
from rsocket.transports.tcp import TransportTCP

REGISTRATION = composite(
    metadata_item(b'{"name":"metered-py"}', b"message/x.rsocket.application+json"),
    metadata_item(b'{"published":["jackfield.Metrics"]}', b"message/x.rsocket.service.registry.v0+json"),
)

# In a real program: `prometheus_client`, and `generate_latest()`.
PAGE = """# HELP app_answer What this program knows.
# TYPE app_answer gauge
app_answer{language="python"} 42
# HELP app_uptime_seconds_total How long it has run.
# TYPE app_uptime_seconds_total counter
app_uptime_seconds_total %f
"""


class Metrics(BaseRequestHandler):
    async def request_response(self, request):
        return create_response((PAGE % time.process_time()).encode())

    async def on_close(self, rsocket, exception=None):
        sys.exit("the broker has gone")


async def main(broker):
    connection = await asyncio.open_connection(broker.hostname, broker.port)
    async with RSocketClient(
        single_transport_provider(TransportTCP(*connection)),
        handler_factory=Metrics,
        metadata_encoding=b"message/x.rsocket.composite-metadata.v0",
        setup_payload=Payload(None, REGISTRATION),
        keep_alive_period=timedelta(seconds=20),
    ):
        print("serving jackfield.Metrics", flush=True)
        await asyncio.Event().wait()


asyncio.run(main(urlparse(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:9999")))
