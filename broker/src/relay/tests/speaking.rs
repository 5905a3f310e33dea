//! Plugins that say who somebody is: at SETUP, again before that ends, and in requests of their own. They run on threads
//! of their own, so the clock is the real one here.

use super::{
    plugins::{Guest, Plugins},
    *,
};

const ROUTE: &str = "echo.Service.say";

/// On the real clock.
fn run_live<F: Future<Output = ()>>(test: F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

/// Admits whoever shows a bearer token under the token's own text, for so many seconds; refuses the token `no`, and has no
/// opinion about those who show nothing. `renewing` is what it leaves when it is asked again.
fn speaks(seconds: u32, renewing: &str) -> Guest {
    let rest: String = (0..15).map(|at| format!("(param $p{at} i32) ")).collect();
    let signature = format!("(param $app i32) {rest}(result i32)");
    Guest::without_hooks()
        .pages(2)
        .data(4096, b"nobody lets you in")
        .data(4128, b"other")
        .words(3072, &[1, 0, 0, 0, 0, 0, 0, 0, seconds, 0])
        .words(3200, &[2, 0, 0x201, 4096, 18])
        .words(3328, &[1, 0, 4128, 5, 0, 0, 0, 0, seconds, 0])
        .hook(
            "with-authenticator",
            "authenticate",
            &signature,
            &format!(
                "(global.set $heap (i32.const 65536))
                 (if (i32.eqz (local.get $p8)) (then (return (i32.const 3456))))
                 (i32.store (i32.const 3080) (i32.load offset=4 (local.get $p7)))
                 (i32.store (i32.const 3084) (i32.load offset=8 (local.get $p7)))
                 (if (i32.gt_u (local.get $p14) (i32.const 0)) (then (return (i32.const {renewing}))))
                 (if (i32.eq (i32.load offset=8 (local.get $p7)) (i32.const 2))
                    (then (return (i32.const 3200))))
                 (i32.const 3072)"
            ),
        )
}

const ADMITS: &str = "3072";
const REFUSES: &str = "3200";
const ADMITS_OTHER: &str = "3328";

/// Refuses with the principal it sees, and wants that remembered.
fn tells_principal() -> Guest {
    Guest::new()
        .import("request", "principal", "get", "(param i32)")
        .on_request(
            "(call $get (i32.const 3000))
             (i32.store8 (i32.const 2048) (i32.const 3))
             (i32.store (i32.const 2052) (i32.const 0x201))
             (i32.store (i32.const 2056) (i32.load (i32.const 3000)))
             (i32.store (i32.const 2060) (i32.load (i32.const 3004)))
             (i32.store8 (i32.const 2124) (i32.const 1))
             (i32.const 2048)",
        )
}

/// Entry 0x7C with a token, the kind spelled by name.
fn bearer(token: &str) -> String {
    format!("\u{5}bearer{token}")
}

fn spoken(token: &str) -> Bytes {
    let tags = encode_tags([ROUTE]).unwrap();
    CompositeBuilder::new()
        .push(Mime::ROUTING, &tags)
        .push(Mime::AUTHENTICATION, bearer(token).as_bytes())
        .finish()
        .unwrap()
}

fn says(stream: u32, who: &str) -> Seen {
    seen(stream, format!("error APPLICATION_ERROR (0x201) {who}"))
}

fn per_request() -> identity::Config {
    identity::Config {
        per_request: true,
        ..identity::Config::default()
    }
}

async fn comes(world: &World, token: &str) -> Peer {
    let mut peer = world.dial();
    peer.setup(&[(Mime::AUTHENTICATION, &bearer(token))]).await;
    peer
}

async fn ask(caller: &mut Peer, stream: u32, metadata: &[u8]) {
    let ask = request(Interaction::Response, 0, metadata);
    caller.request(stream, ask).await;
}

#[test]
fn a_plugin_says_who_opens_a_connection() {
    run_live(async {
        let world = World::new();
        let mut plugins = Plugins::of(&world);
        plugins.add("speaks", &speaks(0, ADMITS));
        plugins.add("tells", &tells_principal());
        let _echo = world.echo().await;
        let metadata = to(ROUTE);
        let mut alice = comes(&world, "alice").await;
        ask(&mut alice, 1, &metadata).await;
        assert_eq!(alice.sees().await, says(1, "alice"));
        let mut nobody = world.caller().await;
        ask(&mut nobody, 1, &metadata).await;
        assert_eq!(nobody.sees().await, says(1, ""));
        let mut refused = comes(&world, "no").await;
        let words = "error REJECTED_SETUP (0x003) nobody lets you in";
        assert_eq!(refused.sees().await, seen(0, words));
        assert_eq!(world.plane.metrics.refusals("setup"), 1);
    });
}

/// Whoever cannot be asked is not let in, and reads nothing of why.
#[test]
fn an_authenticator_that_fails_lets_nobody_in() {
    run_live(async {
        let world = World::new();
        let mut plugins = Plugins::of(&world);
        let signature = format!("(param $app i32) {}(result i32)", "(param i32) ".repeat(15));
        let traps = Guest::without_hooks().pages(2).hook(
            "with-authenticator",
            "authenticate",
            &signature,
            "(unreachable)",
        );
        plugins.add("traps", &traps);
        let mut alice = comes(&world, "alice").await;
        let refused = alice.sees().await;
        assert!(refused.what.contains("RST-500405"), "{refused:?}");
        plugins.add_with("open", &traps, |_| {});
        plugins.open_on_failure();
        let mut alice = comes(&world, "alice").await;
        alice.keepalive().await;
        ask(&mut alice, 1, &to(ROUTE)).await;
        let answer = alice.sees().await;
        assert!(answer.what.contains("RST-900404"), "she is in: {answer:?}");
    });
}

#[test]
fn a_principal_that_ends_is_asked_about_again() {
    // On the real clock, and in time on a busy machine too: what is left when it is asked again is a fifth.
    run_live(async {
        let cases = [
            (ADMITS, None),
            (REFUSES, Some("RST-910402")),
            (ADMITS_OTHER, Some("RST-910406")),
        ];
        futures_util::future::join_all(cases.map(|(renewing, ends)| async move {
            let world = World::new();
            let mut plugins = Plugins::of(&world);
            plugins.add("speaks", &speaks(4, renewing));
            plugins.add("tells", &tells_principal());
            let _echo = world.echo().await;
            let mut alice = comes(&world, "alice").await;
            let seen = tokio::time::timeout(Duration::from_millis(6_000), alice.sees()).await;
            match (ends, seen) {
                (None, Err(_)) => {
                    ask(&mut alice, 1, &to(ROUTE)).await;
                    assert_eq!(alice.sees().await, says(1, "alice"));
                }
                (Some(code), Ok(seen)) => assert!(seen.what.contains(code), "{seen:?}"),
                other => panic!("{other:?}"),
            }
        }))
        .await;
    });
}

/// What is remembered of one speaker's requests is never another's, on one connection and one route.
#[test]
fn a_remembered_verdict_is_not_another_speakers() {
    run_live(async {
        let world = World::with_auth(|_| {}, per_request());
        let mut plugins = Plugins::of(&world);
        plugins.add("speaks", &speaks(0, ADMITS));
        plugins.add("tells", &tells_principal());
        let _echo = world.echo().await;
        let mut caller = comes(&world, "shop").await;
        let order = ["alice", "bob", "alice", "", "bob", "", "alice", "carol"];
        for (at, who) in order.into_iter().enumerate() {
            let stream = 1 + 2 * at as u32;
            let (metadata, expected) = match who {
                "" => (to(ROUTE), "shop"),
                who => (spoken(who), who),
            };
            ask(&mut caller, stream, &metadata).await;
            assert_eq!(caller.sees().await, says(stream, expected));
        }
        // Each token is judged once: that of SETUP, and three in requests.
        assert_eq!(plugins.calls("speaks", "authenticator", "admit"), 4);
    });
}

#[test]
fn requests_wait_for_a_plugins_word_in_every_shape() {
    run_live(async {
        let world = World::with_auth(|_| {}, per_request());
        let mut plugins = Plugins::of(&world);
        plugins.add("speaks", &speaks(0, ADMITS));
        let (mut echo, mut caller) = (world.echo().await, world.caller().await);
        ask(&mut caller, 1, &spoken("no")).await;
        let refused = caller.sees().await;
        assert!(refused.what.contains("RST-910405"), "{refused:?}");
        let metadata = spoken("alice");
        // A fire-and-forget has no stream to wait at.
        let told = request(Interaction::FireAndForget, 0, &metadata);
        caller.request(3, told).await;
        assert_eq!(echo.sees().await, seen(2, "FireAndForget n=0 hello"));
        // Fragments and credit that come meanwhile follow.
        let other = spoken("bob");
        let mut first = request(Interaction::Stream, 2, &other);
        first.follows = true;
        caller.request(5, first).await;
        caller.payload(5, "FN", b"one").await;
        caller.payload(5, "N", b"two").await;
        caller.request_n(5, 3).await;
        assert_eq!(echo.sees().await, seen(4, "Stream n=2 hello+"));
        assert_eq!(echo.sees().await, seen(4, "payload FN one"));
        assert_eq!(echo.sees().await, seen(4, "payload N two"));
        assert_eq!(echo.sees().await, seen(4, "credit 3"));
        // One that is taken back is not sent when the word comes.
        ask(&mut caller, 7, &spoken("carol")).await;
        caller.cancel(7).await;
        ask(&mut caller, 9, &spoken("dave")).await;
        assert_eq!(echo.sees().await, seen(6, "Response n=0 hello"));
        let mut fragmented = request(Interaction::FireAndForget, 0, &other);
        let fresh = spoken("erin");
        fragmented.metadata = Some(&fresh);
        fragmented.follows = true;
        caller.request(11, fragmented).await;
        caller.payload(11, "N", b"end").await;
        assert_eq!(echo.sees().await, seen(8, "FireAndForget n=0 hello+"));
        assert_eq!(echo.sees().await, seen(8, "payload N end"));
        assert_eq!(world.plane.holding.held(), (0, 0));
    });
}

/// A refusal is remembered for a while, so that nobody has the plugin asked at the rate of his requests.
#[test]
fn refused_credentials_are_not_judged_each_time() {
    run_live(async {
        let world = World::with_auth(|_| {}, per_request());
        let mut plugins = Plugins::of(&world);
        plugins.add("speaks", &speaks(0, ADMITS));
        let (_echo, mut caller) = (world.echo().await, world.caller().await);
        for stream in [1, 3, 5, 7] {
            ask(&mut caller, stream, &spoken("no")).await;
            let refused = caller.sees().await;
            assert!(refused.what.contains("RST-910405"), "{refused:?}");
        }
        assert_eq!(plugins.calls("speaks", "authenticator", "refuse"), 1);
    });
}

/// Of two the broker would judge one and the responder perhaps the other.
#[test]
fn a_request_shows_credentials_once() {
    run_live(async {
        let world = World::with_auth(|_| {}, per_request());
        let (_echo, mut caller) = (world.echo().await, world.caller().await);
        let metadata = CompositeBuilder::new()
            .push(Mime::ROUTING, &encode_tags([ROUTE]).unwrap())
            .push(Mime::AUTHENTICATION, bearer("alice").as_bytes())
            .push(Mime::AUTHENTICATION, bearer("bob").as_bytes())
            .finish()
            .unwrap();
        ask(&mut caller, 1, &metadata).await;
        let refused = caller.sees().await;
        assert!(refused.what.contains("RST-600500"), "{refused:?}");
    });
}

/// The rights that a plugin leaves out are gone, whatever the rules say.
#[test]
fn a_plugin_may_give_less_than_the_rules() {
    run_live(async {
        // Publishing, and nothing else.
        let guest = speaks(0, ADMITS).words(3096, &[0x0201]);
        let world = World::new();
        let mut plugins = Plugins::of(&world);
        plugins.add("speaks", &guest);
        let _echo = world.echo().await;
        let mut alice = comes(&world, "alice").await;
        ask(&mut alice, 1, &to(ROUTE)).await;
        let refused = alice.sees().await;
        assert!(refused.what.contains("RST-900401"), "{refused:?}");
    });
}
