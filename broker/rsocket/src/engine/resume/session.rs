use bytes::Bytes;

use super::{ReplayBuffer, ResumeError, Token, bytes_count};
use crate::{
    engine::Violation,
    wire::{ErrorCode, Resume, ResumeOk, Version},
};

/// One end of a session that can be resumed. It lives as long as the streams do, through any number
/// of transports.
///
/// ```text
/// server                                   client
/// accept(RESUME) ──► RESUME_OK ──────────► continue_with(RESUME_OK)
/// replay()       ──► frames                replay() ──► frames
/// ```
#[derive(Debug)]
pub struct Session {
    token: Token,
    sent: ReplayBuffer,
    received: u64,
}

impl Session {
    /// A session that begins with SETUP. `limit` bounds what is kept, in bytes.
    pub fn new(token: Token, limit: usize) -> Self {
        Self {
            token,
            sent: ReplayBuffer::new(limit),
            received: 0,
        }
    }

    pub const fn token(&self) -> &Token {
        &self.token
    }

    pub const fn sent(&self) -> &ReplayBuffer {
        &self.sent
    }

    /// What every KEEPALIVE of ours says, answers included: the bytes received that count.
    pub const fn received(&self) -> u64 {
        self.received
    }

    // ---- what happened, in the order of the wire

    /// A frame came, whole and without a length prefix. Tell it before the frame is decoded.
    pub fn on_received(&mut self, frame: &[u8]) {
        if bytes_count(frame) {
            self.received += frame.len() as u64;
        }
    }

    /// A frame is handed to the transport, or would be if there were one. Frames that do not count
    /// are passed over. `pinned` is what sharing `body` keeps alive. Returns how many older
    /// frames were given up.
    pub fn on_sent(&mut self, head: &[u8], body: Bytes, pinned: usize) -> usize {
        if !bytes_count(head) {
            return 0;
        }
        self.sent.push(head, body, pinned)
    }

    /// A KEEPALIVE of the peer says what it has received.
    pub fn on_position(&mut self, position: u64) -> Result<(), Violation> {
        self.sent.acknowledge(position).map_err(|_| Violation {
            code: ErrorCode::CONNECTION_ERROR,
            text: "KEEPALIVE acknowledges more than was sent",
        })
    }

    // ---- a new transport

    /// For the server: judges a RESUME. When it is good, send what is returned, then
    /// [`Self::replay`], then go on. When not, send the ERROR and close; the client must not try
    /// again, so the session is of no more use.
    pub fn accept(&mut self, resume: &Resume<'_>) -> Result<ResumeOk, Violation> {
        if !self.token.matches(resume.token) {
            return Err(UNKNOWN_TOKEN);
        }
        if resume.first_available > self.received {
            return Err(rejected(
                "frames were lost that the client does not keep any more",
            ));
        }
        self.go_on_from(resume.last_received)
            .map_err(|error| rejected(error.text()))?;
        Ok(ResumeOk {
            last_received: self.received,
        })
    }

    /// For the client: the first frame of a new transport.
    pub fn resume(&self) -> Resume<'_> {
        Resume {
            version: Version::V1_0,
            token: self.token.as_bytes(),
            last_received: self.received,
            first_available: self.sent.first_available(),
        }
    }

    /// For the client: judges RESUME_OK. When it is good, send [`Self::replay`] and go on. When
    /// not, send the ERROR and close; the session is lost.
    pub fn continue_with(&mut self, ok: ResumeOk) -> Result<(), Violation> {
        self.go_on_from(ok.last_received)
            .map_err(|error| Violation {
                code: ErrorCode::CONNECTION_ERROR,
                text: error.text(),
            })
    }

    /// What the peer has not received, to be sent again in this order.
    pub fn replay(&self) -> impl ExactSizeIterator<Item = &super::Kept> {
        self.sent.iter()
    }

    fn go_on_from(&mut self, position: u64) -> Result<(), ResumeError> {
        self.sent.check(position)?;
        self.sent.acknowledge(position)
    }
}

/// The answer to a RESUME whose session is not there: never was, has expired, or was refused
/// before.
pub const UNKNOWN_TOKEN: Violation = rejected("no such session");

/// The answer to a SETUP whose token is that of a session which lives or waits.
pub const TOKEN_IN_USE: Violation = Violation {
    code: ErrorCode::REJECTED_SETUP,
    text: "the resume token is in use",
};

const fn rejected(text: &'static str) -> Violation {
    Violation {
        code: ErrorCode::REJECTED_RESUME,
        text,
    }
}
