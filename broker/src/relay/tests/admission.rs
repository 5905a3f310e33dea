//! Who is let in and who may call whom: the archived broker's order of refusals, its rule of kin, and
//! what ends when a token ends.

use std::time::{SystemTime, UNIX_EPOCH};

use jackfield_rsocket::metadata::{BinaryRouting, ServicePattern};
use serde_json::json;

use super::*;
use crate::identity::{Effect, Right, Rule, realm::Realm};

const UUID: &str = "6f1e0f3c-4b1c-4d4c-9a5e-0e6f6b8d2a11";

impl Realm {
    pub(super) fn world(&self) -> World {
        World::with_auth(|_| {}, self.config.clone())
    }

    /// Good for so many seconds from now.
    fn brief(&self, seconds: u64) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        self.sign(&json!({
            "iss": "RSocketBroker", "sub": "brief", "orgs": ["1"], "sas": ["default"],
            "exp": now.as_secs() + seconds,
        }))
    }
}

/// Entry 0x7C with a token, spelled so that it is text.
pub(super) fn bearer(token: &str) -> String {
    format!("\u{5}bearer{token}")
}

fn entry(mime: Mime, content: &str) -> (Mime, &str) {
    (mime, content)
}

/// What a peer is told, whose connection is closed after that.
async fn refusal(peer: &mut Peer) -> String {
    let seen = peer.sees().await;
    assert_eq!(seen.stream, 0);
    assert_eq!(peer.raw().await, None, "closed after the error");
    seen.what
}

pub(super) async fn settle(world: &World) {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    world.plane.directory.publish();
}

/// A request with this metadata reaches the responder, or its caller is told so.
async fn asks(
    caller: &mut Peer,
    echo: &mut Peer,
    stream: u32,
    metadata: &[u8],
    told: Option<&str>,
) {
    let ask = request(Interaction::Response, 0, metadata);
    caller.request(stream, ask).await;
    match told {
        None => assert_eq!(echo.sees().await.what, "Response n=0 hello"),
        Some(told) => {
            let seen = caller.sees().await.what;
            assert!(seen.contains(told), "{stream}: {seen}");
        }
    }
}

async fn call(caller: &mut Peer, stream: u32, route: &str) {
    let metadata = to(route);
    let ask = request(Interaction::Response, 0, &metadata);
    caller.request(stream, ask).await;
}

