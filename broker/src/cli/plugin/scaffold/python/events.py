"""Writes to the log who comes and goes. Needs allow = ["log"]."""

import json

from componentize_py_types import Err
from wit_world.exports.events import Happening_AppConnected, Happening_AppGone
from wit_world.imports.log import Level, write

prefix = None


class Lifecycle:
    def configure(self, settings):
        """Runs once, before the first event. What it raises as Err goes to the operator."""
        global prefix
        prefix = json.loads(settings).get("prefix")
        if not isinstance(prefix, str):
            raise Err("there is no `prefix`")


class Events:
    def on_events(self, events, dropped):
        """Runs with what has happened since the last time, oldest first."""
        for event in events:
            match event.what:
                case Happening_AppConnected(app):
                    write(Level.INFO, f"{prefix}: {app.name} has connected")
                case Happening_AppGone(gone):
                    write(Level.INFO, f"{prefix}: {gone.app.name} is gone, {gone.reason}")
