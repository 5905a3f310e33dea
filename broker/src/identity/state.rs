//! One generation of all that decides who somebody is and what they may do.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use ring::digest::{SHA256, digest};

use super::{
    cache::Cache,
    config::Config,
    denied::Denied,
    jwt::{JwksSource, Verified, token_hash},
    keys::{self, Key, KeyError},
    policy::Policy,
    principal::{Kind, Principal},
    revoked::Revoked,
    users::Users,
};

/// Credentials that are remembered as good.
const CACHE_MAX: usize = 20_000;

/// A file that cannot be used for what the configuration wants it for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {error}", path.display())]
pub struct FileError {
    pub path: PathBuf,
    pub error: KeyError,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) keys: Vec<Key>,
    pub(super) users: Users,
    revoked: Revoked,
    pub(super) policy: Policy,
    pub(super) cache: Cache,
    /// Of the files it was made from.
    pub(super) contents: Contents,
}

/// What files held, by a digest of each; none for one that cannot be read.
pub(super) type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

pub(super) fn contents_of(bytes: &[u8]) -> Option<Vec<u8>> {
    Some(digest(&SHA256, bytes).as_ref().to_vec())
}

/// Reads one file, notes what it held, and makes something of it.
pub(super) fn read<T>(
    path: &Path,
    contents: &mut Contents,
    parse: impl FnOnce(&[u8]) -> Result<T, KeyError>,
) -> Result<T, FileError> {
    let at = |error| FileError {
        path: path.to_owned(),
        error,
    };
    let bytes = keys::read_file(path).map_err(at)?;
    contents.insert(path.to_owned(), contents_of(&bytes));
    parse(&bytes).map_err(at)
}

pub(super) fn text(bytes: &[u8]) -> Result<&str, KeyError> {
    std::str::from_utf8(bytes).map_err(|_| KeyError::new("is not UTF-8", "save it as UTF-8"))
}

impl State {
    /// Reads every file that `config` names; `fetched` are the keys of its key set's URL.
    pub(super) fn build(config: Config, fetched: &[Key]) -> Result<Self, FileError> {
        let mut contents = Contents::new();
        let files = &mut contents;
        let mut keys = Vec::new();
        if let Some(jwt) = &config.jwt {
            for path in &jwt.keys {
                keys.extend(read(path, files, keys::parse)?);
            }
            match &jwt.jwks {
                Some(JwksSource::File(path)) => keys.extend(read(path, files, keys::parse_jwks)?),
                Some(JwksSource::Url { .. }) => keys.extend_from_slice(fetched),
                None => {}
            }
        }
        let users = match &config.users {
            Some(path) => read(path, files, |bytes| Users::parse(text(bytes)?))?,
            None => Users::default(),
        };
        let revoked = match &config.revoked {
            Some(path) => read(path, files, |bytes| Revoked::parse(text(bytes)?))?,
            None => Revoked::default(),
        };
        Ok(Self {
            keys,
            users,
            revoked,
            policy: Policy {
                rules: config.rules.clone(),
                kin_only: config.required,
            },
            cache: Cache::new(CACHE_MAX),
            contents,
            config,
        })
    }

    /// Verifies a token, or remembers that it was verified.
    pub(super) fn verify(&self, token: &str, now: SystemTime) -> Result<Found, Denied> {
        let Some(jwt) = &self.config.jwt else {
            return Err(Denied::Unsupported);
        };
        let hash = token_hash(token);
        if let Some(principal) = self.cache.find(&hash, now) {
            return Ok(Found {
                without_expiry: principal.expires.is_none(),
                principal,
                fresh: false,
            });
        }
        let Verified {
            principal,
            without_expiry,
        } = jwt.verify(&self.keys, &self.revoked, token, now)?;
        let principal = Arc::new(principal);
        self.cache.remember(hash, &principal, now);
        Ok(Found {
            principal,
            without_expiry,
            fresh: true,
        })
    }

    /// Whether what somebody was let in by has been taken back.
    pub(super) fn takes_back(&self, principal: &Principal) -> bool {
        match principal.kind {
            Kind::Token => self.revoked.names(principal),
            Kind::User => !self.users.has(&principal.subject),
            _ => false,
        }
    }

    pub(super) fn key_set_url(&self) -> Option<(&str, Option<&Path>)> {
        match self.config.jwt.as_ref()?.jwks.as_ref()? {
            JwksSource::Url { url, authorities } => Some((url, authorities.as_deref())),
            JwksSource::File(_) => None,
        }
    }
}

/// A principal, and what is worth counting about it.
pub(super) struct Found {
    pub(super) principal: Arc<Principal>,
    pub(super) without_expiry: bool,
    /// Not remembered from before.
    pub(super) fresh: bool,
}
