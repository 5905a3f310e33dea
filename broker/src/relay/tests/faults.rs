//! Faults that a plugin wants, carried out by the relay: on a stopped clock, to the millisecond.

use tokio::time::Instant;

use super::{
    plugins::{Guest, Plugins},
    *,
};

const ROUTE: &str = "echo.Service.say";

/// A plan of one fault for so many of 10000 requests, in words as the contract lays them out.
fn plan(weight: u32, fault: &[u32], remember: bool) -> Guest {
    let mut odds = vec![weight];
    odds.extend(fault);
    Guest::without_hooks()
        .data(4096, b"broken")
        .words(8192, &odds)
        .words(2304, &[8192, 1, remember.into()])
        .disturb("(i32.const 2304)")
}

const fn delay(ms: u32) -> [u32; 5] {
    [0, ms, 0, 0, 0]
}

const ERROR: [u32; 5] = [1, 0x301, 4096, 6, 0];
const BLACK_HOLE: [u32; 5] = [2, 0, 0, 0, 0];

const fn cut(after: u32) -> [u32; 5] {
    [3, after, 0x301, 4096, 6]
}

const fn slow(ms: u32) -> [u32; 5] {
    [4, ms, 0, 0, 0]
}

/// A world in which this always goes wrong, a responder and a caller.
async fn troubled(fault: &[u32]) -> (World, Plugins, Peer, Peer) {
    troubled_in(World::new(), fault).await
}

async fn troubled_in(world: World, fault: &[u32]) -> (World, Plugins, Peer, Peer) {
    let mut plugins = Plugins::of(&world);
    plugins.add("chaos", &plan(10_000, fault, true));
    let (echo, caller) = (world.echo().await, world.caller().await);
    (world, plugins, echo, caller)
}

fn broken(stream: u32) -> Seen {
    seen(stream, "error 0x00000301 broken")
}

#[test]
fn a_delayed_request_goes_on_when_its_time_has_come() {
    run(async {
        for (interaction, expected) in [
            (Interaction::Response, "Response n=0 hello"),
            (Interaction::FireAndForget, "FireAndForget n=0 hello"),
            (Interaction::Stream, "Stream n=7 hello"),
            (Interaction::Channel, "Channel n=7 hello"),
        ] {
            let (world, _plugins, mut echo, mut caller) = troubled(&delay(700)).await;
            let metadata = to(ROUTE);
            caller.request(1, request(interaction, 7, &metadata)).await;
            let sent = Instant::now();
            echo.sees_nothing().await;
            assert_eq!(world.plane.holding.held().0, 1);
            assert_eq!(echo.sees().await, seen(2, expected));
            let took = sent.elapsed().as_millis();
            assert!((700..710).contains(&took), "{took} ms");
            assert_eq!(world.plane.holding.held(), (0, 0));
            assert_eq!(world.plane.metrics.faults("delay"), 1);
            if interaction == Interaction::Response {
                echo.payload(2, "NC", b"world").await;
                assert_eq!(caller.sees().await, seen(1, "payload NC world"));
            }
        }
    });
}

#[test]
fn what_a_caller_says_meanwhile_counts_when_the_request_goes_on() {
    run(async {
        let (world, _plugins, mut echo, mut caller) = troubled(&delay(500)).await;
        let metadata = to(ROUTE);
        for stream in [1, 3, 5] {
            caller
                .request(stream, request(Interaction::Channel, 1, &metadata))
                .await;
        }
        caller.request_n(1, 2).await;
        caller.payload(1, "C", b"").await;
        caller.cancel(3).await;
        caller.error(5, 0x201, "never mind").await;
        echo.sees_nothing().await;
        assert_eq!(world.plane.holding.held().0, 1, "cancelled is not held");
        assert_eq!(echo.sees().await, seen(2, "Channel n=3 hello"));
        assert_eq!(echo.sees().await, seen(2, "payload C "));
        echo.sees_nothing().await;
        echo.payload(2, "NC", b"world").await;
        assert_eq!(caller.sees().await, seen(1, "payload NC world"));
        caller.sees_nothing().await;
        assert_eq!(world.plane.holding.held(), (0, 0));
    });
}

#[test]
fn a_delayed_request_in_fragments_stays_in_order() {
    run(async {
        let (_world, _plugins, mut echo, mut caller) = troubled(&delay(500)).await;
        let metadata = to(ROUTE);
        let mut first = request(Interaction::Stream, 2, &metadata);
        first.follows = true;
        caller.request(1, first).await;
        caller.payload(1, "FN", b"one").await;
        caller.request_n(1, 5).await;
        echo.sees_nothing().await;
        tokio::time::sleep(Duration::from_millis(600)).await;
        caller.payload(1, "N", b"two").await;
        assert_eq!(echo.sees().await, seen(2, "Stream n=2 hello+"));
        assert_eq!(echo.sees().await, seen(2, "payload FN one"));
        assert_eq!(echo.sees().await, seen(2, "payload N two"));
        assert_eq!(echo.sees().await, seen(2, "credit 5"));
    });
}

