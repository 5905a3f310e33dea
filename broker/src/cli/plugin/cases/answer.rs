//! What a plugin answered, as a file of cases writes it: a word, or a table with one.
//!
//! ```text
//! pass · { rewrite = {..} } · { split = [{ weight, to }] } · { refuse = { code, text } } · { answer = {..} }
//! any · { among = [..] } · { ranking = [..] } · { one = n }
//! none · { faults = [{ weight, fault = "black-hole" | { delay = ms } | ... }] }
//! abstain · { admit = {..} } · { refuse = {..} }
//! nothing · { question = {..} } · { text = ".." } · { wrong = ".." } · done
//! { refused-settings = ".." } · { failed = ".." }
//! ```

use std::time::Duration;

use jackfield_plugin_host::{
    Admission, Asking, Fault, Header, Part, Payload, Plan, Question, Refusal, Rewrite, Selection,
    Verdict,
};
use serde_json::{Map, Value, json};

/// Whether an answer is what was expected. A table of the expectation may leave keys out, and a text about what went
/// wrong need only be part of it.
pub(super) fn fits(expected: &Value, actual: &Value) -> bool {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(actual)) => {
            expected
                .iter()
                .all(|(key, expected)| match actual.get(key) {
                    Some(Value::String(actual)) if PARTIAL.contains(&&**key) => {
                        expected.as_str().is_some_and(|part| actual.contains(part))
                    }
                    Some(actual) => fits(expected, actual),
                    None => false,
                })
        }
        (Value::Array(expected), Value::Array(actual)) => {
            let pairs = || expected.iter().zip(actual);
            expected.len() == actual.len()
                && pairs().all(|(expected, actual)| fits(expected, actual))
        }
        _ => expected == actual,
    }
}

const PARTIAL: [&str; 3] = ["refused-settings", "failed", "wrong"];

pub(super) fn verdict(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Pass => json!("pass"),
        Verdict::Rewrite(to) => json!({ "rewrite": rewrite(to) }),
        Verdict::Split(shares) => {
            let share = |share: &jackfield_plugin_host::Share| json!({ "weight": share.weight, "to": rewrite(&share.to) });
            json!({ "split": shares.iter().map(share).collect::<Vec<_>>() })
        }
        Verdict::Refuse(refused) => json!({ "refuse": refusal(refused) }),
        Verdict::Answer(payload) => {
            let Payload { metadata, data } = &**payload;
            let metadata = metadata.as_deref().map(String::from_utf8_lossy);
            json!({ "answer": { "metadata": metadata, "data": String::from_utf8_lossy(data) } })
        }
    }
}

fn rewrite(to: &Rewrite) -> Value {
    let mut table = Map::new();
    for (name, value) in [
        ("group", &to.group),
        ("service", &to.service),
        ("method", &to.method),
        ("version", &to.version),
        ("endpoint", &to.endpoint),
    ] {
        if let Some(value) = value {
            table.insert(name.into(), json!(value));
        }
    }
    if !to.tags.is_empty() {
        let tags = to
            .tags
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)));
        table.insert("tags".into(), tags.collect::<Map<_, _>>().into());
    }
    if let Some(sticky) = to.sticky {
        table.insert("sticky".into(), json!(sticky));
    }
    table.into()
}

fn refusal(refusal: &Refusal) -> Value {
    json!({ "code": refusal.code, "text": refusal.text })
}

pub(super) fn selection(selection: &Selection) -> Value {
    match selection {
        Selection::Any => json!("any"),
        Selection::Among(indexes) => json!({ "among": indexes }),
        Selection::Ranking(indexes) => json!({ "ranking": indexes }),
        Selection::One(index) => json!({ "one": index }),
    }
}

