//! What changes while the broker runs: keys, revocations, rules, configuration.

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use super::{
    super::watcher::{Pace, keep_keys},
    *,
};

fn good(expires: i64) -> Value {
    json!({
        "iss": "RSocketBroker", "sub": "orders", "aud": "jackfield",
        "exp": seconds(SystemTime::now()) + expires, "jti": "first",
    })
}

#[tokio::test]
async fn a_token_that_is_good_gets_in_and_all_others_read_the_same() {
    let files = Files::new();
    let identity = identity(Config {
        required: true,
        jwt: Some(JwtConfig {
            keys: vec![files.put("key.pub", RSA_PUB)],
            ..jwt(Profile::Strict)
        }),
        ..Config::default()
    });
    let token = rsa().token(&good(600));
    for _ in 0..2 {
        let principal = identity.admit(shown(&bearer(&token))).await.unwrap();
        assert_eq!(&*principal.subject, "orders");
    }
    let old = rsa().token(&good(-600));
    let simple = Auth::Simple {
        username: "a",
        password: "b",
    };
    let nothing = Credentials {
        auth: None,
        ..shown(b"")
    };
    for (shown, denied) in [
        (shown(&bearer(&old)), Denied::Expired),
        (shown(&simple.encode().unwrap()), Denied::Unsupported),
        (shown(b"\x85x"), Denied::Unsupported),
        (shown(b""), Denied::Malformed),
        (nothing, Denied::Missing),
    ] {
        let before = counted(&identity, denied);
        assert_eq!(identity.admit(shown).await.unwrap_err(), denied);
        assert_eq!(counted(&identity, denied), before + 1, "each has a counter");
    }
}

#[tokio::test]
async fn what_does_not_verify_is_ignored_where_nothing_is_required() {
    let files = Files::new();
    let identity = identity(Config {
        jwt: Some(JwtConfig {
            keys: vec![files.put("key.pub", RSA_PUB)],
            ..jwt(Profile::Alibaba)
        }),
        ..Config::default()
    });
    let old = rsa().token(&good(-600));
    let principal = identity.admit(shown(&bearer(&old))).await.unwrap();
    assert!(principal.is_anonymous());
    assert_eq!(counted(&identity, Denied::Expired), 1);
    let principal = identity
        .admit(shown(&bearer(&rsa().token(&good(600)))))
        .await;
    assert_eq!(
        principal.unwrap().kind,
        Kind::Token,
        "one that does verify counts"
    );
}

/// A token that was good, and is remembered, is no good any more once it is revoked.
#[tokio::test]
async fn a_remembered_token_can_be_revoked() {
    let files = Files::new();
    let list = files.put("revoked", "");
    let identity = identity(Config {
        required: true,
        revoked: Some(list),
        jwt: Some(JwtConfig {
            keys: vec![files.put("key.pub", RSA_PUB)],
            ..jwt(Profile::Strict)
        }),
        ..Config::default()
    });
    let auth = bearer(&rsa().token(&good(600)));
    let principal = identity.admit(shown(&auth)).await.unwrap();
    assert!(!identity.takes_back(&principal));
    files.put("revoked", "jti:first\n");
    identity.reread().unwrap();
    assert!(identity.takes_back(&principal));
    assert_eq!(
        identity.admit(shown(&auth)).await.unwrap_err(),
        Denied::Revoked
    );
    // A list that cannot be read changes nothing.
    files.put("revoked", "sha256:nonsense\n");
    assert!(identity.reread().is_err());
    assert_eq!(
        identity.admit(shown(&auth)).await.unwrap_err(),
        Denied::Revoked
    );
}

#[tokio::test]
async fn rules_have_a_generation_and_keys_do_not_touch_it() {
    let files = Files::new();
    let config = Config {
        jwt: Some(JwtConfig {
            keys: vec![files.put("key.pub", RSA_PUB)],
            ..jwt(Profile::Strict)
        }),
        ..Config::default()
    };
    let identity = identity(config.clone());
    let before = identity.generation();
    identity.reread().unwrap();
    assert_eq!(identity.generation(), before);
    let stricter = Config {
        required: true,
        ..config
    };
    let judge = |who: &Principal| identity.judge(who, Right::Call, "a.B", "c");
    assert_eq!(judge(&Principal::anonymous()), Judgement::Allowed);
    identity.put_into_effect(identity.prepare(stricter.clone()).unwrap());
    assert_ne!(identity.generation(), before);
    assert_eq!(judge(&Principal::anonymous()), Judgement::AmongKin);
    let broken = Config {
        users: Some(files.put("users.toml", "[[user]]\n")),
        ..stricter
    };
    assert!(identity.prepare(broken).is_err());
}

