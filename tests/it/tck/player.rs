//! Plays one script: a connection for each of its clients, a call for each of its calls.
//!
//! A step that says what has happened waits until it has, for a while; one that says what has not
//! looks at once.

use std::{collections::HashMap, time::Duration};

use jackfield_rsocket::endpoint::{Backoff, ConnectOptions, Requester, ResumeOptions, connect};
use tokio::time::{sleep, timeout};

use super::{
    call::{Call, Log, Request},
    script::{Op, Script, Step, Until},
    served::Sight,
};
use crate::cutter::Cutter;

/// Nothing a script waits for takes so long.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where a script is played.
pub(super) struct Stage<'a> {
    pub(super) broker: &'a str,
    pub(super) service: &'a str,
    pub(super) sight: Sight,
}

/// The step at which a script fails, and why.
pub(super) async fn play(stage: &Stage<'_>, script: &Script) -> Result<(), String> {
    let mut player = Player {
        stage,
        options: options(script),
        clients: HashMap::new(),
        calls: HashMap::new(),
    };
    for (number, step) in script.steps.iter().enumerate() {
        let done = player.step(step).await;
        done.map_err(|why| format!("{}: step {}, {step:?}: {why}", script.name, number + 1))?;
    }
    Ok(())
}

/// A script that loses its connection wants it back soon, and its calls with it.
fn options(script: &Script) -> ConnectOptions {
    let loses = |step: &Step| matches!(step.op, Op::Disconnect);
    if !script.steps.iter().any(loses) {
        return ConnectOptions::new();
    }
    let backoff = Backoff {
        first: Duration::from_millis(20),
        most: Duration::from_millis(100),
        attempts: None,
    };
    ConnectOptions::new()
        .reconnect(backoff)
        .resume(ResumeOptions::default())
}

struct Player<'a> {
    stage: &'a Stage<'a>,
    options: ConnectOptions,
    clients: HashMap<String, Client>,
    calls: HashMap<String, (Call, String)>,
}

struct Client {
    wire: Cutter,
    requester: Requester,
}

impl Player<'_> {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        if !self.clients.contains_key(&step.client) {
            let client = Client::connect(self.stage.broker, self.options.clone()).await?;
            self.clients.insert(step.client.clone(), client);
        }
        let client = &self.clients[&step.client];
        match &step.op {
            Op::Subscribe { kind, item, sends } => {
                let request = Request {
                    kind: *kind,
                    message: item.message(Some(self.stage.service)),
                    sends: sends.clone(),
                };
                let call = (Call::new(request), item.data.clone());
                self.calls.insert(step.call.clone(), call);
                return Ok(());
            }
            Op::Disconnect => {
                client.wire.cut().await;
                return Ok(());
            }
            Op::Resume => {
                client.wire.mend();
                return Ok(());
            }
            _ => {}
        }
        let (call, data) = self.calls.get_mut(&step.call).ok_or("no such call")?;
        match &step.op {
            Op::Request(n) => call.request(&client.requester, *n).await,
            Op::Cancel => call.cancel().await,
            Op::Silence(time) => return silence(call, *time).await,
            Op::Now(fact) if !call.log().borrow().is(*fact) => {
                return Err(describe(&call.log().borrow()));
            }
            Op::Await(until @ (Until::Taken(_) | Until::TakenAll | Until::Stopped)) => {
                return seen(self.stage.sight.clone(), data, until).await;
            }
            Op::Await(until) => return reach(call, until).await,
            Op::Now(_) | Op::Subscribe { .. } | Op::Disconnect | Op::Resume => {}
        }
        Ok(())
    }
}

impl Client {
    async fn connect(broker: &str, options: ConnectOptions) -> Result<Self, String> {
        let wire = Cutter::start(broker).await;
        let uri = wire.uri().parse().expect("a URI of ours");
        let requester = connect(&uri, options).await;
        let requester = requester.map_err(|error| format!("no connection: {error}"))?;
        Ok(Self { wire, requester })
    }
}

async fn reach(call: &Call, until: &Until) -> Result<(), String> {
    let mut log = call.log();
    let arrived = async {
        loop {
            let now = log.borrow_and_update().reached(until);
            match now {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                Err(why) => return Err(why),
            }
            log.changed()
                .await
                .map_err(|_| "the call is gone".to_owned())?;
        }
    };
    let why = match timeout(PATIENCE, arrived).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(why)) => why,
        Err(_) => "not in time".to_owned(),
    };
    Err(format!("{why}; {}", describe(&call.log().borrow())))
}

async fn seen(mut sight: Sight, data: &str, until: &Until) -> Result<(), String> {
    let reached = sight.wait_for(|seen| seen.get(data).is_some_and(|seen| seen.reached(until)));
    if matches!(timeout(PATIENCE, reached).await, Ok(Ok(_))) {
        return Ok(());
    }
    Err(format!("the responder saw {:?}", sight.borrow().get(data)))
}

async fn silence(call: &Call, time: Duration) -> Result<(), String> {
    let before = call.log().borrow().events();
    // Only real time can show that a real socket stays quiet.
    sleep(time).await;
    let log = call.log();
    let log = log.borrow();
    if log.events() == before {
        return Ok(());
    }
    Err(describe(&log))
}

fn describe(log: &Log) -> String {
    let end = match &log.end {
        None => "no end",
        Some(Ok(())) => "complete",
        Some(Err(error)) => error,
    };
    format!("{} items, {end}", log.items.len())
}
