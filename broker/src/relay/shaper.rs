//! Credit shaping: of the credit a reader granted, at most a window is passed on at a time, so that
//! a reader who grants without end and then stops reading holds back only that much.
//!
//! Invariants
//! - never more is passed on than was granted
//! - as long as credit is left, at least one item is on its way: never zero
//! - the window counts bytes; items follow from the mean size of the items seen

/// Passed on before the size of items is known: of items of 4 MiB this many stay below the outbox's
/// hard mark as it is by default.
const ITEMS_FIRST: u64 = 16;
/// More items than this are never on their way, however small they are.
const ITEMS_MAX: u64 = 16_384;

/// One direction of one stream, at the link whose socket the items leave by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shaper {
    window: u64,
    granted: u64,
    passed: u64,
    delivered: u64,
    /// Mean item size, in bytes times 8.
    mean8: u64,
    /// Bytes of the item whose fragments are being delivered.
    partial: u64,
    /// Doubles with each top-up, so that a small first item does not open the window for large ones.
    ceiling: u64,
}

impl Shaper {
    /// `window` in bytes.
    pub(super) const fn new(window: usize) -> Self {
        Self {
            window: window as u64,
            granted: 0,
            passed: 0,
            delivered: 0,
            mean8: 0,
            partial: 0,
            ceiling: ITEMS_FIRST,
        }
    }

    /// The reader granted `n` more. Returns what to pass on now.
    pub(super) fn grant(&mut self, n: u32) -> u32 {
        self.hold(n);
        self.pass(self.items())
    }

    /// The reader granted `n` more, of which nothing may be passed on yet.
    pub(super) fn hold(&mut self, n: u32) {
        self.granted = self.granted.saturating_add(u64::from(n));
    }

    /// So many bytes of an item were handed to the socket; with `whole` the item is.
    pub(super) fn delivered(&mut self, bytes: usize, whole: bool) {
        self.partial += bytes as u64;
        if !whole {
            return;
        }
        let size8 = std::mem::take(&mut self.partial) * 8;
        self.mean8 = match self.delivered {
            0 => size8,
            _ => self.mean8 - self.mean8 / 8 + size8 / 8,
        };
        self.delivered += 1;
    }

    /// What to pass on after items were delivered: nothing until half the window is free.
    pub(super) fn top_up(&mut self) -> u32 {
        let items = self.items();
        if self.outstanding() > items / 2 {
            return 0;
        }
        self.ceiling = (self.ceiling * 2).min(ITEMS_MAX);
        self.pass(self.items())
    }

    /// The same while the reader's outbox is full: one item, and only when none is on its way.
    pub(super) fn keep_going(&mut self) -> u32 {
        if self.outstanding() > 0 {
            0
        } else {
            self.pass(1)
        }
    }

    fn items(&self) -> u64 {
        let by_size = self.window / (self.mean8 / 8).max(1);
        by_size.clamp(1, self.ceiling)
    }

    fn outstanding(&self) -> u64 {
        // A responder that ignores credit delivers more than was passed on.
        self.passed.saturating_sub(self.delivered)
    }

    fn pass(&mut self, items: u64) -> u32 {
        let room = items.saturating_sub(self.outstanding());
        let n = room.min(self.granted - self.passed).min(0x7FFF_FFFF);
        self.passed += n;
        n as u32
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn endless_credit_is_passed_on_by_windows() {
        let mut shaper = Shaper::new(1 << 20);
        let mut on_the_way = shaper.grant(0x7FFF_FFFF);
        assert_eq!(u64::from(on_the_way), ITEMS_FIRST);
        let mut most = 0;
        for _ in 0..2000 {
            shaper.delivered(4096, true);
            on_the_way = on_the_way - 1 + shaper.top_up();
            most = most.max(on_the_way);
        }
        assert_eq!(most, 256);
    }

    #[test]
    fn large_items_narrow_the_window_to_one_whether_or_not_they_come_in_pieces() {
        let mut shaper = Shaper::new(1 << 20);
        let mut on_the_way = shaper.grant(u32::MAX);
        for _ in 0..2000 {
            for _ in 0..256 {
                shaper.delivered(65_536, false);
            }
            shaper.delivered(10, true);
            on_the_way = on_the_way - 1 + shaper.top_up();
            assert!(u64::from(on_the_way) <= ITEMS_FIRST);
        }
        assert_eq!(on_the_way, 1);
    }

    #[test]
    fn small_grants_pass_at_once() {
        let mut shaper = Shaper::new(1 << 20);
        for _ in 0..10 {
            assert_eq!(shaper.grant(1), 1);
            shaper.delivered(100, true);
            assert_eq!(shaper.top_up(), 0);
        }
    }

    #[test]
    fn a_full_outbox_holds_back_all_but_one() {
        let mut shaper = Shaper::new(1 << 20);
        assert_eq!(u64::from(shaper.grant(100)), ITEMS_FIRST);
        for left in (1..ITEMS_FIRST).rev() {
            shaper.delivered(100, true);
            assert_eq!((shaper.keep_going(), shaper.outstanding()), (0, left));
        }
        shaper.delivered(100, true);
        assert_eq!(shaper.keep_going(), 1);
    }

    proptest! {
        /// Never more than granted, never zero while credit is left, everything in the end.
        #[test]
        fn credit_is_kept(
            grants in proptest::collection::vec(1u32..5000, 1..20),
            sizes in proptest::collection::vec(0usize..3_000_000, 1..20),
        ) {
            let mut shaper = Shaper::new(1 << 20);
            let total: u64 = grants.iter().map(|n| u64::from(*n)).sum();
            let mut passed = 0u64;
            for n in grants {
                passed += u64::from(shaper.grant(n));
                prop_assert!(passed >= 1);
            }
            for (delivered, size) in (0u64..).zip(sizes.iter().cycle()) {
                prop_assert!(passed <= total);
                if delivered == total {
                    break;
                }
                prop_assert!(passed > delivered, "stalled at {} of {}", delivered, total);
                shaper.delivered(*size, true);
                passed += u64::from(shaper.top_up());
            }
            prop_assert_eq!(passed, total);
        }
    }
}
