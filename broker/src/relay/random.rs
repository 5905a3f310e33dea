//! Numbers that need not be secret: which candidate, which side of a split.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

use super::handle::LinkId;

/// SplitMix64: one addition and three multiplications, evenly distributed over 64 bits.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// Seeded from the process's own randomness, and different for each link.
    pub(super) fn new(link: LinkId) -> Self {
        let mut seed = RandomState::new().build_hasher();
        seed.write_u64(link.0);
        Self(seed.finish())
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
