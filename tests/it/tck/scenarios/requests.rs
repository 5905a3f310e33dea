//! One reply, many, none.

use super::super::{
    marble::Item,
    script::{
        Fact::{Cancelled, NoError, NotCompleted},
        Kind::{FireAndForget, Response, Stream},
        Op, Script, Until,
    },
};
use super::{ask, by, cancel, got, on, open, quiet, script, until};

pub(in super::super) fn singles() -> Vec<Script> {
    let answer = || Until::Received(vec![Item::new("answer", "meta")]);
    let second = || Until::Received(vec![Item::new("second", "meta")]);
    vec![
        script(
            "a request is answered once, with data and metadata",
            [
                open("a", Response, "word"),
                ask("a", 1),
                until("a", Until::Completed),
                until("a", answer()),
            ],
        ),
        script(
            "an empty reply completes",
            [
                open("a", Response, "nothing"),
                ask("a", 1),
                until("a", Until::Completed),
            ],
        ),
        script(
            "an error is the end, without a value",
            [
                open("a", Response, "wrong"),
                ask("a", 1),
                until("a", Until::Failed),
                on("a", Op::Now(NotCompleted)),
            ],
        ),
        script(
            "a request cancelled before it was sent is never sent",
            [
                open("a", Response, "word"),
                cancel("a"),
                ask("a", 1),
                quiet("a"),
                on("a", Op::Now(Cancelled)),
            ],
        ),
        script(
            "a request cancelled while it waits reaches the responder",
            [
                open("a", Response, "never"),
                ask("a", 1),
                quiet("a"),
                cancel("a"),
                until("a", Until::Stopped),
                on("a", Op::Now(Cancelled)),
                on("a", Op::Now(NoError)),
            ],
        ),
        script(
            "answers of several requests do not mix",
            [
                open("a", Response, "word"),
                open("b", Response, "other"),
                ask("a", 1),
                by("two", open("c", Response, "other")),
                ask("b", 1),
                by("two", ask("c", 1)),
                until("c", second()),
                until("b", second()),
                until("a", answer()),
            ],
        ),
        script(
            "fire-and-forget ends when it is sent, and arrives",
            [
                open("a", FireAndForget, "note"),
                ask("a", 1),
                until("a", Until::Completed),
                until("a", Until::Taken(1)),
                on("a", Op::Now(NoError)),
            ],
        ),
    ]
}

pub(in super::super) fn streams() -> Vec<Script> {
    vec![
        script(
            "a stream gives its items in order and ends",
            [
                open("a", Stream, "three"),
                ask("a", 5),
                until("a", Until::Completed),
                got("a", &["a", "b", "c"]),
            ],
        ),
        script(
            "an end needs no credit",
            [
                open("a", Stream, "three"),
                ask("a", 3),
                until("a", Until::Completed),
            ],
        ),
        script(
            "a stream may have no items",
            [
                open("a", Stream, "nothing"),
                ask("a", 1),
                until("a", Until::Completed),
                until("a", Until::ReceivedExactly(0)),
            ],
        ),
        script(
            "a stream gives what was asked for, no more, and goes on when asked",
            [
                open("a", Stream, "many"),
                ask("a", 2),
                got("a", &["a", "b"]),
                quiet("a"),
                ask("a", 1),
                got("a", &["a", "b", "c"]),
                quiet("a"),
                ask("a", 1),
                ask("a", 2),
                until("a", Until::ReceivedExactly(6)),
                on("a", Op::Now(NotCompleted)),
            ],
        ),
        script(
            "credit counts from the moment it is granted",
            [
                open("a", Stream, "many"),
                ask("a", 1),
                ask("a", 2),
                until("a", Until::ReceivedExactly(3)),
            ],
        ),
        script(
            "an error ends a stream at once",
            [
                open("a", Stream, "wrong"),
                ask("a", 1),
                until("a", Until::Failed),
                until("a", Until::ReceivedExactly(0)),
            ],
        ),
        script(
            "items before an error arrive",
            [
                open("a", Stream, "half"),
                ask("a", 9),
                until("a", Until::Failed),
                got("a", &["a", "b"]),
                on("a", Op::Now(NotCompleted)),
            ],
        ),
        script(
            "after a cancel nothing comes, whatever is asked, and the responder stops",
            [
                open("a", Stream, "open"),
                ask("a", 1),
                got("a", &["a"]),
                cancel("a"),
                until("a", Until::Stopped),
                ask("a", 5),
                quiet("a"),
                on("a", Op::Now(Cancelled)),
                on("a", Op::Now(NoError)),
            ],
        ),
        script(
            "streams of one and of two clients keep their own credit",
            [
                open("a", Stream, "many"),
                open("b", Stream, "three"),
                by("two", open("c", Stream, "many")),
                ask("a", 1),
                ask("b", 2),
                by("two", ask("c", 4)),
                until("c", Until::ReceivedExactly(4)),
                got("b", &["a", "b"]),
                got("a", &["a"]),
                ask("b", 1),
                until("b", Until::Completed),
                quiet("a"),
                on("a", Op::Now(NotCompleted)),
            ],
        ),
    ]
}
