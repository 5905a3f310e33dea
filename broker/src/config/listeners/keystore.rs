//! A PKCS12 key store, as Java's keytool and `openssl pkcs12` make them: its one private key with its certificates, as
//! PEM. Both ways of encrypting that are in use are read: by PBES2 (AES), and by 3DES or RC2, as before JDK 16.

use base64::{Engine, engine::general_purpose::STANDARD};
use p12_keystore::{KeyStore, Pkcs12ImportPolicy};

/// What a listener is made of.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) certificates: Vec<u8>,
    pub(super) key: Vec<u8>,
}

/// The error says what is wrong with it.
pub(super) fn open(store: &[u8], password: &str) -> Result<Opened, String> {
    let store = KeyStore::from_pkcs12(store, password, Pkcs12ImportPolicy::Strict);
    let store = store.map_err(|error| format!("cannot be opened with the password: {error}"))?;
    let chain = store.private_key_chain();
    let (_, chain) = chain.ok_or("holds no private key with its certificate")?;
    let certificates = chain.certs().iter();
    Ok(Opened {
        certificates: certificates
            .flat_map(|certificate| pem("CERTIFICATE", certificate.as_der()))
            .collect(),
        key: pem("PRIVATE KEY", chain.key().as_der()),
    })
}

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n").into_bytes();
    for line in text.as_bytes().chunks(64) {
        pem.extend_from_slice(line);
        pem.push(b'\n');
    }
    pem.extend_from_slice(format!("-----END {label}-----\n").as_bytes());
    pem
}

#[cfg(test)]
mod tests {
    use jackfield_rsocket::net::{ClientAuth, TlsMaterial};

    use super::*;

    /// By openssl 3, by openssl with -legacy, and by keytool of a JDK 17; the password is `changeit`.
    const STORES: [(&str, &[u8], usize); 3] = [
        ("modern", include_bytes!("stores/modern.p12"), 2),
        ("legacy", include_bytes!("stores/legacy.p12"), 2),
        ("java", include_bytes!("stores/java.p12"), 1),
    ];

    #[test]
    fn stores_of_every_maker_are_opened() {
        for (name, store, certificates) in STORES {
            let opened = open(store, "changeit").unwrap();
            let text = String::from_utf8(opened.certificates.clone()).unwrap();
            assert_eq!(
                text.matches("BEGIN CERTIFICATE").count(),
                certificates,
                "{name}"
            );
            let material = TlsMaterial::new(&opened.certificates, &opened.key, ClientAuth::None);
            material.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    #[test]
    fn a_wrong_password_and_nonsense_are_told_apart_from_a_key() {
        for (_, store, _) in STORES {
            let error = open(store, "wrong").unwrap_err();
            assert!(
                error.starts_with("cannot be opened with the password"),
                "{error}"
            );
            assert!(open(&store[..store.len() / 2], "changeit").is_err());
        }
        assert!(open(b"junk", "changeit").is_err());
        assert!(open(b"", "").is_err());
    }
}