/// Conformance 38, 39: whatever is wrong with the credentials, one text is all a stranger reads.
#[test]
fn a_setup_is_judged_in_the_archived_brokers_order() {
    run(async {
        let mut realm = Realm::new();
        realm.config.rules = vec![Rule {
            effect: Effect::Deny,
            rights: vec![Right::Publish],
            services: vec![ServicePattern::new("secret.*")],
            methods: Vec::new(),
            subjects: Vec::new(),
            roles: Vec::new(),
            authorities: Vec::new(),
        }];
        let world = realm.world();
        let good = bearer(&realm.member("orders", "1", "default"));
        let bad = bearer(&Realm::new().member("orders", "1", "default"));
        let app = format!(r#"{{"name":"orders","uuid":"{UUID}"}}"#);
        let short = r#"{"name":"orders","uuid":"short"}"#;
        let broken = "{";
        let unknown = "error REJECTED_SETUP (0x3) RST-500405: not accepted: authentication is required, and failed";
        let auth = |token| entry(Mime::AUTHENTICATION, token);
        let application = |app| entry(Mime::APPLICATION, app);
        let publish = (Mime::SERVICE_REGISTRY, r#"["secret.Service"]"#);
        let table: [(&[(Mime, &str)], &str); 11] = [
            (&[], unknown),
            (&[application(&app)], unknown),
            // Strangers are told nothing about what is wrong with theirs.
            (&[application(broken)], unknown),
            (&[application(broken), auth(&bad)], unknown),
            (&[auth("\u{5}bearernonsense")], unknown),
            (&[auth("\u{5}simple\0\u{2}meguess")], unknown),
            // A user name that is longer than the entry.
            (&[auth("\u{5}simple\0\u{40}me")], unknown),
            (
                &[auth(&good), auth(&good)],
                "error INVALID_SETUP (0x1) RST-600500: composite metadata cannot be read: two auth",
            ),
            (
                &[auth(&good), application(broken)],
                "error REJECTED_SETUP (0x3) RST-500402: ",
            ),
            (
                &[auth(&good), application(short)],
                "error REJECTED_SETUP (0x3) RST-500410: uuid short is too short",
            ),
            (
                &[auth(&good), application(&app), publish],
                "error REJECTED_SETUP (0x3) RST-910420: not allowed to publish secret.Service",
            ),
        ];
        for (entries, expected) in table {
            let mut peer = world.dial();
            peer.setup(entries).await;
            let told = refusal(&mut peer).await;
            assert!(
                told.replace("0x00", "0x").starts_with(expected),
                "{told}\n{expected}"
            );
        }
        assert!(world.plane.directory.apps().is_empty());
        let mut peer = world.dial();
        peer.setup(&[auth(&good), application(&app)]).await;
        peer.sees_nothing().await;
        let apps = world.plane.directory.apps();
        assert_eq!(apps[0].uuid, UUID);
        assert_eq!(apps[0].metadata["_orgs"], "1");
        assert_eq!(apps[0].metadata["_serviceAccounts"], "default");
    });
}

#[test]
fn only_kin_are_called_by_whatever_way_they_are_named() {
    run(async {
        let realm = Realm::new();
        let world = realm.world();
        let app = format!(r#"{{"name":"echo","uuid":"{UUID}"}}"#);
        let token = bearer(&realm.member("echo", "1", "default"));
        let mut echo = world.dial();
        echo.setup(&[
            (Mime::AUTHENTICATION, &token),
            (Mime::APPLICATION, &app),
            (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#),
        ])
        .await;
        settle(&world).await;
        let mut callers = Vec::new();
        for (organisation, account, allowed) in [
            ("1", "default", true),
            ("2", "default", false),
            ("1", "other", false),
        ] {
            let token = bearer(&realm.member("caller", organisation, account));
            let mut caller = world.dial();
            caller.setup(&[(Mime::AUTHENTICATION, &token)]).await;
            let by_uuid = format!("echo.Service.say?e=uuid:{UUID}&");
            for (at, route) in ["echo.Service.say", "echo.Service.say?sticky=1&", &by_uuid]
                .into_iter()
                .enumerate()
            {
                // Twice: what is remembered of a route is no way around the rule.
                for again in 0..2 {
                    call(&mut caller, (4 * at + 2 * again + 1) as u32, route).await;
                    if allowed {
                        assert_eq!(echo.sees().await.what, "Response n=0 hello");
                        continue;
                    }
                    assert_eq!(
                        caller.sees().await.what,
                        "error APPLICATION_ERROR (0x201) RST-900401: not allowed to call echo.Service"
                    );
                }
            }
            callers.push(caller);
        }
        echo.sees_nothing().await;
    });
}

/// A rule knows no interaction: what may not be called is called by none of the four.
#[test]
fn rules_hold_for_every_interaction() {
    run(async {
        let mut realm = Realm::new();
        realm.config.rules = vec![Rule {
            effect: Effect::Deny,
            rights: vec![Right::Call],
            services: Vec::new(),
            methods: vec![ServicePattern::new("delete*")],
            subjects: Vec::new(),
            roles: Vec::new(),
            authorities: Vec::new(),
        }];
        let world = realm.world();
        let token = bearer(&realm.member("app", "1", "default"));
        let mut echo = world.dial();
        echo.setup(&[
            (Mime::AUTHENTICATION, &token),
            (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#),
        ])
        .await;
        settle(&world).await;
        let mut caller = world.dial();
        caller.setup(&[(Mime::AUTHENTICATION, &token)]).await;
        let mut stream = 1;
        for interaction in [
            Interaction::FireAndForget,
            Interaction::Response,
            Interaction::Stream,
            Interaction::Channel,
        ] {
            let items = u32::from(matches!(
                interaction,
                Interaction::Stream | Interaction::Channel
            ));
            for (route, allowed) in [
                ("echo.Service.find", true),
                ("echo.Service.deleteAll", false),
            ] {
                let metadata = to(route);
                let ask = request(interaction, items, &metadata);
                caller.request(stream, ask).await;
                stream += 2;
                if allowed {
                    let seen = echo.sees().await.what;
                    assert!(seen.starts_with(&format!("{interaction:?}")), "{seen}");
                } else if interaction != Interaction::FireAndForget {
                    let seen = caller.sees().await.what;
                    assert!(seen.contains("RST-900401"), "{interaction:?}: {seen}");
                }
            }
        }
        echo.sees_nothing().await;
    });
}

/// A route that was decided under other rules is decided again.
#[test]
fn new_rules_hold_for_the_next_request() {
    run(async {
        let mut realm = Realm::new();
        let world = realm.world();
        let token = bearer(&realm.member("app", "1", "default"));
        let mut echo = world.dial();
        echo.setup(&[
            (Mime::AUTHENTICATION, &token),
            (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#),
        ])
        .await;
        settle(&world).await;
        let mut caller = world.dial();
        caller.setup(&[(Mime::AUTHENTICATION, &token)]).await;
        call(&mut caller, 1, "echo.Service.say").await;
        assert_eq!(echo.sees().await.what, "Response n=0 hello");
        realm.config.rules = vec![Rule {
            effect: Effect::Allow,
            rights: vec![Right::Call],
            services: vec![ServicePattern::new("echo.*")],
            methods: vec![ServicePattern::new("shout")],
            subjects: Vec::new(),
            roles: vec!["loud".into()],
            authorities: Vec::new(),
        }];
        let identity = &world.plane.identity;
        identity.put_into_effect(identity.prepare(realm.config.clone()).unwrap());
        call(&mut caller, 3, "echo.Service.say").await;
        assert_eq!(
            echo.sees().await.what,
            "Response n=0 hello",
            "not about this method"
        );
        call(&mut caller, 5, "echo.Service.shout").await;
        let told = caller.sees().await.what;
        assert!(told.contains("RST-900401"), "{told}");
    });
}

/// What the broker judges by is what the responder reads: a request that says two things is refused.
#[test]
fn a_request_speaks_with_one_voice() {
    run(async {
        let mut realm = Realm::new();
        realm.config.rules = vec![Rule {
            effect: Effect::Deny,
            rights: vec![Right::Call],
            services: vec![ServicePattern::new("echo.*")],
            methods: vec![ServicePattern::new("delete*")],
            subjects: Vec::new(),
            roles: Vec::new(),
            authorities: Vec::new(),
        }];
        let world = realm.world();
        let token = bearer(&realm.member("app", "1", "default"));
        let mut echo = world.dial();
        echo.setup(&[
            (Mime::AUTHENTICATION, &token),
            (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#),
        ])
        .await;
        settle(&world).await;
        let mut caller = world.dial();
        caller.setup(&[(Mime::AUTHENTICATION, &token)]).await;
        let (find, delete) = ("echo.Service.find", "echo.Service.delete");
        let binary = |text: &'static str| BinaryRouting::of_text(text);
        let numbers = |numbers: BinaryRouting<'static>| BinaryRouting {
            text: "",
            ..numbers
        };
        for (stream, text, binary, told) in [
            (1, Some(find), Some(binary(find)), None),
            (3, Some(find), None, None),
            (5, Some(delete), None, Some("RST-900401")),
            (7, None, Some(binary(delete)), Some("RST-900401")),
            (9, Some(find), Some(binary(delete)), Some("RST-600500")),
            (11, Some(delete), Some(binary(find)), Some("RST-600500")),
            (
                13,
                Some(find),
                Some(numbers(binary(delete))),
                Some("RST-600500"),
            ),
            (15, None, Some(numbers(binary(find))), Some("RST-900401")),
            (17, Some("echo.Service"), None, Some("RST-900401")),
        ] {
            let mut metadata = CompositeBuilder::new();
            if let Some(binary) = binary {
                metadata = metadata.push(Mime::BINARY_ROUTING, &binary.encode());
            }
            if let Some(text) = text {
                metadata = metadata.push(Mime::ROUTING, &encode_tags([text]).unwrap());
            }
            let metadata = metadata.finish().unwrap();
            asks(&mut caller, &mut echo, stream, &metadata, told).await;
        }
    });
}

#[test]
fn a_uuid_belongs_to_its_principal() {
    run(async {
        let realm = Realm::new();
        let world = realm.world();
        let app = format!(r#"{{"name":"echo","uuid":"{UUID}"}}"#);
        let services = (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#);
        let connect = async |token: &str| {
            let mut peer = world.dial();
            let token = bearer(token);
            peer.setup(&[
                (Mime::AUTHENTICATION, &token),
                (Mime::APPLICATION, &app),
                services,
            ])
            .await;
            settle(&world).await;
            peer
        };
        let mut first = connect(&realm.member("echo", "1", "default")).await;
        let mut thief = connect(&realm.member("thief", "1", "default")).await;
        let told = refusal(&mut thief).await;
        assert!(told.contains("RST-500409"), "{told}");
        first.sees_nothing().await;
        // The same one with a newer token takes over.
        let mut second = connect(&realm.brief(600)).await;
        assert!(
            refusal(&mut second).await.contains("RST-500409"),
            "another subject"
        );
        let mut newer = connect(&realm.member("echo", "1", "other")).await;
        newer.sees_nothing().await;
        assert!(refusal(&mut first).await.contains("RST-500409"));
    });
}

#[test]
fn a_connection_ends_with_its_token() {
    run(async {
        let realm = Realm::new();
        let world = realm.world();
        let mut peer = world.dial();
        let token = bearer(&realm.brief(30));
        peer.setup(&[(Mime::AUTHENTICATION, &token)]).await;
        tokio::time::advance(Duration::from_secs(25)).await;
        peer.keepalive().await;
        peer.sees_nothing().await;
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(
            refusal(&mut peer).await,
            "error CONNECTION_ERROR (0x101) RST-910401: the token has expired; connect again with a new one"
        );
    });
}

/// A session without a transport ends when its token does, however long it might be resumed.
#[test]
fn a_parked_session_ends_with_its_token() {
    run(async {
        let realm = Realm::new();
        let window = |limits: &mut Limits| limits.resume_window = Duration::from_secs(3600);
        let world = World::with_auth(window, realm.config.clone());
        let token = bearer(&realm.brief(30));
        let mut peer = world.dial();
        let entries = [(Mime::AUTHENTICATION, token.as_str())];
        peer.setup_as(&entries, Some(b"a token of at least 16 bytes"), false)
            .await;
        settle(&world).await;
        drop(peer);
        settle(&world).await;
        assert_eq!(world.plane.sessions.parked(), 1);
        tokio::time::advance(Duration::from_secs(25)).await;
        settle(&world).await;
        assert_eq!(world.plane.sessions.parked(), 1, "not before");
        tokio::time::advance(Duration::from_secs(10)).await;
        settle(&world).await;
        assert_eq!(world.plane.sessions.parked(), 0);
        let mut back = world.dial();
        let resume = jackfield_rsocket::wire::Resume {
            version: Version::V1_0,
            token: b"a token of at least 16 bytes",
            last_received: 0,
            first_available: 0,
        };
        back.send(|out| resume.encode(out)).await;
        assert!(refusal(&mut back).await.contains("RST-910410"));
    });
}

#[test]
fn who_is_revoked_is_closed() {
    run(async {
        let mut realm = Realm::new();
        realm.config.revoked = Some(realm.file("revoked", ""));
        let world = realm.world();
        let connect = async |subject: &str| {
            let mut peer = world.dial();
            let token = bearer(&realm.member(subject, "1", "default"));
            peer.setup(&[(Mime::AUTHENTICATION, &token)]).await;
            settle(&world).await;
            peer
        };
        let (mut one, mut other) = (connect("one").await, connect("other").await);
        realm.file("revoked", "sub:one\n");
        let identity = &world.plane.identity;
        identity.put_into_effect(identity.prepare(realm.config.clone()).unwrap());
        let closed = world.plane.links.take_back(|who| identity.takes_back(who));
        assert_eq!(closed, 1);
        assert_eq!(
            refusal(&mut one).await,
            "error CONNECTION_ERROR (0x101) RST-910402: the credentials of this connection have been revoked"
        );
        other.sees_nothing().await;
    });
}

/// Credentials of a request count for that request, and for no other.
#[test]
fn a_request_may_show_its_own_credentials() {
    run(async {
        let mut realm = Realm::new();
        realm.config.per_request = true;
        let world = realm.world();
        let token = bearer(&realm.member("echo", "1", "default"));
        let mut echo = world.dial();
        echo.setup(&[
            (Mime::AUTHENTICATION, &token),
            (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#),
        ])
        .await;
        settle(&world).await;
        let mut gateway = world.dial();
        let other = bearer(&realm.member("gateway", "2", "default"));
        gateway.setup(&[(Mime::AUTHENTICATION, &other)]).await;
        let stranger = bearer(&Realm::new().member("echo", "1", "default"));
        let tags = encode_tags(["echo.Service.say"]).unwrap();
        for (stream, shown, told) in [
            (1, Some(&token), None),
            (
                3,
                None,
                Some("RST-900401: not allowed to call echo.Service"),
            ),
            (5, Some(&token), None),
            (
                7,
                Some(&stranger),
                Some("RST-910405: the credentials of the request"),
            ),
            (9, Some(&other), Some("RST-900401")),
        ] {
            let mut metadata = CompositeBuilder::new().push(Mime::ROUTING, &tags);
            if let Some(shown) = shown {
                metadata = metadata.push(Mime::AUTHENTICATION, shown.as_bytes());
            }
            let metadata = metadata.finish().unwrap();
            asks(&mut gateway, &mut echo, stream, &metadata, told).await;
        }
    });
}

/// Wherever the credentials stand in its metadata, and in however many pieces it comes.
#[test]
fn a_request_in_fragments_may_show_its_own_credentials() {
    run(async {
        let mut realm = Realm::new();
        realm.config.per_request = true;
        let world = realm.world();
        let token = bearer(&realm.member("echo", "1", "default"));
        let mut echo = world.dial();
        echo.setup(&[
            (Mime::AUTHENTICATION, &token),
            (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#),
        ])
        .await;
        settle(&world).await;
        let other = bearer(&realm.member("gateway", "2", "default"));
        let mut gateway = world.dial();
        gateway.setup(&[(Mime::AUTHENTICATION, &other)]).await;
        let both = CompositeBuilder::new()
            .push(
                Mime::BINARY_ROUTING,
                &BinaryRouting::of_text("echo.Service.say").encode(),
            )
            .push(Mime::ROUTING, &encode_tags(["echo.Service.say"]).unwrap())
            .push(Mime::AUTHENTICATION, token.as_bytes())
            .finish()
            .unwrap();
        // Both routing entries are whole in the first piece; the credentials are in the second.
        let (first, second) = both.split_at(both.len() - token.len());
        let ask = Request {
            follows: true,
            data: b"",
            ..request(Interaction::Response, 0, first)
        };
        gateway.request(1, ask).await;
        echo.sees_nothing().await;
        let rest = Payload {
            metadata: Some(second),
            ..payload("NC", b"hello")
        };
        gateway.send(|out| rest.encode(id(1), out)).await;
        let seen = echo.sees().await.what;
        assert!(seen.starts_with("Response"), "{seen}");
    });
}

/// Without `required` a token that does not verify is ignored, and calls need no kin.
#[test]
fn where_nothing_is_required_a_bad_token_does_no_harm() {
    run(async {
        let mut realm = Realm::new();
        realm.config.required = false;
        let world = realm.world();
        let mut echo = world.echo().await;
        let bad = bearer(&Realm::new().member("orders", "1", "default"));
        let mut caller = world.dial();
        caller.setup(&[(Mime::AUTHENTICATION, &bad)]).await;
        call(&mut caller, 1, "echo.Service.say").await;
        assert_eq!(echo.sees().await.what, "Response n=0 hello");
    });
}
