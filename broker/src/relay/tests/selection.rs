//! The hook `endpoint-selector`: who gets a request, and who gets it when that one does not take it.

use super::{
    plugins::{Guest, Plugins},
    *,
};

const ROUTE: &str = "echo.Service.say";

/// Says this about whoever there is.
fn selects(words: &[u32], named: &[u32]) -> Guest {
    Guest::without_hooks()
        .words(4096, named)
        .words(2304, words)
        .select("(i32.const 2304)")
}

fn among(named: &[u32]) -> Guest {
    selects(&[1, 4096, named.len() as u32], named)
}

fn ranking(named: &[u32]) -> Guest {
    selects(&[2, 4096, named.len() as u32], named)
}

/// So many applications of one service, in the order in which plugins are shown them.
async fn echoes(world: &World, count: usize) -> Vec<Peer> {
    let mut echoes = Vec::new();
    for _ in 0..count {
        echoes.push(world.echo().await);
    }
    echoes
}

async fn ask(caller: &mut Peer, stream: u32) {
    let metadata = to(ROUTE);
    let ask = request(Interaction::Response, 0, &metadata);
    caller.request(stream, ask).await;
}

async fn world_with(guest: &Guest) -> (World, Plugins, Peer) {
    let world = World::new();
    let mut plugins = Plugins::of(&world);
    plugins.add("selector", guest);
    let caller = world.caller().await;
    (world, plugins, caller)
}

#[test]
fn the_instance_is_the_one_that_a_plugin_chooses() {
    run(async {
        for guest in [selects(&[3, 1], &[]), ranking(&[1, 0]), among(&[1])] {
            let (world, _plugins, mut caller) = world_with(&guest).await;
            let mut echoes = echoes(&world, 3).await;
            for call in 0..6 {
                ask(&mut caller, 1 + 2 * call).await;
                assert_eq!(echoes[1].sees().await.stream, 2 + 2 * call);
            }
            echoes[0].sees_nothing().await;
            echoes[2].sees_nothing().await;
        }
    });
}

/// The broker's own balance among them: the least loaded.
#[test]
fn among_several_the_broker_balances() {
    run(async {
        let (world, _plugins, mut caller) = world_with(&among(&[0, 2])).await;
        let mut echoes = echoes(&world, 3).await;
        for call in 0..4 {
            ask(&mut caller, 1 + 2 * call).await;
        }
        for echo in [0, 2] {
            assert_eq!(echoes[echo].sees().await.stream, 2);
            assert_eq!(echoes[echo].sees().await.stream, 4);
        }
        echoes[1].sees_nothing().await;
    });
}

#[test]
fn nobody_fits_is_an_answer() {
    run(async {
        for guest in [among(&[]), ranking(&[])] {
            let (world, _plugins, mut caller) = world_with(&guest).await;
            let mut echoes = echoes(&world, 2).await;
            ask(&mut caller, 1).await;
            let refused = caller.sees().await;
            assert!(refused.what.contains("RST-900405"), "{refused:?}");
            echoes[0].sees_nothing().await;
        }
    });
}

/// With one instance there is nothing to choose.
#[test]
fn a_single_instance_is_not_asked_about() {
    run(async {
        let (world, _plugins, mut caller) = world_with(&among(&[])).await;
        let mut echo = world.echo().await;
        ask(&mut caller, 1).await;
        assert_eq!(echo.sees().await, seen(2, "Response n=0 hello"));
    });
}

/// What the first of a ranking does not take goes to the next of it, and to nobody else.
#[test]
fn a_request_that_comes_back_walks_down_the_ranking() {
    run(async {
        for (named, next) in [(&[0, 2][..], Some(2)), (&[0][..], None)] {
            let (world, _plugins, mut caller) = world_with(&ranking(named)).await;
            let mut echoes = echoes(&world, 3).await;
            // The caller's link hands it over, then the first application's link reads that it is leaving.
            ask(&mut caller, 1).await;
            echoes[0].error(0, 0x102, "leaving").await;
            match next {
                Some(next) => assert_eq!(echoes[next].sees().await.stream, 2),
                None => {
                    let refused = caller.sees().await;
                    assert!(refused.what.contains("RST-910429"), "{refused:?}");
                }
            }
            echoes[1].sees_nothing().await;
        }
    });
}

/// A selector only advises: when it fails the broker's own balance decides; a strict one refuses.
#[test]
fn a_selector_that_fails_is_gone_without_unless_it_is_strict() {
    run(async {
        let fails = Guest::without_hooks().select("(unreachable)");
        let (world, mut plugins, mut caller) = world_with(&fails).await;
        let _echoes = echoes(&world, 2).await;
        ask(&mut caller, 1).await;
        caller.sees_nothing().await;
        plugins.add_with("strict", &fails, |plugin| {
            plugin.on_failure = Some(crate::chain::FailurePolicy::Closed);
        });
        ask(&mut caller, 3).await;
        let text = "RST-910520: plugin strict failed and refuses by policy";
        let refused = format!("error REJECTED (0x202) {text}");
        assert_eq!(caller.sees().await, seen(3, refused));
    });
}
