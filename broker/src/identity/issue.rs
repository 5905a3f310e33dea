//! Tokens and keys for development, and a look into a token: what `jackfield token` does.

use std::time::SystemTime;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use ring::{
    rand::SystemRandom,
    signature::{
        ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair,
    },
};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject};
use serde_json::{Value, json};

use super::{
    Config, FileError,
    denied::Denied,
    jwt::{JwtConfig, token_hash},
    keys::KeyError,
    principal::Principal,
    ring_provider,
    state::State,
};

/// SubjectPublicKeyInfo of a P-256 key, up to its point (RFC 5480).
const P256_SPKI: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A,
    0x86, 0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A key pair in PEM.
#[derive(Debug)]
pub struct NewKey {
    pub private: String,
    pub public: String,
}

/// A token taken apart, nothing of it verified.
#[derive(Debug)]
pub struct Parts {
    pub header: Value,
    pub claims: Value,
    /// The name by which a `revoked-file` may list it.
    pub sha256: String,
}

/// A new P-256 key pair.
pub fn new_key() -> Result<NewKey, KeyError> {
    let failed = |_| {
        KeyError::new(
            "no key could be made",
            "look at this machine's random source",
        )
    };
    let (algorithm, random) = (&ECDSA_P256_SHA256_FIXED_SIGNING, SystemRandom::new());
    let private = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(failed)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, private.as_ref(), &random)
        .map_err(|error| KeyError::new(error.to_string(), "this is a fault of Jackfield"))?;
    let public = [&P256_SPKI, pair.public_key().as_ref()].concat();
    Ok(NewKey {
        private: pem("PRIVATE KEY", private.as_ref()),
        public: pem("PUBLIC KEY", &public),
    })
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    let body = lines.join("\n");
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

/// Signs claims with a private key (PEM, or PKCS #8 in DER as the archived broker keeps it).
pub fn issue(key: &[u8], kid: Option<&str>, claims: &Value) -> Result<String, KeyError> {
    ring_provider::install();
    let (algorithm, key) = signing_key(key)?;
    let mut header = json!({"alg": format!("{algorithm:?}"), "typ": "JWT"});
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&header), part(claims));
    let signature = crypto::sign(message.as_bytes(), &key, algorithm)
        .map_err(|error| KeyError::new(format!("cannot sign: {error}"), "use another key"))?;
    Ok(format!("{message}.{signature}"))
}

fn signing_key(bytes: &[u8]) -> Result<(Algorithm, EncodingKey), KeyError> {
    let der = match PrivateKeyDer::from_pem_slice(bytes) {
        Ok(key) => key.secret_der().to_vec(),
        Err(_) if bytes.first() == Some(&0x30) => bytes.to_vec(),
        Err(_) => {
            let todo = "name a private key, or make one with `jackfield token key`";
            return Err(KeyError::new("holds no private key", todo));
        }
    };
    let random = SystemRandom::new();
    if EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, &random).is_ok() {
        return Ok((Algorithm::ES256, EncodingKey::from_ec_der(&der)));
    }
    if Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).is_ok() {
        return Ok((Algorithm::EdDSA, EncodingKey::from_ed_der(&der)));
    }
    if RsaKeyPair::from_pkcs8(&der).is_ok() || RsaKeyPair::from_der(&der).is_ok() {
        return Ok((Algorithm::RS256, EncodingKey::from_rsa_der(&der)));
    }
    Err(KeyError::new(
        "holds a private key that cannot be used",
        "use RSA of 2048 bits or more, P-256 or Ed25519, in PKCS #8",
    ))
}

/// Takes a token apart. None of it is to be believed.
pub fn take_apart(token: &str) -> Result<Parts, String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, _signature] = parts.as_slice() else {
        return Err(format!(
            "a token has three parts, this text has {}",
            parts.len()
        ));
    };
    let read = |what: &str, part: &str| {
        let bytes = URL_SAFE_NO_PAD.decode(part).ok();
        bytes
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .ok_or_else(|| format!("the {what} is not JSON in base64url"))
    };
    Ok(Parts {
        header: read("header", header)?,
        claims: read("claims", claims)?,
        sha256: token_hash(token)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    })
}

/// What a broker with this configuration makes of a token, as far as its files say: a key set that
/// has to be fetched is not.
pub fn check_token(
    config: Config,
    token: &str,
    now: SystemTime,
) -> Result<Result<Principal, Denied>, FileError> {
    let state = State::build(config, &[])?;
    let found = state.verify(token, now);
    Ok(found.map(|found| (*found.principal).clone()))
}

/// A configuration that knows tokens by these terms, and nothing else.
pub fn only_jwt(jwt: JwtConfig) -> Config {
    Config {
        jwt: Some(jwt),
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::identity::{Profile, keys, revoked::Revoked};

    #[test]
    fn a_token_that_we_issue_is_one_that_we_take() {
        let key = new_key().unwrap();
        let claims = json!({"iss": "RSocketBroker", "sub": "orders", "aud": "jackfield", "exp": 2_000_000_000});
        let token = issue(key.private.as_bytes(), Some("dev"), &claims).unwrap();
        let parts = take_apart(&token).unwrap();
        assert_eq!(
            parts.header,
            json!({"alg": "ES256", "typ": "JWT", "kid": "dev"})
        );
        assert_eq!(parts.claims, claims);
        let jwt = JwtConfig {
            profile: Profile::Strict,
            issuer: "RSocketBroker".into(),
            audience: vec!["jackfield".into()],
            keys: Vec::new(),
            jwks: None,
            refresh: Duration::from_secs(1),
            clock_skew: Duration::from_secs(1),
        };
        let keys = keys::parse(key.public.as_bytes()).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let verify = |now| jwt.verify(&keys, &Revoked::default(), &token, now);
        assert_eq!(
            &*verify(at(1_999_999_999)).unwrap().principal.subject,
            "orders"
        );
        assert_eq!(verify(at(2_000_000_001)).unwrap_err(), Denied::Expired);
    }

    #[test]
    fn what_is_no_token_or_key_is_said_to_be_none() {
        assert!(take_apart("a.b").unwrap_err().contains("three parts"));
        assert!(
            take_apart("a.b.c")
                .unwrap_err()
                .contains("the header is not")
        );
        let error = issue(b"hello", None, &json!({})).unwrap_err();
        assert_eq!(error.what, "holds no private key");
    }
}
