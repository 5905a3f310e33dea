//! What happened, read as a list and as a stream.

use std::io::{BufRead, BufReader};

use crate::chain::Happening;

use super::*;

impl World {
    fn drains(&self, seconds: u32) {
        self.chains.tell(Happening::DrainBegan { seconds });
    }

    /// Reads the stream up to a line that begins like this.
    fn follow(&self, query: &str, last: &str) -> Vec<String> {
        let mut stream = TcpStream::connect(self.admin.admin_address()).unwrap();
        let request = format!(
            "GET /api/v1/events/stream{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(stream).lines() {
            let line = line.unwrap();
            let ends = line.starts_with(last);
            lines.push(line);
            if ends {
                break;
            }
        }
        lines
    }
}

#[test]
fn events_are_listed_behind_a_number() {
    let world = World::start();
    let reply = world.operator("GET /api/v1/events", "");
    assert_eq!(reply.json(), json!({ "events": [], "lost": 0 }));
    (1..=3).for_each(|seconds| world.drains(seconds));
    let reply = world.operator("GET /api/v1/events?after=1", "").json();
    let seconds: Vec<_> = reply["events"].as_array().unwrap().iter().collect();
    assert_eq!(seconds.len(), 2);
    assert_eq!(
        (&seconds[0]["sequence"], &seconds[0]["what"]),
        (&json!(2), &json!("drain-began"))
    );
    assert_eq!(seconds[1]["facts"], json!({ "seconds": 3 }));
    assert_eq!(world.operator("GET /api/v1/events?after=x", "").status, 400);
}

#[test]
fn events_are_followed_as_they_happen() {
    let world = World::start();
    (1..=2).for_each(|seconds| world.drains(seconds));
    std::thread::scope(|scope| {
        let following = scope.spawn(|| world.follow("?after=1", "id: 3"));
        // Whether it happens before or after the reader has come, it is told.
        world.drains(3);
        let lines = following.join().unwrap();
        let head: Vec<&str> = lines
            .iter()
            .map(String::as_str)
            .take_while(|it| !it.is_empty())
            .collect();
        assert!(
            head.contains(&"content-type: text/event-stream"),
            "{head:?}"
        );
        let ids: Vec<&String> = lines
            .iter()
            .filter(|line| line.starts_with("id: "))
            .collect();
        assert_eq!(ids, ["id: 2", "id: 3"]);
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("data: {") && line.contains("\"seconds\":2"))
        );
    });
}

#[test]
fn what_is_forgotten_is_told() {
    let world = World::start();
    (1..=1030).for_each(|seconds| world.drains(seconds));
    let lines = world.follow("", "id: 7");
    assert!(
        lines
            .windows(2)
            .any(|pair| pair == ["event: lost", "data: 6"])
    );
}
