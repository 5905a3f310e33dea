//! The room through its door: tokens that attack, rules as a table, keys that come and go.

mod access;
mod attacks;
mod changes;
mod key_files;

use std::{
    fs,
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jackfield_rsocket::{metadata::Auth, net::Peer};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};
use ring::{rand::SystemRandom, signature};
use rustls_pki_types::{PrivatePkcs8KeyDer, pem::PemObject};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// Made for these tests, and of use for nothing else.
const RSA_KEY: &[u8] = include_bytes!("rsa.key.pem");
const RSA_PUB: &[u8] = include_bytes!("rsa.pub.pem");

fn rsa() -> Signer {
    let der = PrivatePkcs8KeyDer::from_pem_slice(RSA_KEY).unwrap();
    Signer {
        algorithm: Algorithm::RS256,
        key: EncodingKey::from_rsa_der(der.secret_pkcs8_der()),
    }
}

/// Signs whatever it is given.
struct Signer {
    algorithm: Algorithm,
    key: EncodingKey,
}

impl Signer {
    fn sign(&self, header: &Value, claims: &str) -> String {
        ring_provider::install();
        let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let message = format!(
            "{}.{}",
            part(header.to_string().as_bytes()),
            part(claims.as_bytes())
        );
        let signature = crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": format!("{:?}", self.algorithm), "typ": "JWT"});
        self.sign(&header, &claims.to_string())
    }
}

/// A P-256 key pair, and its public half as a JWK.
fn p256(kid: &str) -> (Signer, Value) {
    let algorithm = &signature::ECDSA_P256_SHA256_FIXED_SIGNING;
    let random = SystemRandom::new();
    let der = signature::EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
    let pair = signature::EcdsaKeyPair::from_pkcs8(algorithm, der.as_ref(), &random).unwrap();
    let point = signature::KeyPair::public_key(&pair).as_ref().to_vec();
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let jwk = json!({
        "kty": "EC", "crv": "P-256", "kid": kid, "use": "sig",
        "x": part(&point[1..33]), "y": part(&point[33..]),
    });
    let signer = Signer {
        algorithm: Algorithm::ES256,
        key: EncodingKey::from_ec_der(der.as_ref()),
    };
    (signer, jwk)
}

/// An Ed25519 key pair, and its public half as a JWK.
fn ed25519(kid: &str) -> (Signer, Value) {
    let der = signature::Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = signature::Ed25519KeyPair::from_pkcs8(der.as_ref()).unwrap();
    let public = signature::KeyPair::public_key(&pair).as_ref().to_vec();
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": URL_SAFE_NO_PAD.encode(public),
    });
    let signer = Signer {
        algorithm: Algorithm::EdDSA,
        key: EncodingKey::from_ed_der(der.as_ref()),
    };
    (signer, jwk)
}

fn jwks(keys: &[&Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn seconds(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Files of a configuration.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

fn jwt(profile: Profile) -> JwtConfig {
    JwtConfig {
        profile,
        issuer: "RSocketBroker".into(),
        audience: match profile {
            Profile::Strict => vec!["jackfield".into()],
            Profile::Alibaba => Vec::new(),
        },
        keys: Vec::new(),
        jwks: None,
        refresh: Duration::from_secs(300),
        clock_skew: Duration::from_secs(30),
    }
}

fn identity(config: Config) -> Identity {
    Identity::new(config, &prometheus::Registry::new()).unwrap()
}

/// How often something was found, as the metric says.
fn counted(identity: &Identity, denied: Denied) -> u64 {
    identity.metrics.count_of(denied)
}

fn shown(auth: &[u8]) -> Credentials<'_> {
    Credentials {
        auth: Some(auth),
        certificate: None,
        peer: Peer::Memory,
    }
}

fn bearer(token: &str) -> Vec<u8> {
    Auth::Bearer(token).encode().unwrap()
}
