//! Cells of the matrix that cannot work whatever the broker does, each with the client's own
//! reason.

use super::client::Client::{self, Go, Java, JsAlpha, JsClassic, Kotlin, Python};

pub(crate) struct Known {
    /// Empty stands for every client.
    requesters: &'static [Client],
    responders: &'static [Client],
    pub(crate) checks: &'static [&'static str],
    /// Whose fault it is.
    pub(crate) at: Client,
    pub(crate) reason: &'static str,
    /// It ends the connection of who is at fault, so it is tried apart from the others.
    pub(crate) lethal: bool,
}

impl Known {
    pub(crate) fn fits(&self, requester: Client, responder: Client, check: &str) -> bool {
        let one_of = |side: &[Client], client| side.is_empty() || side.contains(&client);
        self.checks.contains(&check)
            && one_of(self.requesters, requester)
            && one_of(self.responders, responder)
    }
}

/// Why this check of this pair must fail, when it must.
pub(crate) fn known(requester: Client, responder: Client, check: &str) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.fits(requester, responder, check))
}

pub(crate) const KNOWN: &[Known] = &[
    Known {
        requesters: &[],
        responders: &[JsAlpha],
        checks: &["error-custom"],
        at: JsAlpha,
        reason: "its RSocketError is no instance of itself, so every error leaves as 0x201",
        lethal: false,
    },
    Known {
        requesters: &[],
        responders: &[JsClassic],
        checks: &["error-custom"],
        at: JsClassic,
        reason: "sends every error as 0x201",
        lethal: false,
    },
    Known {
        requesters: &[Python],
        responders: &[],
        checks: &["error-custom"],
        at: Python,
        reason: "drops an ERROR whose code is not in its enum; the call hangs",
        lethal: false,
    },
    Known {
        requesters: &[JsClassic],
        responders: &[JsAlpha, Python, Java, Go],
        checks: &["rr-empty"],
        at: JsClassic,
        reason: "never resolves a reply of COMPLETE without NEXT",
        lethal: false,
    },
    Known {
        requesters: &[JsClassic],
        responders: &[Python],
        checks: &["rr-0"],
        at: Python,
        reason: "clears NEXT on an empty reply, and js-classic never resolves that",
        lethal: false,
    },
    Known {
        requesters: &[Python],
        responders: &[],
        checks: &["channel-empty"],
        at: Python,
        reason: "sends an empty item with neither NEXT nor COMPLETE, which no receiver may count",
        lethal: false,
    },
    Known {
        requesters: &[],
        responders: &[Python],
        checks: &["channel-empty"],
        at: Python,
        reason: "sends an empty item with neither NEXT nor COMPLETE, which no receiver may count",
        lethal: false,
    },
    Known {
        requesters: &[JsAlpha, Python, Java, Go, Kotlin],
        responders: &[Kotlin],
        checks: &["rr-1m", "channel-64k"],
        at: Kotlin,
        reason: "takes a request in fragments for an error (\"wrong flags\": it wants NEXT on a \
                 request frame) and closes the connection",
        lethal: true,
    },
    Known {
        requesters: &[Kotlin],
        responders: &[JsAlpha, Python, Java, Go],
        checks: &["rr-empty"],
        at: Kotlin,
        reason: "takes a reply of COMPLETE without NEXT for an error of its own",
        lethal: false,
    },
    Known {
        requesters: &[Kotlin],
        responders: &[Python],
        checks: &["rr-0"],
        at: Python,
        reason: "clears NEXT on an empty reply, which kotlin takes for an error",
        lethal: false,
    },
    Known {
        requesters: &[Kotlin],
        responders: &[JsAlpha, JsClassic, Python, Java, Go],
        checks: &["channel-64k"],
        at: Kotlin,
        reason: "repeats the request's initial credit in every fragment: four bytes that belong to \
                 nothing",
        lethal: false,
    },
    Known {
        requesters: &[Python],
        responders: &[],
        checks: &["channel-64k"],
        at: Python,
        reason: "interleaves the fragments of consecutive items of one stream",
        lethal: false,
    },
    Known {
        requesters: &[],
        responders: &[Python],
        checks: &["channel-64k"],
        at: Python,
        reason: "interleaves the fragments of consecutive items of one stream",
        lethal: false,
    },
    Known {
        requesters: &[JsAlpha],
        responders: &[Go],
        checks: &["channel-64k"],
        at: Go,
        reason: "takes the flags of an item from its first fragment, and so misses a COMPLETE in \
                 the last one",
        lethal: false,
    },
];
