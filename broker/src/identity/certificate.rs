use std::sync::Arc;

use jackfield_rsocket::net::{AltName, TlsIdentity};

use super::{
    config::CertificateConfig,
    principal::{Kind, Principal},
};

/// Who a certificate says somebody is; the handshake has found it to be valid.
pub(super) fn principal(config: &CertificateConfig, identity: &TlsIdentity) -> Arc<Principal> {
    let names = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
    Arc::new(Principal {
        organisations: names(&config.organisations),
        service_accounts: names(&config.service_accounts),
        roles: names(&config.roles),
        authorities: names(&config.authorities),
        ..Principal::new(Kind::Certificate, subject(identity))
    })
}

/// The first URI (SPIFFE writes one), else the first DNS name, else the distinguished name.
fn subject(identity: &TlsIdentity) -> String {
    let uri = identity.names.iter().find_map(|name| match name {
        AltName::Uri(uri) => Some(uri),
        _ => None,
    });
    let dns = || {
        identity.names.iter().find_map(|name| match name {
            AltName::Dns(name) => Some(name),
            _ => None,
        })
    };
    uri.or_else(dns).unwrap_or(&identity.subject).clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_names_better_than_dns_and_dns_than_the_subject() {
        let identity = |names: &[AltName]| TlsIdentity {
            subject: "CN=orders".into(),
            names: names.to_vec(),
            der: Box::default(),
            fingerprint: [0; 32],
        };
        let dns = AltName::Dns("orders.example".into());
        let uri = AltName::Uri("spiffe://example/orders".into());
        let email = AltName::Email("a@example".into());
        for (names, expected) in [
            (&[dns.clone(), uri.clone()][..], "spiffe://example/orders"),
            (&[email.clone(), dns][..], "orders.example"),
            (&[email][..], "CN=orders"),
            (&[], "CN=orders"),
        ] {
            assert_eq!(subject(&identity(names)), expected);
        }
        let config = CertificateConfig {
            roles: vec!["app".into()],
            ..CertificateConfig::default()
        };
        let principal = principal(&config, &identity(&[uri]));
        assert_eq!(principal.kind, Kind::Certificate);
        assert_eq!(*principal.roles, [Box::from("app")]);
    }
}
