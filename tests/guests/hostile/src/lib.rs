//! A plugin that means no good: which misdeed, and how often, are its settings. The same in every hook.
//!
//! A hot hook misbehaves whenever it is called, so its `match` says to whom; a slow one only when it is about an app
//! named `villain`, so that others come in meanwhile. What it may not do it reports as a refusal, where the hook has one.

use std::hint::black_box;

use jackfield_plugin_sdk::{
    App, Authenticator, Candidates, Chaos, Decision, EndpointSelector, Events, Fault,
    MetricsCollector, Payload, Plan, Plugin, Refusal, Request, RoutingFilter, Selection,
    auth::{Applicant, Outcome, Principal},
    call,
    events::{Event, Happening},
    http, kv, log, plugin,
    scrape::{Part, Question, Scrape},
};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    misdeed: Misdeed,
    /// It is well again after so many; without it never.
    times: Option<i64>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
enum Misdeed {
    Trap,
    Loop,
    Recursion,
    /// Takes memory until there is none.
    Memory,
    /// Returns more than the host takes.
    Giant,
    /// Calls the host without end.
    Storm,
    /// Never finishes its start.
    SlowStart,
    /// A request of its own, to this route.
    Call(String),
    /// An HTTP request, to this URL.
    Http(String),
}

struct Hostile {
    misdeed: Misdeed,
    times: Option<i64>,
}

const VILLAIN: &str = "villain";
/// More than the host takes from any hook.
const GIANT: usize = 20 << 20;

impl Plugin for Hostile {
    type Settings = Settings;

    fn configure(Settings { misdeed, times }: Settings) -> Result<Self, String> {
        match misdeed {
            Misdeed::SlowStart => spin(),
            misdeed => Ok(Self { misdeed, times }),
        }
    }
}

impl Hostile {
    /// Does it, and says what came of it if anything can: whether to return a giant, or what the host said.
    fn misbehave(&self) -> Came {
        // Instances are lost to misdeeds, and only `kv` outlives them.
        let is_well = |times| kv::increment("calls", 1, 0).is_ok_and(|calls| calls > times);
        if self.times.is_some_and(is_well) {
            return Came::Nothing;
        }
        match &self.misdeed {
            Misdeed::Trap => panic!("on purpose"),
            Misdeed::Loop | Misdeed::SlowStart => spin(),
            Misdeed::Recursion => Came::Said(deeper(0).to_string()),
            Misdeed::Memory => hoard(),
            Misdeed::Storm => storm(),
            Misdeed::Giant => Came::Giant,
            Misdeed::Call(route) => Came::Said(
                match call::request_response(&call::Outgoing::new(route, "")) {
                    Ok(reply) => String::from_utf8_lossy(&reply.data).into_owned(),
                    Err(failure) => format!("{failure:?}"),
                },
            ),
            Misdeed::Http(url) => Came::Said(match http::send(&http::Request::get(url)) {
                Ok(response) => format!("status {}", response.status),
                Err(failure) => format!("{failure:?}"),
            }),
        }
    }
}

enum Came {
    Nothing,
    Giant,
    Said(String),
}

impl Came {
    fn text(self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Giant => Some("x".repeat(GIANT)),
            Self::Said(text) => Some(text),
        }
    }
}

fn spin() -> ! {
    loop {
        black_box(());
    }
}

#[expect(unconditional_recursion, reason = "that is the misdeed")]
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    black_box(deeper(black_box(depth) + 1)) + 1
}

fn hoard() -> ! {
    let mut all = Vec::new();
    loop {
        all.push(black_box(vec![1_u8; 64 << 10]));
    }
}

fn storm() -> ! {
    loop {
        log::debug("again");
    }
}

impl RoutingFilter for Hostile {
    fn on_request(&self, _: &Request<'_>) -> Decision {
        match self.misbehave().text() {
            None => Decision::pass(),
            Some(text) => Decision::refuse(0x202, text),
        }
    }
}

impl EndpointSelector for Hostile {
    fn select(&self, _: &Request<'_>, _: &Candidates<'_>) -> Selection {
        match self.misbehave() {
            Came::Giant => Selection::Ranking(vec![0; GIANT / size_of::<u32>()]),
            _ => Selection::Any,
        }
    }
}

impl Chaos for Hostile {
    fn disturb(&self, _: &Request<'_>) -> Plan {
        match self.misbehave().text() {
            None => Plan::none(),
            Some(text) => Plan::none().with(10_000, Fault::Error(Refusal::new(0x202, text))),
        }
    }
}

impl Authenticator for Hostile {
    fn authenticate(&self, applicant: &Applicant) -> Outcome {
        if applicant.app != VILLAIN {
            return Outcome::Abstain;
        }
        match self.misbehave().text() {
            None => Outcome::Admit(Principal::new(VILLAIN)),
            Some(text) => Outcome::refuse(text),
        }
    }
}

impl MetricsCollector for Hostile {
    fn ask(&self, app: &App, _: &Scrape) -> Option<Question> {
        if app.name != VILLAIN {
            return None;
        }
        self.misbehave()
            .text()
            .map(|text| Question::route("villain.Stats.all", text))
    }

    fn read(&self, _: &App, _: Vec<u8>, _: Payload) -> Result<Part, String> {
        Err("there is nothing to read".into())
    }
}

impl Events for Hostile {
    fn on_events(&self, events: Vec<Event>, _: u64) {
        let about_a_villain = |event: &Event| matches!(&event.what, Happening::AppConnected(app) if app.name == VILLAIN);
        if events.iter().any(about_a_villain) {
            self.misbehave();
        }
    }
}

plugin!(Hostile: RoutingFilter, EndpointSelector, Chaos, Authenticator, MetricsCollector, Events);
