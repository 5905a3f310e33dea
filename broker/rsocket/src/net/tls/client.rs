use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::client::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::sign::SingleCertAndKey;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{TlsError, TlsFault, TlsPart, pem, provider};

/// How a client does TLS. The default trusts what the platform trusts and shows no certificate.
#[derive(Clone, Default)]
pub struct TlsClientOptions {
    /// The authorities whose servers are trusted, in PEM, instead of the platform's.
    pub authorities: Option<Vec<u8>>,
    /// A certificate to show, and its key, both in PEM.
    pub certificate: Option<(Vec<u8>, Vec<u8>)>,
    /// The name that the server's certificate must be for, when it is not the host of the URI.
    pub server_name: Option<String>,
}

/// A client's side of TLS; cheap to clone, and worth sharing: connections made with one resume
/// each other's TLS sessions.
#[derive(Clone)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

impl TlsClient {
    pub fn new(options: &TlsClientOptions) -> Result<Self, TlsError> {
        let roots = match &options.authorities {
            Some(authorities) => pem::authorities(authorities)?,
            None => platform_roots()?,
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::unusable(TlsPart::Authorities, error))?
            .with_root_certificates(roots);
        let config = match &options.certificate {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let certified = pem::certified_key(certificate, key)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified)))
            }
        };
        let name = options.server_name.clone().map(server_name).transpose()?;
        Ok(Self {
            config: Arc::new(config),
            server_name: name,
        })
    }

    pub(in crate::net) async fn connect<S>(&self, host: &str, socket: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host.to_owned())
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?,
        };
        TlsConnector::from(Arc::clone(&self.config))
            .connect(name, socket)
            .await
    }
}

fn server_name(name: String) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name).map_err(|error| TlsError::unusable(TlsPart::ServerName, error))
}

/// What the system trusts. Single certificates that cannot be read are passed over, as every
/// other program here does.
fn platform_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let fault = match found.errors.first() {
            Some(error) => TlsFault::Unusable(error.to_string()),
            None => TlsFault::Unusable("this system trusts no authority".to_owned()),
        };
        return Err(TlsError::new(TlsPart::Authorities, fault));
    }
    Ok(roots)
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for TlsClientOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClientOptions")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}
