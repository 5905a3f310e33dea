"""Prefers instances in one zone."""

import json

from componentize_py_types import Err
from wit_world.exports.endpoint_selector import Selection_Among, Selection_Any
from wit_world.imports import candidates

zone = None


class Lifecycle:
    def configure(self, settings):
        """Runs once, before the first request. What it raises as Err goes to the operator."""
        global zone
        zone = json.loads(settings).get("zone")
        if not isinstance(zone, str):
            raise Err("there is no `zone`; name the one to prefer")


class EndpointSelector:
    def select(self, service, handler, traits, count):
        """Runs for each request that several instances could take."""
        # One question for all of them costs less than one each.
        near = candidates.having("zone", zone)
        return Selection_Among(near) if near else Selection_Any()
