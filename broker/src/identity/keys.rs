//! Public keys: one algorithm each, fixed when the key is read and never by a token.

use std::{collections::HashSet, fs, path::Path};

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse},
};
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, SubjectPublicKeyInfoDer,
    pem::{Error as PemError, PemObject},
};
use serde::Deserialize;
use thiserror::Error;
use x509_cert::{
    Certificate,
    der::{Decode, Encode, asn1::ObjectIdentifier},
    spki::SubjectPublicKeyInfoRef,
};

use super::ring_provider;

pub(super) const ALGORITHMS: [Algorithm; 3] =
    [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// A token without a key id is tried against each key of its algorithm, so there are few.
const KEYS_MAX: usize = 64;
/// A key file; the longest key we take has 8192 bits.
const FILE_MAX: u64 = 256 * 1024;
/// A modulus of 2048 bits and what is around it.
const RSA_DER_MIN: usize = 2048 / 8 + 10;

/// Why a file holds no key that can be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{what}; {todo}")]
pub struct KeyError {
    pub what: String,
    pub todo: String,
}

impl KeyError {
    pub(super) fn new(what: impl Into<String>, todo: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            todo: todo.into(),
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Key {
    /// Keys from files have none.
    pub(super) id: Option<String>,
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

/// The bytes of a file, if it is not too long to be what it should be.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, KeyError> {
    let unreadable = |error: std::io::Error| {
        KeyError::new(
            format!("cannot be read: {error}"),
            "name a file that the broker's user may read",
        )
    };
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_MAX {
        return Err(KeyError::new(
            "is too long for what it should hold",
            "name another file",
        ));
    }
    fs::read(path).map_err(unreadable)
}

/// The keys of a file: PEM (public keys or certificates) or one public key in DER.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Key>, KeyError> {
    if bytes.first() == Some(&0x30) {
        return Ok(vec![of_spki(bytes)?]);
    }
    let bad = |error: PemError| {
        KeyError::new(
            format!("is neither PEM nor DER: {error}"),
            "name a file that holds a public key",
        )
    };
    let mut keys = Vec::new();
    for spki in SubjectPublicKeyInfoDer::pem_slice_iter(bytes) {
        keys.push(of_spki(&spki.map_err(bad)?)?);
    }
    for certificate in CertificateDer::pem_slice_iter(bytes) {
        keys.push(of_certificate(&certificate.map_err(bad)?)?);
    }
    match keys.len() {
        0 if PrivateKeyDer::from_pem_slice(bytes).is_ok() => Err(KeyError::new(
            "holds a private key",
            "name the public one: openssl pkey -in FILE -pubout",
        )),
        0 => Err(KeyError::new(
            "holds no public key",
            "name a file with a PUBLIC KEY in PEM or DER",
        )),
        1..=KEYS_MAX => Ok(keys),
        _ => Err(too_many()),
    }
}

fn too_many() -> KeyError {
    KeyError::new(
        format!("holds more than {KEYS_MAX} keys"),
        "keep the ones that are in use",
    )
}

fn of_certificate(der: &[u8]) -> Result<Key, KeyError> {
    let bad = |error: &dyn std::fmt::Display| {
        KeyError::new(
            format!("holds a certificate that cannot be read: {error}"),
            "name a public key",
        )
    };
    let certificate = Certificate::from_der(der).map_err(|error| bad(&error))?;
    let spki = certificate.tbs_certificate().subject_public_key_info();
    of_spki(&spki.to_der().map_err(|error| bad(&error))?)
}

fn of_spki(der: &[u8]) -> Result<Key, KeyError> {
    let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|error| {
        KeyError::new(
            format!("holds a key that cannot be read: {error}"),
            "name a public key (SubjectPublicKeyInfo)",
        )
    })?;
    let bits = spki.subject_public_key.raw_bytes();
    let (algorithm, decoding) = match spki.algorithm.oid {
        RSA if bits.len() < RSA_DER_MIN => return Err(too_short()),
        RSA => (Algorithm::RS256, DecodingKey::from_rsa_der(bits)),
        EC if spki.algorithm.parameters_oid() == Ok(P256) => {
            (Algorithm::ES256, DecodingKey::from_ec_der(bits))
        }
        ED25519 => (Algorithm::EdDSA, DecodingKey::from_ed_der(bits)),
        _ => {
            return Err(KeyError::new(
                "holds a key of another kind",
                "use RSA, P-256 or Ed25519",
            ));
        }
    };
    Key::new(None, algorithm, decoding)
}

fn too_short() -> KeyError {
    KeyError::new(
        "holds an RSA key of less than 2048 bits",
        "make a longer one: openssl genrsa 3072",
    )
}

impl Key {
    fn new(
        id: Option<String>,
        algorithm: Algorithm,
        decoding: DecodingKey,
    ) -> Result<Self, KeyError> {
        let len = decoding.try_get_as_bytes().map_or(0, <[u8]>::len);
        let fits = match algorithm {
            Algorithm::ES256 => len == 65,
            Algorithm::EdDSA => len == 32,
            _ => true,
        };
        if !fits {
            return Err(KeyError::new(
                "holds a key of a wrong length",
                "use RSA, P-256 or Ed25519",
            ));
        }
        ring_provider::install();
        Ok(Self {
            id,
            algorithm,
            decoding,
        })
    }

    /// None: a key that is not for tokens, or not of a kind we take.
    fn of_jwk(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let for_signatures = common
            .public_key_use
            .as_ref()
            .is_none_or(|it| *it == PublicKeyUse::Signature)
            && common
                .key_operations
                .as_ref()
                .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        let (algorithm, named) = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => (Algorithm::RS256, KeyAlgorithm::RS256),
            AlgorithmParameters::EllipticCurve(it) if it.curve == EllipticCurve::P256 => {
                (Algorithm::ES256, KeyAlgorithm::ES256)
            }
            AlgorithmParameters::OctetKeyPair(it) if it.curve == EllipticCurve::Ed25519 => {
                (Algorithm::EdDSA, KeyAlgorithm::EdDSA)
            }
            _ => return None,
        };
        if !for_signatures || common.key_algorithm.is_some_and(|it| it != named) {
            return None;
        }
        let decoding = DecodingKey::from_jwk(jwk).ok()?;
        if let jsonwebtoken::DecodingKeyKind::RsaModulusExponent { n, .. } = decoding.kind()
            && n.len() < 2048 / 8
        {
            return None;
        }
        Self::new(common.key_id.clone(), algorithm, decoding).ok()
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

/// The keys of a JSON Web Key Set that are of use here; others are passed over.
pub(super) fn parse_jwks(bytes: &[u8]) -> Result<Vec<Key>, KeyError> {
    let bad = |what: String| KeyError::new(what, "give a JSON Web Key Set: {\"keys\": [...]}");
    let written: Jwks = serde_json::from_slice(bytes)
        .map_err(|error| bad(format!("is no JSON Web Key Set: {error}")))?;
    if written.keys.len() > KEYS_MAX {
        return Err(too_many());
    }
    let keys: Vec<Key> = written
        .keys
        .into_iter()
        .filter_map(|key| Key::of_jwk(&serde_json::from_value(key).ok()?))
        .collect();
    // Which of two keys of one name a token means would be for its sender to choose.
    let mut ids = HashSet::new();
    if let Some(twice) = keys.iter().find(|key| {
        key.id
            .as_deref()
            .is_some_and(|id| !ids.insert((id, key.algorithm)))
    }) {
        let id = twice.id.as_deref().unwrap_or_default();
        return Err(bad(format!("names two keys `{id}`")));
    }
    if keys.is_empty() {
        return Err(bad("has no RSA, P-256 or Ed25519 key for signatures".into()));
    }
    Ok(keys)
}