/// The end of its stream is not its own.
#[test]
fn a_delayed_fire_and_forget_in_fragments_goes_on_too() {
    run(async {
        for (fault, arrives) in [(delay(500), true), (BLACK_HOLE, false)] {
            let (world, _plugins, mut echo, mut caller) = troubled(&fault).await;
            let metadata = to(ROUTE);
            let mut first = request(Interaction::FireAndForget, 0, &metadata);
            first.follows = true;
            caller.request(1, first).await;
            caller.payload(1, "N", b"end").await;
            echo.sees_nothing().await;
            if arrives {
                assert_eq!(echo.sees().await, seen(2, "FireAndForget n=0 hello+"));
                assert_eq!(echo.sees().await, seen(2, "payload N end"));
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            echo.sees_nothing().await;
            assert_eq!(world.plane.holding.held(), (0, 0));
        }
    });
}

/// The instance is picked when the request comes; when that one has gone meanwhile another takes it.
#[test]
fn a_delayed_request_finds_another_instance() {
    run(async {
        let (world, _plugins, mut echo, mut caller) = troubled(&delay(500)).await;
        let metadata = to(ROUTE);
        caller
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        echo.sees_nothing().await;
        let mut other = world.echo().await;
        drop(echo);
        assert_eq!(other.sees().await, seen(2, "Response n=0 hello"));
    });
}

#[test]
fn a_request_that_is_to_fail_is_seen_by_nobody() {
    run(async {
        let (world, _plugins, mut echo, mut caller) = troubled(&ERROR).await;
        let metadata = to(ROUTE);
        for (stream, interaction) in [
            (1, Interaction::Response),
            (3, Interaction::Stream),
            (5, Interaction::Channel),
        ] {
            caller
                .request(stream, request(interaction, 1, &metadata))
                .await;
            assert_eq!(caller.sees().await, broken(stream));
        }
        caller
            .request(7, request(Interaction::FireAndForget, 0, &metadata))
            .await;
        caller.sees_nothing().await;
        echo.sees_nothing().await;
        assert_eq!(world.plane.metrics.faults("error"), 4);
        assert_eq!(world.plane.metrics.refusals("fault"), 4);
    });
}

#[test]
fn out_of_a_black_hole_nothing_comes_but_the_end_of_time() {
    run(async {
        let timeout = |timeout| Routing {
            timeout,
            ..Routing::default()
        };
        for (routing, seconds) in [
            (timeout(Some(Duration::from_secs(3))), 3),
            // Without a timeout nothing is held for longer than anything may be.
            (timeout(None), 60),
        ] {
            let world = World::with_routing(|_| {}, routing);
            let (world, _plugins, mut echo, mut caller) = troubled_in(world, &BLACK_HOLE).await;
            let metadata = to(ROUTE);
            caller
                .request(1, request(Interaction::FireAndForget, 0, &metadata))
                .await;
            caller
                .request(3, request(Interaction::Stream, 7, &metadata))
                .await;
            caller.payload(3, "N", b"unheard").await;
            let sent = Instant::now();
            let late = "error CANCELED (0x203) RST-910504: no answer in time";
            caller.keepalive().await;
            assert_eq!(caller.sees().await, seen(3, late));
            let took = sent.elapsed().as_secs_f64();
            let seconds = f64::from(seconds);
            assert!((seconds..seconds + 0.2).contains(&took), "{took} s");
            echo.sees_nothing().await;
            assert_eq!(world.plane.holding.held(), (0, 0));
            assert_eq!(world.plane.metrics.faults("black_hole"), 2);
        }
    });
}

#[test]
fn a_reply_breaks_off_after_so_many_items() {
    run(async {
        let (world, _plugins, mut echo, mut caller) = troubled(&cut(2)).await;
        let metadata = to(ROUTE);
        caller
            .request(1, request(Interaction::Stream, 9, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(2, "Stream n=9 hello"));
        echo.payload(2, "N", b"one").await;
        echo.payload(2, "FN", b"tw").await;
        echo.payload(2, "N", b"o").await;
        assert_eq!(caller.sees().await, seen(1, "payload N one"));
        assert_eq!(caller.sees().await, seen(1, "payload FN tw"));
        assert_eq!(caller.sees().await, seen(1, "payload N o"));
        caller.sees_nothing().await;
        echo.payload(2, "N", b"three").await;
        assert_eq!(caller.sees().await, broken(1));
        assert_eq!(echo.sees().await, seen(2, "cancel"));
        assert_eq!(world.plane.metrics.faults("cut"), 1);
        // One that ends before that ends well, and a single reply is whole or is not there at all.
        caller
            .request(3, request(Interaction::Stream, 9, &metadata))
            .await;
        caller
            .request(5, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(4, "Stream n=9 hello"));
        assert_eq!(echo.sees().await, seen(6, "Response n=0 hello"));
        echo.payload(4, "NC", b"one").await;
        echo.payload(6, "NC", b"all").await;
        assert_eq!(caller.sees().await, seen(3, "payload NC one"));
        assert_eq!(caller.sees().await, seen(5, "payload NC all"));
        assert_eq!(world.plane.metrics.faults("cut"), 1);
    });
}

#[test]
fn a_single_reply_breaks_off_before_it_comes() {
    run(async {
        let (_world, _plugins, mut echo, mut caller) = troubled(&cut(0)).await;
        let metadata = to(ROUTE);
        caller
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(2, "Response n=0 hello"));
        echo.payload(2, "NC", b"world").await;
        assert_eq!(caller.sees().await, broken(1));
    });
}

#[test]
fn items_keep_a_distance_and_their_order() {
    run(async {
        let (world, _plugins, mut echo, mut caller) = troubled(&slow(300)).await;
        let metadata = to(ROUTE);
        caller
            .request(1, request(Interaction::Stream, 9, &metadata))
            .await;
        // One at a time is asked for, so a responder that keeps to its credit has nothing to wait here.
        assert_eq!(echo.sees().await, seen(2, "Stream n=1 hello"));
        let begun = Instant::now();
        for item in 0..3 {
            echo.payload(2, "N", format!("item {item}").as_bytes())
                .await;
            let expected = seen(1, format!("payload N item {item}"));
            assert_eq!(caller.sees().await, expected);
            let took = begun.elapsed().as_millis();
            assert!((300 * item..300 * item + 50).contains(&took), "{took} ms");
            assert_eq!(echo.sees().await, seen(2, "credit 1"));
        }
        // One that does not is slowed down all the same, and its end waits its turn.
        echo.payload(2, "N", b"four").await;
        echo.payload(2, "FN", b"fi").await;
        echo.payload(2, "N", b"ve").await;
        echo.error(2, 0x201, "enough").await;
        for expected in ["payload N four", "payload FN fi", "payload N ve"] {
            assert_eq!(caller.sees().await, seen(1, expected));
        }
        let took = begun.elapsed().as_millis();
        assert!((1200..1300).contains(&took), "{took} ms");
        let end = "error APPLICATION_ERROR (0x201) enough";
        assert_eq!(caller.sees().await, seen(1, end));
        assert_eq!(world.plane.holding.held(), (0, 0));
        assert_eq!(world.plane.metrics.faults("slow"), 1);
    });
}

#[test]
fn a_slowed_reader_may_give_up() {
    run(async {
        let (world, _plugins, mut echo, mut caller) = troubled(&slow(300)).await;
        let metadata = to(ROUTE);
        caller
            .request(1, request(Interaction::Stream, 9, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(2, "Stream n=1 hello"));
        echo.payload(2, "N", b"one").await;
        assert_eq!(caller.sees().await, seen(1, "payload N one"));
        assert_eq!(echo.sees().await, seen(2, "credit 1"));
        echo.payload(2, "N", b"two").await;
        caller.sees_nothing().await;
        caller.cancel(1).await;
        assert_eq!(echo.sees().await, seen(2, "cancel"));
        tokio::time::sleep(Duration::from_secs(1)).await;
        caller.sees_nothing().await;
        assert_eq!(world.plane.holding.held(), (0, 0));
    });
}

#[test]
fn what_is_held_is_bounded() {
    run(async {
        let full = "error REJECTED (0x202) RST-910432: more requests are held than \
                    limits.held-requests and limits.held-bytes allow";
        let metadata = to(ROUTE);
        let ask = || request(Interaction::Response, 0, &metadata);
        // An eighth of it for one link.
        let world = World::with(|limits| limits.held_requests = 16);
        let (world, _plugins, mut echo, mut caller) = troubled_in(world, &delay(900)).await;
        caller
            .request(1, request(Interaction::FireAndForget, 0, &metadata))
            .await;
        for stream in [3, 5] {
            caller.request(stream, ask()).await;
        }
        assert_eq!(caller.sees().await, seen(5, full));
        caller
            .request(7, request(Interaction::FireAndForget, 0, &metadata))
            .await;
        assert_eq!(echo.sees().await, seen(2, "FireAndForget n=0 hello"));
        assert_eq!(echo.sees().await, seen(4, "Response n=0 hello"));
        echo.sees_nothing().await;
        assert_eq!(world.plane.metrics.refusals("held"), 2);
        assert_eq!(world.plane.holding.held(), (0, 0));

        let world = World::with(|limits| limits.held_requests = 2);
        let (world, _plugins, mut echo, mut caller) = troubled_in(world, &delay(900)).await;
        let (mut second, mut third) = (world.caller().await, world.caller().await);
        for caller in [&mut caller, &mut second, &mut third] {
            caller.request(1, ask()).await;
        }
        assert_eq!(third.sees().await, seen(1, full));
        assert_eq!(echo.sees().await, seen(2, "Response n=0 hello"));
        assert_eq!(echo.sees().await, seen(4, "Response n=0 hello"));
        assert_eq!(world.plane.holding.held(), (0, 0));

        let world = World::with(|limits| limits.held_bytes = 45);
        let (world, _plugins, mut echo, mut caller) = troubled_in(world, &delay(900)).await;
        caller.request(1, ask()).await;
        caller.request(3, ask()).await;
        assert_eq!(caller.sees().await, seen(3, full));
        assert_eq!(echo.sees().await, seen(2, "Response n=0 hello"));
        assert_eq!(world.plane.holding.held(), (0, 0));

        let world = World::with(|limits| limits.held_time = Duration::from_millis(899));
        let (_world, _plugins, mut echo, mut caller) = troubled_in(world, &delay(900)).await;
        caller.request(1, ask()).await;
        let text = "a plugin wants the request held for longer than limits.held-time";
        let refused = format!("error REJECTED (0x202) RST-910432: {text}");
        assert_eq!(caller.sees().await, seen(1, refused));
        echo.sees_nothing().await;
    });
}

/// Frames without a byte of their own are not free.
#[test]
fn empty_fragments_of_a_held_request_weigh() {
    run(async {
        let world = World::with(|limits| limits.held_bytes = 2000);
        let (world, _plugins, _echo, mut caller) = troubled_in(world, &delay(900)).await;
        let metadata = to(ROUTE);
        let mut first = request(Interaction::Stream, 1, &metadata);
        first.follows = true;
        caller.request(1, first).await;
        for _ in 0..2000 / 64 + 1 {
            caller.payload(1, "FN", b"").await;
        }
        let refused = "error REJECTED (0x202) RST-910432: more requests are held than \
                       limits.held-requests and limits.held-bytes allow";
        assert_eq!(caller.sees().await, seen(1, refused));
        assert_eq!(world.plane.holding.held(), (0, 0));
    });
}

#[test]
fn a_lost_caller_leaves_nothing_held() {
    run(async {
        let (world, _plugins, mut echo, mut caller) = troubled(&delay(900)).await;
        let metadata = to(ROUTE);
        caller
            .request(1, request(Interaction::Response, 0, &metadata))
            .await;
        echo.sees_nothing().await;
        assert_eq!(world.plane.holding.held().0, 1);
        drop(caller);
        echo.sees_nothing().await;
        assert_eq!(world.plane.holding.held(), (0, 0));
        tokio::time::sleep(Duration::from_secs(1)).await;
        echo.sees_nothing().await;
    });
}

/// The operator's switch: at once, also for what was remembered, and back.
#[test]
fn the_operator_stops_all_faults() {
    run(async {
        let (_world, mut plugins, mut echo, mut caller) = troubled(&ERROR).await;
        let metadata = to(ROUTE);
        for (stream, allowed) in [(1, true), (3, true), (5, false), (7, true)] {
            plugins.allow_chaos(allowed);
            caller
                .request(stream, request(Interaction::Response, 0, &metadata))
                .await;
            if allowed {
                assert_eq!(caller.sees().await, broken(stream));
            } else {
                assert_eq!(echo.sees().await, seen(2, "Response n=0 hello"));
            }
        }
    });
}

/// Of 4000 calls so many fail as the plan says, whether or not it is remembered: a fair dice leaves these bounds less
/// than once in a million runs.
#[test]
fn faults_are_as_frequent_as_planned() {
    run(async {
        for remember in [true, false] {
            let world = World::new();
            let mut plugins = Plugins::of(&world);
            plugins.add("chaos", &plan(3_000, &ERROR, remember));
            let (mut echo, mut caller) = (world.echo().await, world.caller().await);
            let metadata = to(ROUTE);
            let ask = request(Interaction::FireAndForget, 0, &metadata);
            for call in 0..4_000 {
                caller.request(1 + 2 * call, ask).await;
                if call % 100 == 99 {
                    // The rest of its outbox does not grow.
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            }
            let (calls, share) = (4_000.0_f64, 0.3);
            let bound = 5.0 * (calls * share * (1.0 - share)).sqrt();
            let failed = world.plane.metrics.faults("error") as f64;
            assert!((failed - calls * share).abs() < bound, "{failed} failed");
            let mut arrived = 0.0;
            while arrived + failed < calls {
                echo.sees().await;
                arrived += 1.0;
            }
            echo.sees_nothing().await;
        }
    });
}
