//! Authentication metadata (0x7C). Spec: "Authentication Extension".
//!
//! ```text
//! u8  0x80 | id of the kind, or the length of its name minus one with the name behind it
//!     simple (0):  u16 length of the user name, user name, password
//!     bearer (1):  token
//! ```

use std::fmt;

use super::cursor::{Cursor, check_len, text};
use super::{EntryMime, MetadataError, Mime};

/// Credentials as they came. `Debug` does not show them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Auth<'a> {
    Simple {
        username: &'a str,
        password: &'a str,
    },
    Bearer(&'a str),
    /// A kind we do not know, for whoever does.
    Other {
        kind: AuthKind<'a>,
        payload: &'a [u8],
    },
}

/// How a kind of authentication is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthKind<'a> {
    WellKnown(u8),
    Named(&'a str),
}

impl<'a> Auth<'a> {
    pub fn decode(content: &'a [u8]) -> Result<Self, MetadataError> {
        let mut cursor = Cursor::new(content);
        let head = cursor.u8("kind of authentication")?;
        let kind = if head & 0x80 != 0 {
            AuthKind::WellKnown(head & 0x7F)
        } else {
            let name = cursor.take(usize::from(head) + 1, "kind of authentication")?;
            AuthKind::Named(text(name, "kind of authentication")?)
        };
        match kind {
            AuthKind::WellKnown(SIMPLE) | AuthKind::Named("simple") => Self::simple(cursor),
            AuthKind::WellKnown(BEARER) | AuthKind::Named("bearer") => {
                Ok(Self::Bearer(text(cursor.rest(), "bearer token")?))
            }
            kind => Ok(Self::Other {
                kind,
                payload: cursor.rest(),
            }),
        }
    }

    pub fn encode(&self) -> Result<Vec<u8>, MetadataError> {
        let mut out = Vec::new();
        match self {
            Self::Simple { username, password } => {
                check_len("user name", username.len(), usize::from(u16::MAX))?;
                out.push(0x80 | SIMPLE);
                out.extend_from_slice(&(username.len() as u16).to_be_bytes());
                out.extend_from_slice(username.as_bytes());
                out.extend_from_slice(password.as_bytes());
            }
            Self::Bearer(token) => {
                out.push(0x80 | BEARER);
                out.extend_from_slice(token.as_bytes());
            }
            Self::Other { kind, payload } => {
                kind.as_mime().write(&mut out)?;
                out.extend_from_slice(payload);
            }
        }
        Ok(out)
    }

    fn simple(mut cursor: Cursor<'a>) -> Result<Self, MetadataError> {
        let len = cursor.u16("length of the user name")?;
        let username = text(cursor.take(len.into(), "user name")?, "user name")?;
        let password = text(cursor.rest(), "password")?;
        Ok(Self::Simple { username, password })
    }
}

impl fmt::Debug for Auth<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Simple { .. } => "Simple(..)",
            Self::Bearer(_) => "Bearer(..)",
            Self::Other { .. } => "Other(..)",
        })
    }
}

impl<'a> AuthKind<'a> {
    /// Kinds are spelled on the wire exactly as MIME types are.
    const fn as_mime(&self) -> EntryMime<'a> {
        match self {
            Self::WellKnown(id) => EntryMime::WellKnown(Mime::from_id(*id)),
            Self::Named(name) => EntryMime::Named(name),
        }
    }
}

const SIMPLE: u8 = 0;
const BEARER: u8 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        let simple = Auth::Simple {
            username: "me",
            password: "pw",
        };
        for (auth, bytes) in [
            (simple, &b"\x80\x00\x02mepw"[..]),
            (Auth::Bearer("token"), b"\x81token"),
            (
                Auth::Other {
                    kind: AuthKind::WellKnown(5),
                    payload: b"x",
                },
                b"\x85x",
            ),
            (
                Auth::Other {
                    kind: AuthKind::Named("mine"),
                    payload: b"x",
                },
                b"\x03minex",
            ),
        ] {
            assert_eq!(auth.encode().unwrap(), bytes);
            assert_eq!(Auth::decode(bytes).unwrap(), auth);
        }
        assert_eq!(Auth::decode(b"\x05simple\x00\x02mepw").unwrap(), simple);
        assert_eq!(Auth::decode(b"\x05bearert").unwrap(), Auth::Bearer("t"));
    }

    #[test]
    fn every_fault_is_reached() {
        use MetadataError::{NotUtf8, Truncated};
        for (bytes, fault) in [
            (&b""[..], Truncated("kind of authentication")),
            (b"\x03ab", Truncated("kind of authentication")),
            (b"\x00\xFF", NotUtf8("kind of authentication")),
            (b"\x80\x00", Truncated("length of the user name")),
            (b"\x80\x00\x03ab", Truncated("user name")),
            (b"\x80\x00\x01\xFF", NotUtf8("user name")),
            (b"\x80\x00\x01a\xFF", NotUtf8("password")),
            (b"\x81\xFF", NotUtf8("bearer token")),
        ] {
            assert_eq!(Auth::decode(bytes).unwrap_err(), fault);
        }
        let long = "x".repeat(65_536);
        let fault = Auth::Simple {
            username: &long,
            password: "",
        }
        .encode()
        .unwrap_err();
        assert!(matches!(
            fault,
            MetadataError::TooLong {
                what: "user name",
                ..
            }
        ));
    }

    #[test]
    fn debug_keeps_the_secret() {
        assert_eq!(format!("{:?}", Auth::Bearer("s3cret")), "Bearer(..)");
    }

    proptest! {
        #[test]
        fn simple_reads_back(username in "\\PC{0,30}", password in "\\PC{0,30}") {
            let auth = Auth::Simple { username: &username, password: &password };
            let encoded = auth.encode().unwrap();
            prop_assert_eq!(Auth::decode(&encoded).unwrap(), auth);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(auth) = Auth::decode(&bytes) {
                let again = auth.encode().unwrap_or_default();
                prop_assert!(again.is_empty() || Auth::decode(&again).unwrap() == auth);
            }
        }
    }
}
