"""Lets in who knows a token."""

import json

from componentize_py_types import Err
from wit_world.exports.authenticator import (
    Credential_Bearer,
    Outcome_Abstain,
    Outcome_Admit,
    Outcome_Refuse,
    Principal,
)
from wit_world.imports.message import Refusal

token = None


class Lifecycle:
    def configure(self, settings):
        """Runs once, before the first app. What it raises as Err goes to the operator."""
        global token
        token = json.loads(settings).get("token")
        if not isinstance(token, str):
            raise Err("there is no `token`")


class Authenticator:
    def authenticate(self, applicant):
        """Runs at each SETUP. A refusal goes to the app, so it tells a guesser nothing."""
        bearers = [it.value for it in applicant.credentials if isinstance(it, Credential_Bearer)]
        if not bearers:
            return Outcome_Abstain()
        if bearers[0] != token:
            return Outcome_Refuse(Refusal(0x202, "who are you?"))
        return Outcome_Admit(Principal(applicant.app, [("role", "caller")], rights=None, expires=0))
