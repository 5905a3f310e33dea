//! Signatures of JSON Web Tokens. A key decides which algorithm it verifies; the token has no say in it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ed25519_dalek as ed25519;
use p256::{ecdsa, pkcs8::DecodePublicKey};
use rsa::{RsaPublicKey, pkcs1v15, sha2::Sha256, signature::Verifier, traits::PublicKeyParts};
use serde_json::Value;

pub(crate) enum Key {
    Rs256(pkcs1v15::VerifyingKey<Sha256>),
    Es256(ecdsa::VerifyingKey),
    EdDsa(ed25519::VerifyingKey),
}

/// Bits of an RSA key.
const RSA_BITS_MIN: usize = 2048;

impl Key {
    pub(crate) fn from_pem(pem: &str) -> Result<Self, String> {
        if let Ok(key) = ecdsa::VerifyingKey::from_public_key_pem(pem) {
            return Ok(Self::Es256(key));
        }
        if let Ok(key) = ed25519::VerifyingKey::from_public_key_pem(pem) {
            return Ok(Self::EdDsa(key));
        }
        match RsaPublicKey::from_public_key_pem(pem) {
            Ok(key) if key.n().bits() < RSA_BITS_MIN => {
                Err(format!("an RSA key has less than {RSA_BITS_MIN} bits"))
            }
            Ok(key) => Ok(Self::Rs256(pkcs1v15::VerifyingKey::new(key))),
            Err(_) => Err("a key is no public RSA, P-256 or Ed25519 key in PEM".into()),
        }
    }

    const fn algorithm(&self) -> &'static str {
        match self {
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    fn has_signed(&self, text: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::Rs256(key) => pkcs1v15::Signature::try_from(signature)
                .is_ok_and(|signature| key.verify(text, &signature).is_ok()),
            Self::Es256(key) => ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(text, &signature).is_ok()),
            // Strictly: no signature that fits a weak key, or that fits in two ways.
            Self::EdDsa(key) => ed25519::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(text, &signature).is_ok()),
        }
    }
}

/// The claims, if one of the keys has signed them.
pub(crate) fn verified(token: &str, keys: &[Key]) -> Option<Value> {
    let (signed, signature) = token.rsplit_once('.')?;
    let (head, claims) = signed.split_once('.')?;
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
    let head: Value = serde_json::from_slice(&decoded(head)?).ok()?;
    // What a token calls critical must be understood, and none of it is.
    if head.get("crit").is_some() {
        return None;
    }
    let signature = decoded(signature)?;
    let has_signed =
        |key: &Key| head["alg"] == key.algorithm() && key.has_signed(signed.as_bytes(), &signature);
    if !keys.iter().any(has_signed) {
        return None;
    }
    let claims: Value = serde_json::from_slice(&decoded(claims)?).ok()?;
    claims.is_object().then_some(claims)
}
