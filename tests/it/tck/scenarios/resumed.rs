//! A connection that is lost in the middle of a stream and taken up again.

use super::super::script::{Fact::NoError, Kind::Stream, Op, Script, Until};
use super::{ask, got, on, open, quiet, script, until};

pub(in super::super) fn resumed() -> Vec<Script> {
    let items = ["a", "b", "c", "d"];
    vec![
        script(
            "a stream waits for its connection, and credit for it is kept",
            [
                open("a", Stream, "many"),
                ask("a", 2),
                got("a", &items[..2]),
                on("", Op::Disconnect),
                ask("a", 2),
                quiet("a"),
                on("a", Op::Now(NoError)),
                on("", Op::Resume),
                got("a", &items),
                quiet("a"),
            ],
        ),
        script(
            "a reply that was lost with its connection comes after all",
            [
                open("a", Stream, "three"),
                ask("a", 1),
                got("a", &items[..1]),
                ask("a", 5),
                on("", Op::Disconnect),
                on("", Op::Resume),
                until("a", Until::Completed),
                got("a", &items[..3]),
            ],
        ),
    ]
}
