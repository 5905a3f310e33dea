//! What a scenario says, whoever wrote it: the old kit's files, or the table in `scenarios`.
//!
//! The kit's language is one line per step, `client%%operation%%...`, tests apart by `!`. Older files
//! name no client. How long a script would wait is not what it tests, so those numbers are not kept:
//! only the silence of `await%%no_events` is a length of time.

use std::time::Duration;

use super::marble::{Item, Marble};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Response,
    Stream,
    FireAndForget,
    Channel,
}

#[derive(Clone, Debug)]
pub(crate) struct Script {
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
}

/// One operation of one client, on one call where it concerns one.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) client: String,
    pub(crate) call: String,
    pub(crate) op: Op,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    /// Prepares a call; the first [`Op::Request`] sends it.
    Subscribe {
        kind: Kind,
        item: Item,
        /// What a channel's requester sends behind its first item.
        sends: Option<Marble>,
    },
    Request(u32),
    Cancel,
    /// The connection is lost, and until [`Op::Resume`] there is no other.
    Disconnect,
    Resume,
    Await(Until),
    /// Nothing happens to the call for so long.
    Silence(Duration),
    Now(Fact),
}

/// What a step waits for.
#[derive(Clone, Debug)]
pub(crate) enum Until {
    Terminal,
    AtLeast(usize),
    Completed,
    Failed,
    /// Exactly these, and no more by then.
    Received(Vec<Item>),
    ReceivedExactly(usize),
    /// The responder no longer wants what this channel's requester sends.
    Halted,
    /// The responder has so many items of the requester's.
    Taken(usize),
    /// The responder has seen the requester's last item go by.
    TakenAll,
    /// The responder has been told to stop.
    Stopped,
}

/// What must hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    NoError,
    NotCompleted,
    Cancelled,
}

/// The tests of one client file.
pub(crate) fn parse(text: &str) -> Result<Vec<Script>, String> {
    let mut scripts: Vec<Script> = Vec::new();
    for (number, line) in text.lines().map(str::trim).enumerate() {
        if matches!(line, "" | "!" | "EOF") {
            continue;
        }
        if let Some(name) = line.strip_prefix("name%%") {
            scripts.push(Script {
                name: name.to_owned(),
                steps: Vec::new(),
            });
            continue;
        }
        let step = step(line).map_err(|why| format!("line {}: {why}: {line}", number + 1))?;
        let script = scripts.last_mut().ok_or("a step before any name")?;
        script.steps.push(step);
    }
    Ok(scripts)
}

fn step(line: &str) -> Result<Step, String> {
    let mut words: Vec<_> = line.split("%%").collect();
    let named = words[0].strip_prefix('c').is_some_and(is_number);
    let client = if named { words.remove(0) } else { "c0" };
    let (call, op) = match *words.as_slice() {
        ["subscribe", kind, call, data, metadata] => {
            let op = Op::Subscribe {
                kind: self::kind(kind)?,
                item: Item::new(data, metadata),
                sends: None,
            };
            (call, op)
        }
        ["request", n, call] => (call, Op::Request(number(n)?)),
        ["cancel", call] => (call, Op::Cancel),
        ["disconnect"] => ("", Op::Disconnect),
        ["resume"] => ("", Op::Resume),
        ["await", "terminal", call] => (call, Op::Await(Until::Terminal)),
        ["await", "atLeast", call, n, ..] => (call, Op::Await(Until::AtLeast(number(n)?))),
        ["await", "no_events", call, ms] => (call, Op::Silence(Duration::from_millis(number(ms)?))),
        ["assert", what, call] => (call, assertion(what)?),
        ["assert", what, call, wanted] => (call, counted(what, wanted)?),
        _ => return Err("no operation of the kit".to_owned()),
    };
    Ok(Step {
        client: client.to_owned(),
        call: call.to_owned(),
        op,
    })
}

pub(super) fn kind(word: &str) -> Result<Kind, String> {
    match word {
        "rr" => Ok(Kind::Response),
        "rs" => Ok(Kind::Stream),
        "fnf" => Ok(Kind::FireAndForget),
        _ => Err(format!("no interaction {word:?}")),
    }
}

fn assertion(what: &str) -> Result<Op, String> {
    match what {
        "no_error" => Ok(Op::Now(Fact::NoError)),
        "no_completed" => Ok(Op::Now(Fact::NotCompleted)),
        "canceled" => Ok(Op::Now(Fact::Cancelled)),
        "error" => Ok(Op::Await(Until::Failed)),
        "completed" => Ok(Op::Await(Until::Completed)),
        "no_values" => Ok(Op::Await(Until::ReceivedExactly(0))),
        _ => Err(format!("no assertion {what:?}")),
    }
}

fn counted(what: &str, wanted: &str) -> Result<Op, String> {
    let until = match what {
        "received" => {
            let items = wanted.split("&&").map(|item| {
                let (data, metadata) = item.split_once(',').ok_or("an item is DATA,METADATA")?;
                Ok(Item::new(data, metadata))
            });
            Until::Received(items.collect::<Result<_, &str>>()?)
        }
        "received_n" => Until::ReceivedExactly(number(wanted)?),
        "received_at_least" => Until::AtLeast(number(wanted)?),
        _ => return Err(format!("no assertion {what:?}")),
    };
    Ok(Op::Await(until))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} is no number"))
}

#[test]
fn every_operation_of_the_kit_is_understood_and_nothing_else() {
    let text = "!\nname%%one\nc1%%subscribe%%rs%%7%%a%%b\nrequest%%3%%7\nc1%%disconnect\nEOF\n";
    let scripts = parse(text).expect("a script");
    assert_eq!((scripts.len(), &*scripts[0].name), (1, "one"));
    let steps = &scripts[0].steps;
    assert_eq!((&*steps[0].client, &*steps[0].call), ("c1", "7"));
    assert!(matches!(&steps[1], Step { client, op: Op::Request(3), .. } if client == "c0"));
    assert!(matches!(steps[2].op, Op::Disconnect));
    for wrong in ["c1%%explode%%7", "assert%%happy%%7", "request%%many%%7"] {
        assert!(parse(&format!("name%%x\n{wrong}")).is_err(), "{wrong}");
    }
}
