use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use ring::digest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::server::danger::ClientCertVerifier;
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use x509_cert::Certificate;
use x509_cert::der::Decode;

use super::{TlsError, TlsPart, pem, provider};

/// What a listener shows its clients and asks of them; checked, and never changed.
///
/// Two of them are equal if they were made of the same.
#[derive(Clone)]
pub struct TlsMaterial {
    config: Arc<ServerConfig>,
    not_before: SystemTime,
    not_after: SystemTime,
    digest: [u8; 32],
}

/// Which clients a listener lets in, by the authorities in PEM that signed their certificates.
#[derive(Clone, Copy)]
pub enum ClientAuth<'a> {
    /// Nobody is asked for a certificate.
    None,
    /// Those without a certificate too; one that is shown must be good.
    Optional(&'a [u8]),
    Required(&'a [u8]),
}

impl TlsMaterial {
    /// Reads a certificate, with those that link it to its authority behind it, and its key.
    pub fn new(certificate: &[u8], key: &[u8], clients: ClientAuth<'_>) -> Result<Self, TlsError> {
        let certified = pem::certified_key(certificate, key)?;
        let (not_before, not_after) = validity(&certified)?;
        let digest = digest_of(certificate, key, clients);
        let config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::unusable(TlsPart::Certificate, error))?
            .with_client_cert_verifier(verifier(clients)?)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        Ok(Self {
            config: Arc::new(config),
            not_before,
            not_after,
            digest,
        })
    }

    /// When the whole chain has become valid.
    pub const fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// When the first certificate of the chain ends.
    pub const fn not_after(&self) -> SystemTime {
        self.not_after
    }
}

/// From the last beginning to the first end in the chain.
fn validity(certified: &CertifiedKey) -> Result<(SystemTime, SystemTime), TlsError> {
    let mut bounds = (SystemTime::UNIX_EPOCH, None::<SystemTime>);
    for certificate in &certified.cert {
        let certificate = Certificate::from_der(certificate)
            .map_err(|error| TlsError::unusable(TlsPart::Certificate, error))?;
        let validity = certificate.tbs_certificate().validity();
        let end = validity.not_after.to_system_time();
        bounds.0 = bounds.0.max(validity.not_before.to_system_time());
        bounds.1 = Some(bounds.1.map_or(end, |first| first.min(end)));
    }
    Ok((bounds.0, bounds.1.unwrap_or(SystemTime::UNIX_EPOCH)))
}

fn verifier(clients: ClientAuth<'_>) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let (authorities, required) = match clients {
        ClientAuth::None => return Ok(Arc::new(NoClientAuth)),
        ClientAuth::Optional(authorities) => (authorities, false),
        ClientAuth::Required(authorities) => (authorities, true),
    };
    let roots = Arc::new(pem::authorities(authorities)?);
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
    if !required {
        builder = builder.allow_unauthenticated();
    }
    builder
        .build()
        .map(|verifier| verifier as Arc<dyn ClientCertVerifier>)
        .map_err(|error| TlsError::unusable(TlsPart::Authorities, error))
}

fn digest_of(certificate: &[u8], key: &[u8], clients: ClientAuth<'_>) -> [u8; 32] {
    let (mode, authorities): (u8, &[u8]) = match clients {
        ClientAuth::None => (0, &[]),
        ClientAuth::Optional(authorities) => (1, authorities),
        ClientAuth::Required(authorities) => (2, authorities),
    };
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [certificate, key, &[mode], authorities] {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

impl PartialEq for TlsMaterial {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for TlsMaterial {}

impl fmt::Debug for TlsMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsMaterial")
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

/// What a listener shakes hands with; its material can be replaced while it serves.
#[derive(Debug)]
pub struct TlsServer {
    material: RwLock<TlsMaterial>,
}

impl TlsServer {
    pub const fn new(material: TlsMaterial) -> Self {
        Self {
            material: RwLock::new(material),
        }
    }

    /// Handshakes that begin from now on use this. Whether it differs from what was there.
    pub fn replace(&self, material: TlsMaterial) -> bool {
        let mut held = self
            .material
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let differs = *held != material;
        if differs {
            *held = material;
        }
        differs
    }

    pub fn material(&self) -> TlsMaterial {
        self.material
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(in crate::net) async fn accept<S>(&self, socket: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        TlsAcceptor::from(self.material().config)
            .accept(socket)
            .await
    }
}
