//! Cells of the matrix that cannot work whatever the broker does, each with the client's own
//! reason.

use super::client::Client::{self, JsAlpha, JsClassic, Python};

pub(crate) struct Known {
    /// `None` stands for every client.
    requester: Option<Client>,
    responder: Option<Client>,
    check: &'static str,
    pub(crate) reason: &'static str,
}

/// Why this check of this pair must fail, when it must.
pub(crate) fn known(requester: Client, responder: Client, check: &str) -> Option<&'static Known> {
    let fits = |side: Option<Client>, client| side.is_none_or(|one| one == client);
    KNOWN.iter().find(|known| {
        known.check == check && fits(known.requester, requester) && fits(known.responder, responder)
    })
}

/// The checks of this pair that must fail; some of them by never ending.
pub(crate) fn brief(requester: Client, responder: Client) -> String {
    let checks: Vec<_> = KNOWN
        .iter()
        .map(|known| known.check)
        .filter(|check| known(requester, responder, check).is_some())
        .collect();
    checks.join(",")
}

const KNOWN: &[Known] = &[
    Known {
        requester: None,
        responder: Some(JsAlpha),
        check: "error-custom",
        reason: "its RSocketError is no instance of itself, so every error leaves as 0x201",
    },
    Known {
        requester: None,
        responder: Some(JsClassic),
        check: "error-custom",
        reason: "sends every error as 0x201",
    },
    Known {
        requester: Some(Python),
        responder: None,
        check: "error-custom",
        reason: "drops an ERROR whose code is not in its enum; the call hangs",
    },
    Known {
        requester: Some(JsClassic),
        responder: Some(JsAlpha),
        check: "rr-empty",
        reason: "never resolves a reply of COMPLETE without NEXT",
    },
    Known {
        requester: Some(JsClassic),
        responder: Some(Python),
        check: "rr-empty",
        reason: "never resolves a reply of COMPLETE without NEXT",
    },
    Known {
        requester: Some(JsClassic),
        responder: Some(Client::Java),
        check: "rr-empty",
        reason: "never resolves a reply of COMPLETE without NEXT",
    },
    Known {
        requester: Some(JsClassic),
        responder: Some(Python),
        check: "rr-0",
        reason: "python clears NEXT on an empty reply, and js-classic never resolves that",
    },
    Known {
        requester: Some(Python),
        responder: None,
        check: "channel-empty",
        reason: "sends an empty item with neither NEXT nor COMPLETE, which no receiver may count",
    },
    Known {
        requester: None,
        responder: Some(Python),
        check: "channel-empty",
        reason: "sends an empty item with neither NEXT nor COMPLETE, which no receiver may count",
    },
];
