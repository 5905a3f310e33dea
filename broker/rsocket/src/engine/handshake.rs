//! The first frame of an accepted connection (spec "Connection Establishment").

use super::connection::Violation;
use crate::wire::{Body, DecodeError, ErrorCode, Frame, Setup, Version};

/// A first frame that may be answered with silence, which is acceptance.
pub type Introduction<'a> = Setup<'a>;

/// Judges the first frame in the order of the protocol sheet, section 1.4. Leases and resume are not
/// offered, and are answered as the spec says a server without them answers.
pub fn check_first(frame: Result<Frame<'_>, DecodeError>) -> Result<Introduction<'_>, Violation> {
    let invalid = |text| Violation {
        code: ErrorCode::INVALID_SETUP,
        text,
    };
    let frame = frame.map_err(|_| invalid("first frame is malformed"))?;
    if !frame.header.stream_id.is_connection() {
        return Err(invalid("first frame is not on stream 0"));
    }
    match frame.body {
        Body::Setup(setup) => check_setup(setup),
        Body::Resume(_) => Err(Violation {
            code: ErrorCode::REJECTED_RESUME,
            text: "resume is not supported: connect with SETUP",
        }),
        _ => Err(invalid("first frame is neither SETUP nor RESUME")),
    }
}

fn check_setup(setup: Setup<'_>) -> Result<Setup<'_>, Violation> {
    let invalid = |text| Violation {
        code: ErrorCode::INVALID_SETUP,
        text,
    };
    if setup.version != Version::V1_0 {
        return Err(invalid("only protocol version 1.0 is spoken"));
    }
    if setup.keepalive_ms == 0 {
        return Err(invalid("keepalive interval is zero"));
    }
    if setup.lifetime_ms == 0 {
        return Err(invalid("max lifetime is zero"));
    }
    if setup.resume_token.is_some() {
        let text = "resume is not supported: connect without the resume flag";
        return Err(Violation {
            code: ErrorCode::REJECTED_SETUP,
            text,
        });
    }
    if setup.lease {
        let text = "leases are not supported: connect without the lease flag";
        return Err(Violation {
            code: ErrorCode::UNSUPPORTED_SETUP,
            text,
        });
    }
    Ok(setup)
}
