//! How short of memory the process is, as the data plane sees it: one atomic, looked at where
//! something is decided and nowhere else.
//!
//! Who measures and decides is `server`; here a stage is only obeyed. Each stage does what those
//! below it do.

use std::sync::atomic::{AtomicU8, Ordering};

/// What is given up while memory is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MemoryStage {
    #[default]
    Normal,
    /// Readers' credit is topped up by one item at a time.
    HoldCredit,
    /// New requests are REJECTED.
    RefuseRequests,
    /// New connections are refused, and the hard mark of outboxes falls to the high one: streams whose readers
    /// are that far behind are cut.
    RefuseConnections,
    /// Links are closed, the one with the largest outbox first.
    Shed,
}

impl MemoryStage {
    pub const ALL: [Self; 5] = [
        Self::Normal,
        Self::HoldCredit,
        Self::RefuseRequests,
        Self::RefuseConnections,
        Self::Shed,
    ];

    /// As logs show it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::HoldCredit => "credit is held back",
            Self::RefuseRequests => "new requests are refused",
            Self::RefuseConnections => "new connections are refused",
            Self::Shed => "the largest outboxes are shed",
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Pressure(AtomicU8);

impl Pressure {
    pub(super) fn set(&self, stage: MemoryStage) {
        self.0.store(stage as u8, Ordering::Relaxed);
    }

    pub(super) fn at_least(&self, stage: MemoryStage) -> bool {
        self.0.load(Ordering::Relaxed) >= stage as u8
    }
}
