//! Signatures of tokens by `ring`, the one provider of cryptography in the program.
//!
//! `jsonwebtoken` has no backend that we want: one would be a second provider beside that of TLS,
//! the other brings an RSA with a timing fault (RUSTSEC-2023-0071). It takes one from outside; this
//! is it. Three algorithms, no more: what is not here cannot be verified, whatever a token says.

use jsonwebtoken::{
    Algorithm, DecodingKey, EncodingKey,
    crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils},
    errors::{ErrorKind, Result},
    {DecodingKeyKind, errors},
};
use ring::{
    rand::SystemRandom,
    signature::{
        self as ring_signature, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519,
        EcdsaKeyPair, Ed25519KeyPair, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_SHA256, RsaKeyPair,
        RsaPublicKeyComponents, UnparsedPublicKey,
    },
};
use signature::{Error, Signer, Verifier};

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |algorithm, key| Ok(Box::new(RingSigner::new(*algorithm, key)?)),
    verifier_factory: |algorithm, key| Ok(Box::new(RingVerifier::new(*algorithm, key)?)),
    key_utils: KeyUtils::new_unimplemented(),
};

/// Makes `jsonwebtoken` use this. Again and again does no harm.
pub(super) fn install() {
    // An error says that it is installed already; nobody else installs one.
    let _ = PROVIDER.install_default();
}

struct RingVerifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl RingVerifier {
    fn new(algorithm: Algorithm, key: &DecodingKey) -> Result<Self> {
        if !super::keys::ALGORITHMS.contains(&algorithm) {
            return Err(ErrorKind::InvalidAlgorithm.into());
        }
        if key.family() != algorithm.family() {
            return Err(ErrorKind::InvalidKeyFormat.into());
        }
        Ok(Self {
            algorithm,
            key: key.clone(),
        })
    }
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let by = |algorithm: &'static dyn ring_signature::VerificationAlgorithm| {
            let key = self.key.try_get_as_bytes().map_err(|_| Error::new())?;
            let key = UnparsedPublicKey::new(algorithm, key);
            key.verify(message, signature).map_err(|_| Error::new())
        };
        match (self.algorithm, self.key.kind()) {
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }
                    .verify(&RSA_PKCS1_2048_8192_SHA256, message, signature)
                    .map_err(|_| Error::new())
            }
            (Algorithm::RS256, _) => by(&RSA_PKCS1_2048_8192_SHA256),
            (Algorithm::ES256, _) => by(&ECDSA_P256_SHA256_FIXED),
            (Algorithm::EdDSA, _) => by(&ED25519),
            _ => Err(Error::new()),
        }
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

enum RingSigner {
    Rsa(Box<RsaKeyPair>),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl RingSigner {
    fn new(algorithm: Algorithm, key: &EncodingKey) -> Result<Self> {
        let bytes = key.as_bytes();
        let unusable = |kind: ErrorKind| errors::Error::from(kind);
        Ok(match algorithm {
            Algorithm::RS256 => Self::Rsa(Box::new(
                RsaKeyPair::from_pkcs8(bytes)
                    .or_else(|_| RsaKeyPair::from_der(bytes))
                    .map_err(|error| unusable(ErrorKind::InvalidRsaKey(error.to_string())))?,
            )),
            Algorithm::ES256 => Self::Ecdsa(
                EcdsaKeyPair::from_pkcs8(
                    &ECDSA_P256_SHA256_FIXED_SIGNING,
                    bytes,
                    &SystemRandom::new(),
                )
                .map_err(|_| unusable(ErrorKind::InvalidEcdsaKey))?,
            ),
            Algorithm::EdDSA => Self::Ed25519(
                Ed25519KeyPair::from_pkcs8_maybe_unchecked(bytes)
                    .map_err(|_| unusable(ErrorKind::InvalidEddsaKey))?,
            ),
            _ => return Err(unusable(ErrorKind::InvalidAlgorithm)),
        })
    }
}

impl Signer<Vec<u8>> for RingSigner {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature)
                    .map_err(|_| Error::new())?;
                Ok(signature)
            }
            Self::Ecdsa(pair) => {
                let signature = pair.sign(&random, message).map_err(|_| Error::new())?;
                Ok(signature.as_ref().to_vec())
            }
            Self::Ed25519(pair) => Ok(pair.sign(message).as_ref().to_vec()),
        }
    }
}

impl JwtSigner for RingSigner {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Rsa(_) => Algorithm::RS256,
            Self::Ecdsa(_) => Algorithm::ES256,
            Self::Ed25519(_) => Algorithm::EdDSA,
        }
    }
}
