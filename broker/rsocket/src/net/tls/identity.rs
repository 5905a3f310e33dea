use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ring::digest;
use tokio_rustls::rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Who the certificate says the peer is. The handshake has found it to be valid.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct TlsIdentity {
    /// The distinguished name as text (RFC 4514); may be empty.
    pub subject: String,
    /// In the order of the certificate; kinds that name neither host, service nor person are left
    /// out.
    pub names: Vec<AltName>,
    /// The certificate itself, as DER.
    pub der: Box<[u8]>,
    /// SHA-256 of the certificate: the same on another connection means the same certificate.
    pub fingerprint: [u8; 32],
}

/// A subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AltName {
    Dns(String),
    Uri(String),
    Email(String),
    Ip(IpAddr),
}

impl TlsIdentity {
    /// Of whoever showed these certificates; the first is its own.
    pub(in crate::net) fn of_peer(
        certificates: Option<&[CertificateDer<'_>]>,
    ) -> Option<Arc<Self>> {
        Some(Arc::new(Self::of(certificates?.first()?)))
    }

    /// What cannot be read of a certificate stays empty; the fingerprint is always there.
    fn of(certificate: &CertificateDer<'_>) -> Self {
        let hash = digest::digest(&digest::SHA256, certificate);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(hash.as_ref());
        let der = certificate.as_ref().into();
        let certificate = Certificate::from_der(certificate).ok();
        let contents = certificate.as_ref().map(Certificate::tbs_certificate);
        let names = contents.and_then(|it| it.get_extension::<SubjectAltName>().ok().flatten());
        let names = names.map_or_else(Vec::new, |(_, names)| names.0);
        Self {
            subject: contents.map_or_else(String::new, |it| it.subject().to_string()),
            names: names.iter().filter_map(AltName::of).collect(),
            der,
            fingerprint,
        }
    }
}

impl AltName {
    fn of(name: &GeneralName) -> Option<Self> {
        Some(match name {
            GeneralName::DnsName(name) => Self::Dns(name.to_string()),
            GeneralName::UniformResourceIdentifier(uri) => Self::Uri(uri.to_string()),
            GeneralName::Rfc822Name(email) => Self::Email(email.to_string()),
            GeneralName::IpAddress(bytes) => Self::Ip(address(bytes.as_bytes())?),
            _ => return None,
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    let v6 = || <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from);
    v4().or_else(v6)
}

impl fmt::Display for AltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => write!(f, "DNS:{name}"),
            Self::Uri(uri) => write!(f, "URI:{uri}"),
            Self::Email(email) => write!(f, "email:{email}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
        }
    }
}

impl fmt::Debug for TlsIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsIdentity({:?}, {:?}, ", self.subject, self.names)?;
        for byte in self.fingerprint {
            write!(f, "{byte:02x}")?;
        }
        f.write_str(")")
    }
}
