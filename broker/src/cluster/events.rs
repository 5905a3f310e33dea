//! Events that are passed on to applications for somebody else.

use bytes::Bytes;
use jackfield_rsocket::metadata::CloudEvent;
use thiserror::Error;

use super::pusher::{BROKERS_CHANGED, INSTANCES_CHANGED};

/// A longer event is not passed on.
const EVENT_MAX: usize = 256 * 1024;
/// Events that a client believes from a broker.
const ONLY_BROKERS_SAY: [&str; 2] = [BROKERS_CHANGED, INSTANCES_CHANGED];

/// Why an event is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EventError {
    #[error("it is too long")]
    TooLong,
    #[error("{0}")]
    Unreadable(String),
    #[error("only a broker may send events of this type")]
    OnlyBrokers,
}

/// The bytes to push for an event, as JSON.
pub fn passable(event: &[u8]) -> Result<Bytes, EventError> {
    if event.len() > EVENT_MAX {
        return Err(EventError::TooLong);
    }
    // Its reader tells an event by the first byte.
    let event = event.trim_ascii_start();
    let read = CloudEvent::decode(event);
    let read = read.map_err(|error| EventError::Unreadable(error.to_string()))?;
    if ONLY_BROKERS_SAY.contains(&read.kind.as_str()) {
        return Err(EventError::OnlyBrokers);
    }
    Ok(Bytes::copy_from_slice(event))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_kind(kind: &str) -> String {
        format!(r#" {{"id":"1","type":"{kind}","source":"app://a/"}}"#)
    }

    #[test]
    fn what_may_lead_clients_astray_is_not_passed_on() {
        let event = of_kind("a.B");
        let passed = passable(event.as_bytes()).unwrap();
        assert_eq!(passed, event.trim_start(), "as it came");
        for kind in ONLY_BROKERS_SAY {
            let refused = passable(of_kind(kind).as_bytes());
            assert_eq!(refused, Err(EventError::OnlyBrokers), "{kind}");
        }
        let long = of_kind(&"x".repeat(EVENT_MAX));
        assert_eq!(passable(long.as_bytes()), Err(EventError::TooLong));
        for text in ["", "[]", "null", "{}", "{"] {
            let refused = passable(text.as_bytes());
            assert!(
                matches!(refused, Err(EventError::Unreadable(_))),
                "{text}: {refused:?}"
            );
        }
    }
}
