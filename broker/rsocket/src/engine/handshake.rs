//! The first frame of an accepted connection (spec "Connection Establishment").

use super::{connection::Violation, resume::Token};
use crate::wire::{Body, DecodeError, ErrorCode, Frame, Resume, Setup, Version};

/// What a server is ready to do for its clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// Sessions that outlive their transport.
    pub resume: bool,
    /// Leases, given and kept to.
    pub lease: bool,
}

/// A first frame in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First<'a> {
    /// A client introduces itself. It is accepted by silence, or by LEASE when it asks for leases.
    Setup {
        setup: Setup<'a>,
        /// Present when it wants to resume. The owner refuses one that is in use, with
        /// [`TOKEN_IN_USE`](super::resume::TOKEN_IN_USE).
        token: Option<Token>,
    },
    /// A client comes back. The owner looks for the session and asks it
    /// ([`Session::accept`](super::resume::Session::accept)).
    Resume(Resume<'a>),
}

/// Judges the first frame in the order of the protocol sheet, section 1.4. What is not offered is
/// answered as the spec says a server without it answers.
pub fn judge_first(
    frame: Result<Frame<'_>, DecodeError>,
    offer: Offer,
) -> Result<First<'_>, Violation> {
    let frame = frame.map_err(|_| invalid("first frame is malformed"))?;
    if !frame.header.stream_id.is_connection() {
        return Err(invalid("first frame is not on stream 0"));
    }
    match frame.body {
        Body::Setup(setup) => {
            check_setup(&setup)?;
            let token = check_token(&setup, offer)?;
            check_lease(&setup, offer)?;
            Ok(First::Setup { setup, token })
        }
        // Its version is not looked at: a token that is known says enough.
        Body::Resume(resume) if offer.resume => Ok(First::Resume(resume)),
        Body::Resume(_) => Err(Violation {
            code: ErrorCode::REJECTED_RESUME,
            text: "resume is not supported: connect with SETUP",
        }),
        _ => Err(invalid("first frame is neither SETUP nor RESUME")),
    }
}

fn check_setup(setup: &Setup<'_>) -> Result<(), Violation> {
    if setup.version != Version::V1_0 {
        return Err(invalid("only protocol version 1.0 is spoken"));
    }
    if setup.keepalive_ms == 0 {
        return Err(invalid("keepalive interval is zero"));
    }
    if setup.lifetime_ms == 0 {
        return Err(invalid("max lifetime is zero"));
    }
    Ok(())
}

fn check_token(setup: &Setup<'_>, offer: Offer) -> Result<Option<Token>, Violation> {
    let rejected = |text| Violation {
        code: ErrorCode::REJECTED_SETUP,
        text,
    };
    let Some(bytes) = setup.resume_token else {
        return Ok(None);
    };
    if !offer.resume {
        return Err(rejected(
            "resume is not supported: connect without the resume flag",
        ));
    }
    match Token::copy_from(bytes) {
        Some(token) => Ok(Some(token)),
        None => Err(rejected("the resume token is shorter than 16 bytes")),
    }
}

fn check_lease(setup: &Setup<'_>, offer: Offer) -> Result<(), Violation> {
    if setup.lease && !offer.lease {
        return Err(Violation {
            code: ErrorCode::UNSUPPORTED_SETUP,
            text: "leases are not supported: connect without the lease flag",
        });
    }
    Ok(())
}

const fn invalid(text: &'static str) -> Violation {
    Violation {
        code: ErrorCode::INVALID_SETUP,
        text,
    }
}
