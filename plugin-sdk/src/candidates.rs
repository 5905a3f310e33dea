//! The instances among which a selector chooses.

pub use crate::bindings::endpoint_selector::exports::jackfield::plugin::endpoint_selector::Selection;
use crate::{bindings::shared::jackfield::plugin::candidates as host, testing::TestCandidate};

/// Who could take the request. Indexes count from 0 and mean something in this call only. Each
/// question is a call into the host (20 to 60 ns).
pub struct Candidates<'a>(Asked<'a>);

/// The broker, or a test in its place.
enum Asked<'a> {
    Host(u32),
    Test(&'a [TestCandidate]),
}

impl Candidates<'_> {
    pub fn len(&self) -> u32 {
        match self.0 {
            Asked::Host(count) => count,
            Asked::Test(all) => all.len() as u32,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn uuid(&self, index: u32) -> String {
        self.ask(
            index,
            || host::uuid(index),
            |it| it.tag("uuid").unwrap_or_default(),
        )
    }

    /// The name of the app.
    pub fn app(&self, index: u32) -> String {
        self.ask(index, || host::app(index), |it| it.app.clone())
    }

    pub fn ip(&self, index: u32) -> String {
        self.ask(
            index,
            || host::ip(index),
            |it| it.tag("ip").unwrap_or_default(),
        )
    }

    /// What the app says about itself, its `ip`, `uuid` or `id`.
    pub fn tag(&self, index: u32, key: &str) -> Option<String> {
        self.ask(index, || host::tag(index, key), |it| it.tag(key))
    }

    /// Whether the candidate fits one endpoint rule `key:value`.
    pub fn has(&self, index: u32, key: &str, value: &str) -> bool {
        self.ask(
            index,
            || host::has(index, key, value),
            |it| it.tag(key).as_deref() == Some(value),
        )
    }

    /// Those that fit one endpoint rule `key:value`, ascending: one question for all.
    pub fn having(&self, key: &str, value: &str) -> Vec<u32> {
        match self.0 {
            Asked::Host(_) => host::having(key, value),
            Asked::Test(_) => (0..self.len())
                .filter(|&index| self.has(index, key, value))
                .collect(),
        }
    }

    /// The weight the app asks for.
    pub fn power(&self, index: u32) -> u32 {
        self.ask(index, || host::power(index), |_| 1)
    }

    /// Calls on their way to it or being answered by it.
    pub fn in_flight(&self, index: u32) -> u32 {
        self.ask(index, || host::in_flight(index), |it| it.in_flight)
    }

    /// The same of all, by index.
    pub fn all_in_flight(&self) -> Vec<u32> {
        match self.0 {
            Asked::Host(_) => host::all_in_flight(),
            Asked::Test(all) => all.iter().map(|it| it.in_flight).collect(),
        }
    }

    fn ask<R: Default>(
        &self,
        index: u32,
        host: impl FnOnce() -> R,
        test: impl FnOnce(&TestCandidate) -> R,
    ) -> R {
        match self.0 {
            Asked::Host(_) => host(),
            Asked::Test(all) => all.get(index as usize).map(test).unwrap_or_default(),
        }
    }
}

/// Candidates of the host.
#[doc(hidden)]
pub const fn guest_candidates(count: u32) -> Candidates<'static> {
    Candidates(Asked::Host(count))
}

/// Candidates of a test.
pub(crate) const fn test_candidates(all: &[TestCandidate]) -> Candidates<'_> {
    Candidates(Asked::Test(all))
}
