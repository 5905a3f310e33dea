use std::{
    fmt,
    hash::{Hash, Hasher},
};

use bytes::Bytes;
use subtle::ConstantTimeEq;

/// Shorter tokens can be guessed. We make none, and let no client resume with one.
pub const TOKEN_LEN_MIN: usize = 16;

/// The longest that SETUP and RESUME can carry.
pub const TOKEN_LEN_MAX: usize = 65_535;

/// What a client resumes with. Whoever knows it has the session, so it is compared in constant time
/// and not shown.
#[derive(Clone)]
pub struct Token(Bytes);

impl Token {
    /// A token of ours or of a peer; none if its length is not one we deal with.
    pub fn new(bytes: impl Into<Bytes>) -> Option<Self> {
        let bytes = bytes.into();
        (TOKEN_LEN_MIN..=TOKEN_LEN_MAX)
            .contains(&bytes.len())
            .then_some(Self(bytes))
    }

    /// The same of a token in somebody else's frame.
    pub fn copy_from(bytes: &[u8]) -> Option<Self> {
        // Measured before it is copied: a token that is refused costs nothing.
        let fits = (TOKEN_LEN_MIN..=TOKEN_LEN_MAX).contains(&bytes.len());
        fits.then(|| Self(Bytes::copy_from_slice(bytes)))
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether a peer named this very token. Takes as long for a near miss as for a wild guess.
    pub fn matches(&self, bytes: &[u8]) -> bool {
        self.0.ct_eq(bytes).into()
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Token {}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({} bytes)", self.0.len())
    }
}
