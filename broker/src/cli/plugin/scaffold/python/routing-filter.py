"""Refuses one app."""

import json

from componentize_py_types import Err
from wit_world.exports.routing_filter import Decision, Verdict_Pass, Verdict_Refuse
from wit_world.imports.message import Refusal
from wit_world.imports.request import app_is

app = None


class Lifecycle:
    def configure(self, settings):
        """Runs once, before the first request. What it raises as Err goes to the operator."""
        global app
        app = json.loads(settings).get("app")
        if not isinstance(app, str):
            raise Err("there is no `app`; name the one to refuse")


class RoutingFilter:
    def on_request(self, service, handler, traits):
        """Runs for the first frame of each request that fits the plugin's `match`.

        The decision depends on the caller only, so the broker need not ask again for the same route of the same
        connection.
        """
        if app_is(app):
            return Decision(Verdict_Refuse(Refusal(0x202, "not tonight")), remember=True)
        return Decision(Verdict_Pass(), remember=True)