#[tokio::test]
async fn a_user_is_known_by_name_and_password() {
    let files = Files::new();
    // The cheapest parameters there are.
    let hash = "$argon2id$v=19$m=8,t=1,p=1$c2FsdHlzYWx0$";
    let params = argon2::Params::new(8, 1, 1, Some(32)).unwrap();
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    let mut out = [0; 32];
    argon2
        .hash_password_into(b"pw", b"saltysalt", &mut out)
        .unwrap();
    let out = base64::engine::general_purpose::STANDARD_NO_PAD.encode(out);
    let users = format!("[[user]]\nname = \"orders\"\npassword = \"{hash}{out}\"\n");
    let identity = identity(Config {
        required: true,
        users: Some(files.put("users.toml", users)),
        ..Config::default()
    });
    let simple = |username, password| Auth::Simple { username, password }.encode().unwrap();
    let right = simple("orders", "pw");
    assert!(
        identity.of_request(&right).is_err(),
        "not before it was checked"
    );
    let principal = identity.admit(shown(&right)).await.unwrap();
    assert_eq!(
        (principal.kind, &*principal.subject),
        (Kind::User, "orders")
    );
    assert!(identity.of_request(&right).is_ok(), "remembered");
    for wrong in [
        simple("orders", "no"),
        simple("nobody", "pw"),
        simple("order", "spw"),
    ] {
        assert_eq!(
            identity.admit(shown(&wrong)).await.unwrap_err(),
            Denied::Password
        );
    }
    assert!(!identity.takes_back(&principal));
    files.put("users.toml", "");
    identity.reread().unwrap();
    assert!(
        identity.takes_back(&principal),
        "whoever is struck off the list has to go"
    );
}

/// A server of one document, which can be exchanged, on a port of its own.
struct Document {
    url: String,
    text: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
}

