"""Lets one in ten calls of one app wait."""

import json

from componentize_py_types import Err
from wit_world.exports.chaos import Fault_Delay, Odds, Plan
from wit_world.imports.request import app_is

app = None
delay = 0


class Lifecycle:
    def configure(self, settings):
        """Runs once, before the first request. What it raises as Err goes to the operator."""
        global app, delay
        given = json.loads(settings)
        app, delay = given.get("app"), given.get("delay")
        if not isinstance(app, str):
            raise Err("there is no `app`; name the one that is to wait")
        if not isinstance(delay, int):
            raise Err("there is no `delay`; say how many milliseconds")


class Chaos:
    def disturb(self, service, handler, traits):
        """Runs for each request that goes on.

        The broker throws the dice, of 10000, and carries the fault out; so the plan can be remembered.
        """
        faults = [Odds(1000, Fault_Delay(delay))] if app_is(app) else []
        return Plan(faults, remember=True)
