//! JSON Web Tokens: from the text of a token to a principal, or why not.
//!
//! | checked | strict | alibaba |
//! |---|---|---|
//! | signature, by the algorithm of the key | yes | yes |
//! | `iss` | must be the configured one | the same |
//! | `sub` | must be there | the same |
//! | `exp` | must be there, and to come | to come if there; without it counted and logged |
//! | `nbf`, `iat` | not to come, if there | the same |
//! | `aud` | must name this broker | only if `audience` is configured |
//!
//! Times may be off by `clock-skew`. Keys are never taken from a token: `jwk`, `jku`, `x5u` and
//! `x5c` in its header are not read; `crit` is refused, for nothing in it is understood.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, Header, crypto, decode_header};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::{
    denied::Denied,
    keys::Key,
    principal::{Kind, Principal, TokenName},
    revoked::Revoked,
};

/// A token carries a page of claims, not a book.
pub(super) const TOKEN_MAX: usize = 16 * 1024;
/// Later than this is never.
const YEARS_100: f64 = 100.0 * 365.25 * 86_400.0;

/// What is asked of a token besides its signature.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    #[default]
    Strict,
    /// Tokens of the archived broker's generator, which sets no `exp`.
    Alibaba,
}

/// The checked form of `[auth.jwt]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtConfig {
    pub profile: Profile,
    pub issuer: String,
    /// Any of these; empty: `aud` is not looked at.
    pub audience: Vec<String>,
    pub keys: Vec<PathBuf>,
    pub jwks: Option<JwksSource>,
    /// How often a key set is fetched without being asked for.
    pub refresh: Duration,
    pub clock_skew: Duration,
}

/// Where a JSON Web Key Set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwksSource {
    File(PathBuf),
    Url {
        url: String,
        /// The authorities that its server is trusted by, in PEM, instead of the system's.
        authorities: Option<PathBuf>,
    },
}

/// A token that was found to be good.
#[derive(Debug)]
pub(super) struct Verified {
    pub(super) principal: Principal,
    pub(super) without_expiry: bool,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default, deserialize_with = "present")]
    exp: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    nbf: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    iat: Option<Value>,
    iss: Option<String>,
    sub: Option<String>,
    aud: Option<OneOrMore>,
    jti: Option<String>,
    id: Option<String>,
    sas: Option<OneOrMore>,
    orgs: Option<OneOrMore>,
    roles: Option<OneOrMore>,
    authorities: Option<OneOrMore>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// A claim that is null is there, and not of its type.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

impl OneOrMore {
    fn names(claim: Option<Self>) -> Vec<Box<str>> {
        match claim {
            None => Vec::new(),
            Some(Self::One(name)) => vec![name.into()],
            Some(Self::More(names)) => names.into_iter().map(Into::into).collect(),
        }
    }
}

/// The SHA-256 by which a token is remembered and revoked.
pub(super) fn token_hash(token: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
    hash
}

impl JwtConfig {
    /// Who a token says its bearer is.
    pub(super) fn verify(
        &self,
        keys: &[Key],
        revoked: &Revoked,
        token: &str,
        now: SystemTime,
    ) -> Result<Verified, Denied> {
        if token.len() > TOKEN_MAX {
            return Err(Denied::TooLong);
        }
        let header = header(token)?;
        check_signature(keys, &header, token)?;
        let claims = claims(token)?;
        let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires = self.check_times(&claims, now.as_secs_f64())?;
        self.check_names(&claims)?;
        let principal = self.principal(claims, token, expires)?;
        if revoked.names(&principal) {
            return Err(Denied::Revoked);
        }
        Ok(Verified {
            without_expiry: expires.is_none(),
            principal,
        })
    }

    /// When the token ends, the skew included.
    fn check_times(&self, claims: &Claims, now: f64) -> Result<Option<f64>, Denied> {
        let skew = self.clock_skew.as_secs_f64();
        let expires = number(claims.exp.as_ref())?;
        match expires {
            None if self.profile == Profile::Strict => return Err(Denied::MissingClaim),
            Some(expires) if now >= expires + skew => return Err(Denied::Expired),
            _ => {}
        }
        for start in [&claims.nbf, &claims.iat] {
            if number(start.as_ref())?.is_some_and(|start| start > now + skew) {
                return Err(Denied::NotYetValid);
            }
        }
        Ok(expires.map(|expires| (expires + skew).min(now + YEARS_100)))
    }

