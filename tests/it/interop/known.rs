//! Cells of the matrix that cannot work whatever the broker does: who is at fault, of what, and where
//! in the client's own code one can see it.

use super::{
    client::Client::{self, Go, Java, JsAlpha, JsClassic, Kotlin, Python},
    features::Part,
};
use Shows::{Always, Lethally, Sometimes};

/// A fault of a client, and its evidence in the client's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) is: &'static str,
    pub(crate) seen: &'static str,
}

pub(crate) struct Known {
    /// Empty stands for every client.
    requesters: &'static [Client],
    responders: &'static [Client],
    pub(crate) checks: &'static [&'static str],
    /// Whose fault it is.
    pub(crate) at: Client,
    pub(crate) fault: Fault,
    pub(crate) shows: Shows,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shows {
    Always,
    /// It depends on timing: that a cell passes proves nothing.
    Sometimes,
    /// It ends the connection of who is at fault, so it is tried apart from the others.
    Lethally,
}

impl Known {
    pub(crate) fn fits(&self, requester: Client, responder: Client, check: &str) -> bool {
        let one_of = |side: &[Client], client| side.is_empty() || side.contains(&client);
        self.checks.contains(&check)
            && one_of(self.requesters, requester)
            && one_of(self.responders, responder)
    }

    /// The part in which the client is at fault.
    pub(crate) fn part(&self) -> Part {
        if self.responders.contains(&self.at) {
            Part::Responder
        } else {
            Part::Requester
        }
    }
}

/// Why this check of this pair must fail, when it must.
pub(crate) fn known(requester: Client, responder: Client, check: &str) -> Option<&'static Known> {
    KNOWN
        .iter()
        .find(|known| known.fits(requester, responder, check))
}

pub(crate) const ERROR_IS_NO_INSTANCE: Fault = Fault {
    is: "its RSocketError is no instance of itself, so every error leaves as 0x201",
    seen: "rsocket-core/dist/Errors.js sets no prototype; RequestResponseStream.js asks instanceof",
};

pub(crate) const ERROR_HAS_NO_CODE: Fault = Fault {
    is: "sends every error as 0x201",
    seen: "rsocket-core/build/RSocketMachine.js, `_sendStreamError`",
};

pub(crate) const ERROR_DROPPED: Fault = Fault {
    is: "drops an ERROR whose code is not in its enum; the call hangs",
    seen: "rsocket/frame.py, `ErrorFrame.parse`: ErrorCode(...) throws",
};

pub(crate) const COMPLETE_IGNORED: Fault = Fault {
    is: "never resolves a reply of COMPLETE without NEXT",
    seen: "rsocket-core/build/RSocketMachine.js, `requestResponse`: onComplete does nothing",
};

pub(crate) const COMPLETE_REFUSED: Fault = Fault {
    is: "takes a reply of COMPLETE without NEXT for an error of its own",
    seen: "\"Unexpected request completion: payload should be present\"",
};

pub(crate) const EMPTY_REPLY: Fault = Fault {
    is: "clears NEXT on an empty reply, which rsocket-js 0.0.x never resolves and rsocket-kotlin takes for an error",
    seen: "rsocket/frame.py, `new_frame_fragment` drops NEXT; it comes back only where there are bytes",
};

pub(crate) const EMPTY_ITEM: Fault = Fault {
    is: "sends an empty item with neither NEXT nor COMPLETE, which no receiver may count",
    seen: "rsocket/frame.py, `new_frame_fragment` drops NEXT; it comes back only where there are bytes",
};

pub(crate) const INTERLEAVES: Fault = Fault {
    is: "interleaves the fragments of consecutive items of one stream",
    seen: "rsocket/rsocket_base.py, `_get_next_frame_to_send`: what has fragments left goes to the end of the queue",
};

