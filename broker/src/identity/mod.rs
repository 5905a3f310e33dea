//! Who is this, and what may they do.
//!
//! ```text
//! bearer token ─┐                                        ┌─ publish  at SETUP
//! name, password├─ Identity::admit ─► Principal ─ judge ─┼─ call     when a route is resolved
//! certificate  ─┤        │                               └─ observe  when the broker is asked
//!                        └─► Denied: counted and logged; on the wire every refusal reads the same
//! ```
//!
//! Invariants
//! - A [`Principal`] is made here and nowhere else.
//! - A key has one algorithm, fixed when the key is read; a token neither brings nor chooses one.
//! - Credentials are never logged and never kept: what is remembered are hashes of them.
//! - A file that cannot be read, or a key set that cannot be fetched, changes nothing.
//! - What takes long (a password, the network) never runs on a data-plane thread.
//!
//! Looks down at: telemetry. Looked at by: relay, config, server, cli.

mod authenticator;
mod cache;
mod certificate;
mod config;
mod denied;
mod issue;
mod jwks;
mod jwt;
mod keys;
mod metrics;
mod policy;
mod principal;
#[cfg(test)]
pub(crate) mod realm;
mod revoked;
mod ring_provider;
mod state;
mod users;
mod watcher;

#[cfg(test)]
mod tests;

pub use authenticator::{Credentials, Identity, IdentityError, Prepared};
pub use config::{CertificateConfig, Config};
pub use denied::Denied;
pub use issue::{NewKey, Parts, check_token, issue, new_key, only_jwt, take_apart};
pub use jwks::check_url;
pub use jwt::{JwksSource, JwtConfig, Profile};
pub use keys::KeyError;
pub use policy::{Effect, Judgement, Policy, Right, Rule};
pub use principal::{Kind, Principal, Voucher};
pub use state::FileError;
pub use users::hash_password;
pub use watcher::Watcher;

use std::path::Path;

/// What a file of the configuration is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Key,
    KeySet,
    Users,
    Revoked,
}

/// Whether a file can be used for that.
pub fn check_file(kind: FileKind, path: &Path) -> Result<(), KeyError> {
    let read = |parse: &dyn Fn(&[u8]) -> Result<(), KeyError>| {
        state::read(path, &mut state::Contents::new(), parse).map_err(|error| error.error)
    };
    match kind {
        FileKind::Key => read(&|bytes| keys::parse(bytes).map(drop)),
        FileKind::KeySet => read(&|bytes| keys::parse_jwks(bytes).map(drop)),
        FileKind::Users => read(&|bytes| users::Users::parse(state::text(bytes)?).map(drop)),
        FileKind::Revoked => read(&|bytes| revoked::Revoked::parse(state::text(bytes)?).map(drop)),
    }
}