    fn check_names(&self, claims: &Claims) -> Result<(), Denied> {
        match &claims.iss {
            None => return Err(Denied::MissingClaim),
            Some(issuer) if *issuer != self.issuer => return Err(Denied::Issuer),
            Some(_) => {}
        }
        if claims.sub.as_deref().is_none_or(str::is_empty) {
            return Err(Denied::MissingClaim);
        }
        if self.audience.is_empty() {
            return Ok(());
        }
        let is_ours = |name: &str| self.audience.iter().any(|ours| ours == name);
        match &claims.aud {
            None => Err(Denied::MissingClaim),
            Some(OneOrMore::One(name)) if is_ours(name) => Ok(()),
            Some(OneOrMore::More(names)) if names.iter().any(|name| is_ours(name)) => Ok(()),
            Some(_) => Err(Denied::Audience),
        }
    }

    fn principal(
        &self,
        claims: Claims,
        token: &str,
        expires: Option<f64>,
    ) -> Result<Principal, Denied> {
        let expires = expires
            .map(|at| Duration::try_from_secs_f64(at).map_err(|_| Denied::ClaimType))
            .transpose()?;
        Ok(Principal {
            service_accounts: OneOrMore::names(claims.sas),
            organisations: OneOrMore::names(claims.orgs),
            roles: OneOrMore::names(claims.roles),
            authorities: OneOrMore::names(claims.authorities),
            expires: expires.map(|at| UNIX_EPOCH + at),
            token: Some(TokenName {
                sha256: token_hash(token),
                id: claims.jti.or(claims.id).map(Into::into),
            }),
            ..Principal::new(Kind::Token, claims.sub.unwrap_or_default())
        })
    }
}

fn header(token: &str) -> Result<Header, Denied> {
    if token.split('.').count() != 3 {
        return Err(Denied::Malformed);
    }
    let header = decode_header(token).map_err(|_| match algorithm_named(token) {
        // Well-formed, and by an algorithm that is not even known, such as `none`.
        Some(name) if name.parse::<Algorithm>().is_err() => Denied::Algorithm,
        _ => Denied::Malformed,
    })?;
    if header.crit.is_some() || header.enc.is_some() || header.zip.is_some() {
        return Err(Denied::Malformed);
    }
    Ok(header)
}

fn algorithm_named(token: &str) -> Option<String> {
    let header = URL_SAFE_NO_PAD.decode(token.split('.').next()?).ok()?;
    let header: Value = serde_json::from_slice(&header).ok()?;
    Some(header.get("alg")?.as_str()?.to_owned())
}

/// By the key that the header names; by any without a name if it names none.
fn check_signature(keys: &[Key], header: &Header, token: &str) -> Result<(), Denied> {
    let meant = |key: &&Key| match (&header.kid, &key.id) {
        (Some(wanted), Some(id)) => wanted == id,
        // Keys of files have no name, and generators give tokens one at will.
        (_, None) => true,
        (None, Some(_)) => true,
    };
    let meant: Vec<&Key> = keys.iter().filter(meant).collect();
    let (message, signature) = token.rsplit_once('.').ok_or(Denied::Malformed)?;
    let good = |key: &&Key| {
        crypto::verify(signature, message.as_bytes(), &key.decoding, key.algorithm).unwrap_or(false)
    };
    let mut able = meant
        .iter()
        .copied()
        .filter(|key| key.algorithm == header.alg)
        .peekable();
    let by_algorithm = able.peek().is_some();
    if able.any(|key| good(&key)) {
        return Ok(());
    }
    // The key it names may be one that is not known yet.
    let sets = keys.iter().any(|key| key.id.is_some());
    let named = header.kid.is_none() || keys.iter().any(|key| key.id == header.kid);
    Err(match (meant.is_empty() || (sets && !named), by_algorithm) {
        (true, _) => Denied::UnknownKey,
        (false, false) => Denied::Algorithm,
        (false, true) => Denied::Signature,
    })
}

fn claims(token: &str) -> Result<Claims, Denied> {
    let payload = token.split('.').nth(1).ok_or(Denied::Malformed)?;
    let payload = URL_SAFE_NO_PAD
        .decode(payload)
        .map_err(|_| Denied::Malformed)?;
    serde_json::from_slice(&payload).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Denied::ClaimType,
        _ => Denied::Malformed,
    })
}

/// Seconds since 1970.
fn number(claim: Option<&Value>) -> Result<Option<f64>, Denied> {
    match claim {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_f64() {
            Some(seconds) if seconds.is_finite() && seconds >= 0.0 => Ok(Some(seconds)),
            _ => Err(Denied::ClaimType),
        },
        Some(_) => Err(Denied::ClaimType),
    }
}
