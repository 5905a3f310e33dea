//! All hot hooks in one plugin, with short answers and long ones. The method that is called names the kind.

use jackfield_plugin_sdk::{
    Candidates, Chaos, Decision, EndpointSelector, Fault, Payload, Plan, Plugin, Refusal, Request,
    Rewrite, RoutingFilter, Selection, Share, Verdict, plugin,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Wordy {}

impl Plugin for Wordy {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, String> {
        Ok(settings)
    }
}

fn words(length: usize) -> String {
    "word".repeat(length / 4)
}

fn rewrite() -> Rewrite {
    let tagged = |to: Rewrite, at| to.tag(format!("tag-{at}"), words(200));
    (0..60).fold(Rewrite::new().version(words(400)), tagged)
}

impl RoutingFilter for Wordy {
    fn on_request(&self, request: &Request<'_>) -> Decision {
        match &*request.method() {
            "rewrite" => Decision::rewrite(rewrite()),
            "split" => {
                let share = |_| Share {
                    weight: 100,
                    to: rewrite(),
                };
                Verdict::Split((0..4).map(share).collect()).into()
            }
            "refuse" => Decision::refuse(0x301, words(1000)),
            "answer" => {
                let (metadata, data) = (Some(words(4000).into()), words(8000).into());
                Verdict::Answer(Payload { metadata, data }).into()
            }
            _ => Decision::pass(),
        }
    }
}

impl EndpointSelector for Wordy {
    fn select(&self, request: &Request<'_>, candidates: &Candidates<'_>) -> Selection {
        let all = (0..candidates.len()).collect();
        match &*request.method() {
            "rewrite" => Selection::Ranking(all),
            "split" => Selection::Among(all),
            "refuse" => Selection::One(1),
            _ => Selection::Any,
        }
    }
}

impl Chaos for Wordy {
    fn disturb(&self, request: &Request<'_>) -> Plan {
        if request.method() == "pass" {
            return Plan::none();
        }
        let error = |plan: Plan, _| plan.with(10, Fault::Error(Refusal::new(0x301, words(800))));
        (0..16).fold(Plan::none(), error)
    }
}

plugin!(Wordy: RoutingFilter, EndpointSelector, Chaos);
