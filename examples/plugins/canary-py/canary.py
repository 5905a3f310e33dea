"""Sends a share of the calls to another version, or group, of the same service.

    [plugin.settings]
    percent = 30
    version = "canary"      # or group = "canary"
    by = "tag:user"         # optional: the same user always gets the same answer
"""

import json

from componentize_py_types import Err
from wit_world.exports.routing_filter import (
    Decision,
    Rewrite,
    Share,
    Verdict_Pass,
    Verdict_Rewrite,
    Verdict_Split,
)
from wit_world.imports.request import HashKey, stable_hash, stable_hash_of_tag

weight = 0  # in parts of 10000
to = None
by = None


class Lifecycle:
    def configure(self, settings):
        """Runs once, before the first request. What it raises as Err goes to the operator."""
        global weight, to, by
        given = json.loads(settings)
        percent, version, group = given.get("percent"), given.get("version"), given.get("group")
        if not isinstance(percent, (int, float)) or not 0 <= percent <= 100:
            raise Err(f"percent is {percent}; it must be from 0 to 100")
        if version is None and group is None:
            raise Err("there is neither `version` nor `group`")
        weight = round(percent * 100)
        to = Rewrite(group=group, service=None, method=None, version=version, endpoint=None, tags=[], sticky=None)
        by = key(given["by"]) if "by" in given else None


class RoutingFilter:
    def on_request(self, service, handler, traits):
        """Runs for the first frame of each request that fits the plugin's `match`."""
        if by is None:
            # The broker throws the dice, so it need not ask again for each request.
            return Decision(Verdict_Split([Share(weight, to)]), remember=True)
        # 0: the caller has no such key, and stays where it is.
        hashed = by()
        diverted = hashed != 0 and hashed % 10000 < weight
        return Decision(Verdict_Rewrite(to) if diverted else Verdict_Pass(), remember=True)


def key(text):
    if text == "app":
        return lambda: stable_hash(HashKey.APP)
    if text == "principal":
        return lambda: stable_hash(HashKey.PRINCIPAL)
    if text.startswith("tag:") and len(text) > 4:
        return lambda: stable_hash_of_tag(text[4:])
    raise Err(f"`{text}` is no key; use `app`, `principal` or `tag:NAME`")
