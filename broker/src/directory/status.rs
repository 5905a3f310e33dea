use std::collections::BTreeMap;

use serde::Serialize;

/// Port to scheme, as an application listens for calls that bypass the broker.
pub type Ports = BTreeMap<u16, String>;

/// What an application says of its readiness; the archived broker's four.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It publishes nothing yet.
    #[default]
    Connected,
    Serving,
    /// It takes no new calls for now; what it publishes is kept for when it serves again.
    OutOfService,
    /// It takes no new calls any more, and is about to leave.
    Stopped,
}

impl Status {
    /// As the archived broker's events number it.
    pub const fn of_number(number: i64) -> Option<Self> {
        match number {
            -1 => Some(Self::Stopped),
            0 => Some(Self::Connected),
            1 => Some(Self::Serving),
            2 => Some(Self::OutOfService),
            _ => None,
        }
    }

    pub(super) const fn is_resting(self) -> bool {
        matches!(self, Self::OutOfService | Self::Stopped)
    }
}
