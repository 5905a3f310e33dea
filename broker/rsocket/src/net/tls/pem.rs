//! Certificates and keys as their files hold them.

use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, RootCertStore};

use super::{TlsError, TlsFault, TlsPart, provider};

pub(super) fn certificates(
    part: TlsPart,
    text: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(text).collect();
    let found = found.map_err(|error| not_pem(part, &error))?;
    if found.is_empty() {
        return Err(TlsError::new(part, TlsFault::NoCertificate));
    }
    Ok(found)
}

/// A certificate chain with its key, which has been found to fit.
pub(super) fn certified_key(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(TlsPart::Certificate, certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::new(TlsPart::Key, TlsFault::NoKey),
        other => not_pem(TlsPart::Key, &other),
    })?;
    let key = provider()
        .key_provider
        .load_private_key(key)
        .map_err(|error| TlsError::unusable(TlsPart::Key, error))?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        // Unknown: the key cannot tell its public half, which says nothing against it.
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::new(TlsPart::Key, TlsFault::Mismatch))
        }
        Err(error) => Err(TlsError::unusable(TlsPart::Certificate, error)),
    }
}

/// The authorities of a file. One that cannot be used is an error: it is there on purpose.
pub(super) fn authorities(text: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(TlsPart::Authorities, text)? {
        let added = roots.add(certificate);
        added.map_err(|error| TlsError::unusable(TlsPart::Authorities, error))?;
    }
    Ok(roots)
}

fn not_pem(part: TlsPart, error: &pem::Error) -> TlsError {
    TlsError::new(part, TlsFault::NotPem(error.to_string()))
}
