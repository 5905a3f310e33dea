//! What goes wrong, and how often: short ways to say it.

pub use crate::bindings::chaos::exports::jackfield::plugin::chaos::{Cutting, Fault, Odds, Plan};

impl Plan {
    /// Nothing goes wrong.
    pub const fn none() -> Self {
        Self {
            faults: Vec::new(),
            remember: false,
        }
    }

    /// `weight` of 10000 requests meet this; the host throws the dice.
    #[must_use]
    pub fn with(mut self, weight: u32, fault: Fault) -> Self {
        self.faults.push(Odds { weight, fault });
        self
    }

    /// The same route of the same connection may get this again without asking. Not for plans that
    /// depend on the time or on a switch.
    #[must_use]
    pub fn remember(self) -> Self {
        Self {
            remember: true,
            ..self
        }
    }
}