pub(crate) const FIRST_FLAGS: Fault = Fault {
    is: "takes the flags of an item from its first fragment, and so misses a COMPLETE in the last one",
    seen: "internal/socket/duplex.go, `onFramePayload` reads the joiner's header",
};

pub(crate) const ENDS_AT_FIRST: Fault = Fault {
    is: "marks the first fragment of a reply COMPLETE, so a reply ends there",
    seen: "internal/socket/duplex.go, `sendPayload`: the frame's flags go to index 0",
};

pub(crate) const REPEATS_CREDIT: Fault = Fault {
    is: "repeats the request's initial credit in every fragment: four bytes that belong to nothing",
    seen: "operation/OperationOutbound.kt, `sendRequestPayload`",
};

pub(crate) const REFUSES_FRAGMENTS: Fault = Fault {
    is: "takes a request in fragments for an error and closes the connection: it wants NEXT on a request frame",
    seen: "operation/OperationInbound.kt, `handleFrame`: \"wrong flags\"",
};

pub(crate) const KNOWN: &[Known] = &[
    Known {
        requesters: &[],
        responders: &[JsAlpha],
        checks: &["error-custom"],
        at: JsAlpha,
        fault: ERROR_IS_NO_INSTANCE,
        shows: Always,
    },
    Known {
        requesters: &[],
        responders: &[JsClassic],
        checks: &["error-custom"],
        at: JsClassic,
        fault: ERROR_HAS_NO_CODE,
        shows: Always,
    },
    Known {
        requesters: &[Python],
        responders: &[],
        checks: &["error-custom"],
        at: Python,
        fault: ERROR_DROPPED,
        shows: Always,
    },
    Known {
        requesters: &[JsClassic],
        responders: &[JsAlpha, Python, Java, Go],
        checks: &["rr-empty"],
        at: JsClassic,
        fault: COMPLETE_IGNORED,
        shows: Always,
    },
    Known {
        requesters: &[JsClassic],
        responders: &[Python],
        checks: &["rr-0"],
        at: Python,
        fault: EMPTY_REPLY,
        shows: Always,
    },
    Known {
        requesters: &[Python],
        responders: &[],
        checks: &["channel-empty"],
        at: Python,
        fault: EMPTY_ITEM,
        shows: Always,
    },
    Known {
        requesters: &[],
        responders: &[Python],
        checks: &["channel-empty"],
        at: Python,
        fault: EMPTY_ITEM,
        shows: Always,
    },
    Known {
        requesters: &[JsAlpha, Python, Java, Go, Kotlin],
        responders: &[Kotlin],
        checks: &["rr-1m", "channel-64k"],
        at: Kotlin,
        fault: REFUSES_FRAGMENTS,
        shows: Lethally,
    },
    Known {
        requesters: &[Kotlin],
        responders: &[JsAlpha, Python, Java, Go],
        checks: &["rr-empty"],
        at: Kotlin,
        fault: COMPLETE_REFUSED,
        shows: Always,
    },
    Known {
        requesters: &[Kotlin],
        responders: &[Python],
        checks: &["rr-0"],
        at: Python,
        fault: EMPTY_REPLY,
        shows: Always,
    },
    Known {
        requesters: &[Kotlin],
        responders: &[JsAlpha, JsClassic, Python, Java, Go],
        checks: &["channel-64k"],
        at: Kotlin,
        fault: REPEATS_CREDIT,
        shows: Always,
    },
    Known {
        requesters: &[Python],
        responders: &[],
        checks: &["channel-64k"],
        at: Python,
        fault: INTERLEAVES,
        shows: Sometimes,
    },
    Known {
        requesters: &[],
        responders: &[Python],
        checks: &["channel-64k"],
        at: Python,
        fault: INTERLEAVES,
        shows: Sometimes,
    },
    Known {
        requesters: &[JsAlpha],
        responders: &[Go],
        checks: &["channel-64k"],
        at: Go,
        fault: FIRST_FLAGS,
        shows: Always,
    },
];
