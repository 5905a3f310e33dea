//! The request a hot hook is asked about, lent to the guest for the length of one call.
//!
//! A guest reads it while it runs on this very thread, so the call lies in a scoped thread-local:
//! nothing is copied for a guest that does not ask, and nothing outlives the call.

use scoped_tls_hkt::scoped_thread_local;

/// How a request talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interaction {
    RequestResponse,
    FireAndForget,
    Stream,
    Channel,
}

/// What is found in a request's metadata, looked up only when a guest asks.
pub trait Entries {
    /// The value of a tag of the route, as rewritten so far.
    fn tag(&self, key: &str) -> Option<&str>;
    /// The first entry of this MIME type, as the caller wrote it.
    fn entry(&self, mime: &str) -> Option<&[u8]>;
}

/// What is known about a caller beside its names, looked up only when a guest asks.
pub trait Facts {
    /// What the app says about itself.
    fn metadata(&self, key: &str) -> Option<&str>;
    /// Whether the principal has this attribute with this value.
    fn has(&self, key: &str, value: &str) -> bool;
    /// The first value of an attribute of the principal.
    fn attribute(&self, key: &str) -> Option<&str>;
}

/// Nothing is known.
#[derive(Clone, Copy, Debug)]
pub struct NoFacts;

impl Facts for NoFacts {
    fn metadata(&self, _: &str) -> Option<&str> {
        None
    }

    fn has(&self, _: &str, _: &str) -> bool {
        false
    }

    fn attribute(&self, _: &str) -> Option<&str> {
        None
    }
}

/// Who calls. Empty text means: is not known.
#[derive(Clone, Copy)]
pub struct Caller<'a> {
    /// The name of the app.
    pub app: &'a str,
    /// The uuid of the app.
    pub instance: &'a str,
    /// The IP address it is seen under.
    pub address: &'a str,
    /// Whom it proved to be.
    pub principal: &'a str,
    pub facts: &'a (dyn Facts + 'a),
}

impl Caller<'_> {
    pub const ANONYMOUS: Self = Caller {
        app: "",
        instance: "",
        address: "",
        principal: "",
        facts: &NoFacts,
    };
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
    pub entries: &'a (dyn Entries + 'a),
    pub caller: Caller<'a>,
    /// The composite metadata as the caller wrote it.
    pub metadata: &'a [u8],
}

/// Who could take a request, by index. Nothing is asked beyond [`Candidates::len`].
pub trait Candidates {
    fn len(&self) -> usize;
    fn uuid(&self, index: usize) -> String;
    fn app(&self, index: usize) -> String;
    fn ip(&self, index: usize) -> String;
    fn tag(&self, index: usize, key: &str) -> Option<String>;
    /// Whether it fits one endpoint rule `key:value`.
    fn has(&self, index: usize, key: &str, value: &str) -> bool;
    fn power(&self, index: usize) -> u32;
    fn in_flight(&self, index: usize) -> u32;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Lent<'a> {
    pub(crate) call: &'a Call<'a>,
    pub(crate) candidates: Option<&'a (dyn Candidates + 'a)>,
}

scoped_thread_local!(static LENT: for<'a> Lent<'a>);

/// Runs `guest` with the call on loan.
pub(crate) fn lend<R>(lent: Lent<'_>, guest: impl FnOnce() -> R) -> R {
    LENT.set(lent, guest)
}

/// The call on loan; none outside of a hot hook.
pub(crate) fn lent<R>(read: impl FnOnce(Lent<'_>) -> R) -> Option<R> {
    LENT.is_set().then(|| LENT.with(read))
}

/// The same number for the same key on every thread, broker and version: FNV-1a (64 bit), then the finaliser of
/// MurmurHash3, since FNV alone leaves the low bits of short keys uneven. 0 for no key, and for no other.
pub(crate) fn stable_hash(key: &str) -> u64 {
    if key.is_empty() {
        return 0;
    }
    let fnv = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (fnv ^ (fnv >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    let mixed = (mixed ^ (mixed >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    (mixed ^ (mixed >> 33)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Frozen: a change would move every deterministic canary.
    #[test]
    fn the_hash_never_changes() {
        assert_eq!(stable_hash(""), 0);
        assert_eq!(stable_hash("a"), 0x82a2_a958_a9be_ce5b);
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
