//! A stolen token in the hands of somebody with another certificate.

use std::{fs, path::Path};

use jackfield_rsocket::net::{
    Body, DialOptions, FRAME_MAX, FrameIo, TlsClient, TlsClientOptions, connect_with,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::{
    alone,
    neighbour::Neighbour,
    peer::{Hello, KEEPALIVE, REJECTED_RESUME, RESPOND, RESUME_OK, bare},
    resume::{resume_bare, token},
};
use crate::broker::{Broker, CONFIG};

/// An authority, as its certificate in PEM and what it signs with.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A certificate and its key, both in PEM.
    fn sign(&self, name: &str) -> (String, String) {
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let signed = params.signed_by(&key, &self.issuer);
        (signed.expect("a certificate").pem(), key.serialize_pem())
    }

    /// How a client of this authority connects, with this certificate or with none.
    fn client(&self, shows: Option<&(String, String)>) -> DialOptions {
        let pem = |text: &String| text.clone().into_bytes();
        let options = TlsClientOptions {
            authorities: Some(pem(&self.pem)),
            certificate: shows.map(|(certificate, key)| (pem(certificate), pem(key))),
            ..TlsClientOptions::default()
        };
        DialOptions {
            tls: Some(TlsClient::new(&options).expect("good options")),
            ..DialOptions::default()
        }
    }
}

fn start(authority: &Authority, folder: &Path) -> Broker {
    let (certificate, key) = authority.sign("127.0.0.1");
    for (name, text) in [
        ("ca", &authority.pem),
        ("cert", &certificate),
        ("key", &key),
    ] {
        fs::write(folder.join(name), text).expect("a file");
    }
    let folder = folder.display();
    Broker::start_with(&format!(
        "{CONFIG}\n[[listen]]\nuri = \"tls://127.0.0.1:0\"\ntls = {{ cert = \"{folder}/cert\", \
         key = \"{folder}/key\", client-ca = \"{folder}/ca\", client-auth = \"optional\" }}\n"
    ))
}

async fn say(broker: &Broker, options: &DialOptions, frames: &[Vec<u8>]) -> FrameIo {
    let uri = broker.others()[0].parse().expect("a uri");
    let mut io = connect_with(&uri, FRAME_MAX, options)
        .await
        .expect("it accepts");
    for frame in frames {
        io.push(frame, Body::Copy(b""));
    }
    io.flush().await.expect("it reads");
    io
}

/// The type of the next frame, and the code if it is an ERROR.
async fn told(io: &mut FrameIo) -> (u8, Option<u32>) {
    let frame = io.next_frame().await.expect("an answer").expect("a frame");
    let code = frame.get(6..10).and_then(|code| code.try_into().ok());
    (frame[4] >> 2, code.map(u32::from_be_bytes))
}

#[test]
fn a_stolen_token_is_of_no_use_with_another_certificate() {
    let _alone = alone();
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new();
    let broker = start(&authority, folder.path());
    let mut neighbour = Neighbour::start(&broker);
    let (alice, mallory) = (authority.sign("alice"), authority.sign("mallory"));
    let token = token(1);
    let hello = Hello {
        token: Some(&token),
        ..Hello::default()
    };
    let ping = bare(0, KEEPALIVE, RESPOND, &[0; 8]);
    let claim = resume_bare(&token, 0, 0);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    neighbour.during("a stolen token over TLS", || {
        runtime.expect("a runtime").block_on(async {
            let owner = authority.client(Some(&alice));
            let mut first = say(&broker, &owner, &[hello.bare(), ping]).await;
            assert_eq!(told(&mut first).await.0, KEEPALIVE);
            drop(first);
            for thief in [Some(&mallory), None] {
                let options = authority.client(thief);
                let mut stolen = say(&broker, &options, std::slice::from_ref(&claim)).await;
                assert_eq!(told(&mut stolen).await.1, Some(REJECTED_RESUME));
            }
            // Not even an attempt has cost the owner anything.
            let mut again = say(&broker, &owner, &[claim]).await;
            assert_eq!(told(&mut again).await.0, RESUME_OK);
        });
    });
}
