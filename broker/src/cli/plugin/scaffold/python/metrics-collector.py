"""Asks apps for their metrics by one route."""

import json

from componentize_py_types import Err
from wit_world.exports.metrics_collector import (
    Format,
    Header_Route,
    Interaction,
    Part,
    Question,
    Treatment_Keep,
)

route = None


class Lifecycle:
    def configure(self, settings):
        """Runs once, before the first scrape. What it raises as Err goes to the operator."""
        global route
        route = json.loads(settings).get("route")
        if not isinstance(route, str) or "." not in route:
            raise Err("`route` must be service.method")


class MetricsCollector:
    def greet(self, app):
        """What to say to an app that connects."""
        return None

    def ask(self, app, scrape):
        """What to ask an app; nothing when it does not publish the service."""
        if route.rsplit(".", 1)[0] not in app.services:
            return None
        return Question(Interaction.REQUEST_RESPONSE, Header_Route(route), data=b"", context=b"", review=False)

    def read(self, app, context, reply):
        """Its reply as Prometheus text."""
        if not reply.data:
            raise Err("the page is empty")
        return Part(Format.TEXT, reply.data)

    def on_family(self, app, family):
        """What to do with a family, when the question asked for a review."""
        return Treatment_Keep()

    def on_push(self, app, pushed):
        """What an app sends by itself."""
        return None
