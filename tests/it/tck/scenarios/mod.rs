//! What the old kit's scripts try, in our own words, and channels, which none of them has.

mod channels;
mod requests;
mod resumed;

use std::time::Duration;

use super::{
    marble::{Item, Marble},
    script::{
        Kind::{self, Channel, FireAndForget, Response, Stream},
        Op, Script, Step, Until,
    },
    served::{Answer, Served},
};

pub(super) use self::{
    channels::channels,
    requests::{singles, streams},
    resumed::resumed,
};

/// Long enough for an item that must not come to have come.
const QUIET: Duration = Duration::from_millis(300);

pub(super) fn served() -> Vec<Served> {
    let marble = |text| Answer::Marble(Marble::parse(text).expect("a marble"));
    let taking = |items, text| Answer::Taking(items, Marble::parse(text).expect("a marble"));
    let handlers = [
        (Response, "word", marble(r#"w|&&{"w":{"answer":"meta"}}"#)),
        (Response, "other", marble(r#"w|&&{"w":{"second":"meta"}}"#)),
        (Response, "wrong", marble("#")),
        (Response, "never", marble("-")),
        (Response, "nothing", marble("-|")),
        (Stream, "three", marble("abc|")),
        (Stream, "many", marble("abcdefghijklmnopqrstuvwxyz|")),
        (Stream, "nothing", marble("|")),
        (Stream, "wrong", marble("#")),
        (Stream, "half", marble("ab#")),
        (Stream, "open", marble("ab")),
        (FireAndForget, "note", marble("|")),
        (Channel, "mirror", Answer::Echo),
        (Channel, "deaf", taking(2, "abcd|")),
        (Channel, "brief", marble("a|")),
        (Channel, "broken", marble("a#")),
        (Channel, "patient", marble("abc")),
        (Channel, "six", marble("abcdef|")),
    ];
    let handlers = handlers.into_iter();
    handlers
        .map(|(kind, data, answer)| Served {
            kind,
            item: Item::new(data, "of ours"),
            answer,
        })
        .collect()
}

/// `call` is any word that names the call within its scenario.
fn open(call: &str, kind: Kind, data: &str) -> Step {
    opening(call, kind, data, None)
}

/// A channel that sends `sends` behind its first item.
fn channel(call: &str, data: &str, sends: &str) -> Step {
    let sends = Marble::parse(sends).expect("a marble");
    opening(call, Channel, data, Some(sends))
}

fn opening(call: &str, kind: Kind, data: &str, sends: Option<Marble>) -> Step {
    let item = Item::new(data, "of ours");
    on(call, Op::Subscribe { kind, item, sends })
}

fn on(call: &str, op: Op) -> Step {
    Step {
        client: "one".to_owned(),
        call: call.to_owned(),
        op,
    }
}

fn ask(call: &str, n: u32) -> Step {
    on(call, Op::Request(n))
}

fn until(call: &str, until: Until) -> Step {
    on(call, Op::Await(until))
}

fn got(call: &str, items: &[&str]) -> Step {
    let items = items.iter().map(|item| Item::new(item, item)).collect();
    until(call, Until::Received(items))
}

fn quiet(call: &str) -> Step {
    on(call, Op::Silence(QUIET))
}

fn cancel(call: &str) -> Step {
    on(call, Op::Cancel)
}

/// The same step by another client.
fn by(client: &str, step: Step) -> Step {
    Step {
        client: client.to_owned(),
        ..step
    }
}

fn script(name: &str, steps: impl IntoIterator<Item = Step>) -> Script {
    Script {
        name: name.to_owned(),
        steps: steps.into_iter().collect(),
    }
}
