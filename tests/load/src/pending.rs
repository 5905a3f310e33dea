//! The calls of one connection that are under way.
//!
//! Calls are numbered in order and mostly end in order, so the table is a queue of slots with the
//! number of its first: finding a call is an index, and slots leave from the front.

use std::collections::VecDeque;

/// What is known of a call until it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Started {
    /// When it was sent, or was meant to be sent, in nanoseconds since the load began.
    pub(crate) at: u64,
    /// What was expected of replies at that moment.
    pub(crate) epoch: u32,
}

#[derive(Debug, Default)]
pub(crate) struct Pending {
    slots: VecDeque<Option<Started>>,
    first: u32,
    open: usize,
}

impl Pending {
    /// The number the next call will get.
    pub(crate) fn next(&self) -> u32 {
        self.first.wrapping_add(self.slots.len() as u32)
    }

    pub(crate) fn open(&self) -> usize {
        self.open
    }

    pub(crate) fn start(&mut self, started: Started) {
        self.slots.push_back(Some(started));
        self.open += 1;
    }

    /// Ends the call `serial`; `None` if no such call is under way.
    pub(crate) fn end(&mut self, serial: u32) -> Option<Started> {
        let slot = self
            .slots
            .get_mut(serial.wrapping_sub(self.first) as usize)?;
        let started = slot.take()?;
        self.open -= 1;
        while self.slots.front().is_some_and(Option::is_none) {
            self.slots.pop_front();
            self.first = self.first.wrapping_add(1);
        }
        Some(started)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_end_once_and_in_any_order() {
        let mut pending = Pending::default();
        for at in 0..3 {
            assert_eq!(pending.next(), at as u32);
            pending.start(Started { at, epoch: 0 });
        }
        assert_eq!(pending.end(1).map(|started| started.at), Some(1));
        assert_eq!(pending.end(1), None);
        assert_eq!(pending.end(0).map(|started| started.at), Some(0));
        assert_eq!(pending.end(3), None);
        assert_eq!(pending.end(0), None);
        assert_eq!((pending.open(), pending.next()), (1, 3));
        assert!(pending.end(2).is_some());
        assert_eq!((pending.open(), pending.next()), (0, 3));
    }
}
