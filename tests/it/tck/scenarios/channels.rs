//! Both sides send.

use super::super::{
    marble::Item,
    script::{Fact::NotCompleted, Op, Script, Until},
};
use super::{ask, cancel, channel, got, on, quiet, script, until};

pub(in super::super) fn channels() -> Vec<Script> {
    vec![
        script(
            "a channel carries items both ways and both ends",
            [
                channel("a", "mirror", "xyz|"),
                ask("a", 9),
                until("a", Until::Completed),
                until("a", Until::ReceivedExactly(4)),
            ],
        ),
        script(
            "a channel of one item ends both ways",
            [
                channel("a", "mirror", "|"),
                ask("a", 1),
                until("a", Until::Completed),
                until("a", Until::Received(vec![Item::new("mirror", "of ours")])),
            ],
        ),
        script(
            "the responder of a channel sends within its credit",
            [
                channel("a", "six", "x|"),
                ask("a", 2),
                got("a", &["a", "b"]),
                quiet("a"),
                ask("a", 1),
                got("a", &["a", "b", "c"]),
                quiet("a"),
                ask("a", 3),
                until("a", Until::Completed),
            ],
        ),
        script(
            "a requester's end leaves the other half open",
            [
                channel("a", "patient", "x|"),
                ask("a", 1),
                until("a", Until::TakenAll),
                until("a", Until::Taken(2)),
                ask("a", 2),
                got("a", &["a", "b", "c"]),
                on("a", Op::Now(NotCompleted)),
            ],
        ),
        script(
            "a responder's end leaves the other half open",
            [
                channel("a", "brief", "xyz|"),
                ask("a", 3),
                got("a", &["a"]),
                until("a", Until::Completed),
                until("a", Until::Taken(4)),
                until("a", Until::TakenAll),
            ],
        ),
        script(
            "a responder that wants no more stops the requester's half only",
            [
                channel("a", "deaf", "vwxyz"),
                ask("a", 2),
                until("a", Until::Halted),
                until("a", Until::Taken(2)),
                ask("a", 2),
                got("a", &["a", "b", "c", "d"]),
                until("a", Until::Completed),
            ],
        ),
        script(
            "a responder's error ends both halves",
            [
                channel("a", "broken", "x"),
                ask("a", 5),
                until("a", Until::Failed),
                got("a", &["a"]),
                until("a", Until::Halted),
            ],
        ),
        script(
            "a requester's error ends both halves",
            [
                channel("a", "patient", "xy#"),
                ask("a", 1),
                until("a", Until::Stopped),
                on("a", Op::Now(NotCompleted)),
            ],
        ),
        script(
            "a requester's cancel ends both halves",
            [
                channel("a", "patient", "x"),
                ask("a", 1),
                got("a", &["a"]),
                cancel("a"),
                until("a", Until::Stopped),
                until("a", Until::Halted),
                ask("a", 1),
                quiet("a"),
            ],
        ),
    ]
}
