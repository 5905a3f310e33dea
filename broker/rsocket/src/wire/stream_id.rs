//! Stream identifiers (spec "Stream Identifiers").

use std::fmt;

/// Which end of the connection this is: clients number their streams odd, servers even.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

impl Side {
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// The first stream id this side uses.
    pub const fn first(self) -> StreamId {
        match self {
            Self::Client => StreamId(1),
            Self::Server => StreamId(2),
        }
    }

    /// Whether `id` is one that this side numbers.
    pub const fn owns(self, id: StreamId) -> bool {
        !id.is_connection() && (id.0 & 1 == 1) == matches!(self, Self::Client)
    }
}

/// 31 bits; zero is the connection itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(u32);

impl StreamId {
    pub const CONNECTION: Self = Self(0);
    const MAX: u32 = 0x7FFF_FFFF;

    /// The reserved top bit is dropped.
    pub const fn from_wire(bits: u32) -> Self {
        Self(bits & Self::MAX)
    }

    pub const fn get(self) -> u32 {
        self.0
    }

    pub const fn is_connection(self) -> bool {
        self.0 == 0
    }

    /// The next id of the same side, and whether the numbers began anew.
    #[must_use]
    pub const fn next(self) -> (Self, bool) {
        if self.0 > Self::MAX - 2 {
            // 2^31-1 is followed by 1, 2^31-2 by 2.
            let first = if self.0 & 1 == 1 { 1 } else { 2 };
            (Self(first), true)
        } else {
            (Self(self.0 + 2), false)
        }
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Flags, FrameType, Header};

    /// Conformance 57, 58: ids step by two and begin anew after 2^31-1.
    #[test]
    fn ids_step_by_two_and_wrap() {
        assert_eq!(Side::Client.first().next(), (StreamId(3), false));
        assert_eq!(StreamId(StreamId::MAX).next(), (StreamId(1), true));
        assert_eq!(StreamId(StreamId::MAX - 1).next(), (StreamId(2), true));
        assert_eq!(
            StreamId(StreamId::MAX - 2).next(),
            (StreamId(StreamId::MAX), false)
        );
    }

    /// Conformance 10: the reserved bit is masked when read and zero when written.
    #[test]
    fn the_reserved_bit_is_masked() {
        let id = StreamId::from_wire(0x8000_0005);
        assert_eq!(id, StreamId(5));
        let header = Header::new(id, FrameType::CANCEL, Flags::NONE).encode();
        assert_eq!(header[..4], [0, 0, 0, 5]);
    }

    #[test]
    fn sides_own_their_parity() {
        assert!(Side::Client.owns(StreamId(7)) && !Side::Client.owns(StreamId(8)));
        assert!(Side::Server.owns(StreamId(8)) && !Side::Server.owns(StreamId(7)));
        assert!(!Side::Server.owns(StreamId::CONNECTION));
    }
}
