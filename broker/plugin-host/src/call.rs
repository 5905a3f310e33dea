//! The request a hot hook is asked about, lent to the guest for the length of one call.
//!
//! A guest reads it through a handle while it runs on this very thread, so the call lies in a scoped thread-local:
//! nothing is copied for a guest that does not ask, and nothing outlives the call.

use std::cell::Cell;

use scoped_tls_hkt::scoped_thread_local;

/// How a request talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interaction {
    RequestResponse,
    FireAndForget,
    Stream,
    Channel,
}

/// The tags of a route, looked up only when a guest asks.
pub trait Tags {
    fn value(&self, key: &str) -> Option<&str>;
}

/// One request, as plugins see it. Empty text means: has none.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub interaction: Interaction,
    pub sticky: bool,
    pub group: &'a str,
    pub service: &'a str,
    pub method: &'a str,
    pub version: &'a str,
    pub endpoint: &'a str,
    pub tags: &'a (dyn Tags + 'a),
    pub app: &'a str,
    pub principal: &'a str,
    /// The composite metadata as the caller wrote it.
    pub metadata: &'a [u8],
}

/// What the guest has looked at that is neither its route nor its connection.
#[derive(Default)]
pub(crate) struct Reads(Cell<bool>);

impl Reads {
    pub(crate) fn outside(&self) {
        self.0.set(true);
    }

    pub(crate) fn any_outside(&self) -> bool {
        self.0.get()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Lent<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) reads: &'a Reads,
}

scoped_thread_local!(static LENT: for<'a> Lent<'a>);

/// Runs `guest` with the call on loan.
pub(crate) fn lend<R>(call: &Call<'_>, reads: &Reads, guest: impl FnOnce() -> R) -> R {
    LENT.set(Lent { call, reads }, guest)
}

/// The call on loan; none outside a hook, where no guest can hold a handle to one.
pub(crate) fn lent<R>(read: impl FnOnce(Lent<'_>) -> R) -> Option<R> {
    LENT.is_set().then(|| LENT.with(read))
}

/// The same number for the same key on every thread, broker and version: FNV-1a (64 bit), then the finaliser of
/// MurmurHash3, since FNV alone leaves the low bits of short keys uneven.
pub(crate) fn stable_hash(key: &str) -> u64 {
    let fnv = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    mixed ^ (mixed >> 33)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: a change would move every deterministic canary.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!(stable_hash(""), 0xefd0_1f60_ba99_2926);
        assert_eq!(stable_hash("alice"), 0x3507_d047_a67c_08f4);
    }

    #[test]
    fn the_hash_is_even_over_small_keys() {
        let below_30 = (0..10_000)
            .filter(|n| stable_hash(&format!("user-{n}")) % 100 < 30)
            .count();
        assert!((2_800..3_200).contains(&below_30), "{below_30}");
    }
}