impl Document {
    fn serve(text: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/jwks", listener.local_addr().unwrap());
        let (text, asked) = (Arc::new(Mutex::new(text)), Arc::new(AtomicUsize::new(0)));
        let (served, counted) = (text.clone(), asked.clone());
        thread::spawn(move || {
            for socket in listener.incoming() {
                let mut socket = socket.unwrap();
                let mut request = [0; 1024];
                let _ = socket.read(&mut request).unwrap();
                counted.fetch_add(1, Ordering::SeqCst);
                let text = served.lock().unwrap().clone();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                    text.len()
                );
                let _ = socket.write_all(answer.as_bytes());
            }
        });
        Self { url, text, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn put(&self, text: String) {
        *self.text.lock().unwrap() = text;
    }
}

fn of_key_set(url: &str) -> Identity {
    identity(Config {
        required: true,
        jwt: Some(JwtConfig {
            jwks: Some(JwksSource::Url {
                url: url.to_owned(),
                authorities: None,
            }),
            ..jwt(Profile::Strict)
        }),
        ..Config::default()
    })
}

fn named(signer: &Signer, kid: &str) -> Vec<u8> {
    let header = json!({"alg": "ES256", "kid": kid});
    bearer(&signer.sign(&header, &good(600).to_string()))
}

#[tokio::test]
async fn a_key_that_is_not_known_is_fetched_and_the_last_good_set_is_kept() {
    let (first, first_jwk) = p256("first");
    let (second, second_jwk) = p256("second");
    let document = Document::serve(jwks(&[&first_jwk]));
    let identity = of_key_set(&document.url);
    let pace = Pace {
        pause: Duration::ZERO,
        ..Pace::default()
    };
    let test = async {
        // The first set is on its way: whoever comes before it waits for it.
        assert!(identity.admit(shown(&named(&first, "first"))).await.is_ok());
        document.put(jwks(&[&first_jwk, &second_jwk]));
        assert!(
            identity
                .admit(shown(&named(&second, "second")))
                .await
                .is_ok(),
            "fetched"
        );
        document.put("<html>maintenance</html>".into());
        let before = document.asked();
        let stranger = named(&second, "third");
        let denied = identity.admit(shown(&stranger)).await.unwrap_err();
        assert_eq!(denied, Denied::UnknownKey);
        assert_eq!(document.asked(), before + 1, "asked for once");
        assert!(
            identity
                .admit(shown(&named(&second, "second")))
                .await
                .is_ok(),
            "the last good"
        );
        // A key that was taken out of the set is no good any more, remembered or not.
        document.put(jwks(&[&first_jwk]));
        let denied = identity.admit(shown(&stranger)).await.unwrap_err();
        assert_eq!(denied, Denied::UnknownKey);
        let denied = identity
            .admit(shown(&named(&second, "second")))
            .await
            .unwrap_err();
        assert_eq!(denied, Denied::UnknownKey);
    };
    tokio::select! {
        () = test => {}
        () = keep_keys(&identity, pace) => {}
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_fetches_once() {
    let (stranger, jwk) = p256("first");
    let document = Document::serve(jwks(&[&jwk]));
    let identity = of_key_set(&document.url);
    let flood = async {
        let tokens: Vec<Vec<u8>> = (0..50)
            .map(|number| named(&stranger, &format!("no-{number}")))
            .collect();
        for _ in 0..3 {
            let asked = tokens.iter().map(|token| identity.admit(shown(token)));
            for found in futures_util::future::join_all(asked).await {
                assert_eq!(found.unwrap_err(), Denied::UnknownKey);
            }
        }
        assert_eq!(document.asked(), 1, "not again within the pause");
    };
    tokio::select! {
        () = flood => {}
        () = keep_keys(&identity, Pace::default()) => {}
    }
}

/// Over TLS the server is trusted by the authority that is configured, and by no other.
#[tokio::test]
async fn a_key_set_comes_over_tls_from_who_is_trusted() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::{TlsAcceptor, rustls};

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls_pki_types::PrivateKeyDer::Pkcs8(made.signing_key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!(
        "https://localhost:{}/jwks",
        listener.local_addr().unwrap().port()
    );
    let (signer, jwk) = p256("first");
    let text = jwks(&[&jwk]);
    let serve = async {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(mut socket) = acceptor.accept(socket).await else {
                continue;
            };
            let mut request = [0; 1024];
            let _ = socket.read(&mut request).await.unwrap();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", text.len());
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(text.as_bytes()).await.unwrap();
            let _ = socket.shutdown().await;
        }
    };
    let files = Files::new();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let ask = async {
        for (authority, expected) in [(&made.cert, true), (&other.cert, false)] {
            let identity = identity(Config {
                required: true,
                jwt: Some(JwtConfig {
                    jwks: Some(JwksSource::Url {
                        url: url.clone(),
                        authorities: Some(files.put("ca.pem", authority.pem())),
                    }),
                    ..jwt(Profile::Strict)
                }),
                ..Config::default()
            });
            let auth = named(&signer, "first");
            let found = tokio::select! {
                found = identity.admit(shown(&auth)) => found,
                () = keep_keys(&identity, Pace::default()) => unreachable!("it never ends"),
            };
            assert_eq!(found.is_ok(), expected, "{found:?}");
        }
    };
    tokio::select! {
        () = ask => {}
        () = serve => {}
    }
}

/// What the watcher's thread does, seen from outside.
#[test]
fn a_changed_file_is_read_again() {
    let files = Files::new();
    let list = files.put("revoked", "");
    let identity = Arc::new(identity(Config {
        revoked: Some(list),
        ..Config::default()
    }));
    let (told, tell) = std::sync::mpsc::channel();
    let watcher = Watcher::start(identity.clone(), move || {
        let _ = told.send(());
    });
    files.put("revoked", "sub:orders\n");
    tell.recv_timeout(Duration::from_secs(60)).unwrap();
    let token = principal::TokenName {
        sha256: [0; 32],
        id: None,
    };
    let orders = Principal {
        token: Some(token),
        ..Principal::new(Kind::Token, "orders")
    };
    assert!(identity.takes_back(&orders));
    drop(watcher);
}