pub(super) fn plan(plan: &Plan) -> Value {
    if plan.faults.is_empty() {
        return json!("none");
    }
    let ms = |time: &Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let fault = |fault: &Fault| match fault {
        Fault::Delay(time) => json!({ "delay": ms(time) }),
        Fault::Error(error) => json!({ "error": refusal(error) }),
        Fault::BlackHole => json!("black-hole"),
        Fault::Cut { after, error } => {
            json!({ "cut": { "after": after, "error": refusal(error) } })
        }
        Fault::Slow(time) => json!({ "slow": ms(time) }),
    };
    let odds = plan.faults.iter();
    let odds = odds.map(|odds| json!({ "weight": odds.weight, "fault": fault(&odds.fault) }));
    json!({ "faults": odds.collect::<Vec<_>>() })
}

pub(super) fn admission(admission: &Admission) -> Value {
    match admission {
        Admission::Abstain => json!("abstain"),
        Admission::Refuse(refused) => json!({ "refuse": refusal(refused) }),
        Admission::Admit(principal) => {
            let mut attributes = Map::new();
            for (key, value) in &principal.attributes {
                let values = attributes.entry(key).or_insert_with(|| json!([]));
                values.as_array_mut().expect("made here").push(json!(value));
            }
            let rights = principal.rights.map(|rights| {
                json!({ "call": rights.call, "publish": rights.publish, "observe": rights.observe })
            });
            json!({ "admit": {
                "name": principal.name,
                "attributes": attributes,
                "rights": rights,
                "expires": principal.expires.map(|expires| expires.as_secs()),
            } })
        }
    }
}

pub(super) fn question(question: Option<&Question>) -> Value {
    let Some(question) = question else {
        return json!("nothing");
    };
    let asking = match question.asking {
        Asking::RequestResponse => "request-response",
        Asking::RequestStream => "request-stream",
        Asking::FireAndForget => "fire-and-forget",
    };
    let route = match &question.header {
        Header::Route(route) => Some(route),
        Header::Nothing | Header::Raw(_) => None,
    };
    json!({ "question": {
        "interaction": asking,
        "route": route,
        "data": String::from_utf8_lossy(&question.data),
        "review": question.review,
    } })
}

pub(super) fn part(part: &Result<Part, String>) -> Value {
    match part {
        Ok(part) => json!({ "text": String::from_utf8_lossy(&part.text) }),
        Err(why) => json!({ "wrong": why }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_expectation_may_leave_out_what_it_does_not_care_about() {
        let actual = json!({ "refuse": { "code": 514, "text": "not tonight" } });
        for (expected, does) in [
            (json!({ "refuse": { "code": 514 } }), true),
            (json!({ "refuse": { "code": 513 } }), false),
            (json!({ "refuse": { "text": "not" } }), false),
            (json!({ "answer": {} }), false),
            (json!("pass"), false),
        ] {
            assert_eq!(fits(&expected, &actual), does, "{expected}");
        }
        let failed = json!({ "failed": "trapped: wasm `unreachable`" });
        assert!(fits(&json!({ "failed": "unreachable" }), &failed));
        assert!(!fits(&json!({ "failed": "deadline" }), &failed));
        assert!(!fits(&json!([1]), &json!([1, 2])), "a list is meant whole");
    }

    #[test]
    fn answers_are_written_as_the_contract_names_them() {
        let to = Rewrite {
            version: Some("2".into()),
            tags: vec![("k".into(), "v".into())],
            ..Rewrite::default()
        };
        assert_eq!(
            verdict(&Verdict::Rewrite(Box::new(to))),
            json!({ "rewrite": { "version": "2", "tags": { "k": "v" } } })
        );
        assert_eq!(selection(&Selection::One(3)), json!({ "one": 3 }));
        let fault = Fault::Slow(Duration::from_millis(20));
        let slow = jackfield_plugin_host::Odds { weight: 5, fault };
        let faults = Plan {
            faults: vec![slow],
            remember: false,
        };
        assert_eq!(
            plan(&faults),
            json!({ "faults": [{ "weight": 5, "fault": { "slow": 20 } }] })
        );
    }
}
