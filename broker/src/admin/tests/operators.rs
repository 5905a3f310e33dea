//! Who may do what on the admin face, what is written down of it, and whose pages may call the other one.

use std::fs;

use super::*;

impl World {
    /// With the token of one of [`ROLES`].
    fn as_one(&self, name: &str, line: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {name}-{TOKEN}");
        let headers = [
            ("Host", "localhost:9997"),
            ("Authorization", bearer.as_str()),
        ];
        self.admin(line, &headers, body)
    }

    pub(super) fn audited(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.path().join("audit.log")).unwrap_or_default();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// Every route, by its role: a token is good for its own roles and for no other.
#[test]
fn each_route_has_its_role() {
    let world = World::start();
    for route in api::routes().iter() {
        let path = route
            .path
            .replace("{name}", "nobody")
            .replace("{id}", "nobody");
        // It does not end, and is looked at elsewhere.
        if path.ends_with("/stream") {
            continue;
        }
        let line = format!("{} {path}", route.method);
        for (name, roles) in ROLES {
            let reply = world.as_one(name, &line, "");
            if roles.contains(&route.role) {
                assert!(
                    ![401, 403].contains(&reply.status),
                    "{name} {line}: {}",
                    reply.body
                );
                continue;
            }
            assert_eq!(reply.status, 403, "{name} {line}");
            let role = route.role.as_str();
            let expected = format!("the token `{name}` does not have the role `{role}`");
            assert_eq!(reply.json()["error"], expected, "{line}");
        }
        assert_eq!(world.admin(&line, &[("Host", "localhost")], "").status, 401);
    }
}

#[test]
fn reasons_need_a_token_that_may_read() {
    let world = World::start();
    world.reasons.lock().unwrap().push("draining".into());
    for (name, told) in [("grafana", true), ("deployer", false)] {
        let bearer = format!("Bearer {name}-{TOKEN}");
        let headers = [("Host", "a"), ("Authorization", bearer.as_str())];
        let reply = world.http("GET /health/ready", &headers);
        assert_eq!(reply.json().get("reasons").is_some(), told, "{name}");
    }
}

/// Who, when, what and the outcome, of everything but reading and strangers.
#[test]
fn every_action_is_written_down() {
    let world = World::start();
    world.operator("GET /api/v1/apps", "");
    world.admin("POST /api/v1/drain", &[("Host", "localhost")], "");
    assert_eq!(world.audited().len(), 0);
    world.operator("POST /api/v1/drain", "{\"grace\":\n\"5s\"}");
    world.as_one("deployer", "POST /api/v1/plugins/canary/promote", "");
    world.as_one("deployer", "POST /api/v1/plugins/canary/rollback", "");
    world.as_one("grafana", "POST /api/v1/drain", "");
    world.as_one("oncall", "PUT /api/v1/log", "{\"level\":\"loud\"}");
    world.as_one("oncall", "POST /api/v1/nowhere", "");
    let seen: Vec<_> = world.audited();
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let lines: Vec<_> = seen
        .iter()
        .map(|line| {
            let status = line["status"].as_u64().unwrap();
            (
                text(line, "who"),
                text(line, "action"),
                text(line, "what"),
                text(line, "outcome"),
                status,
            )
        })
        .collect();
    let expected = [
        (
            "admin",
            "POST /api/v1/drain",
            "{\"grace\": \"5s\"}",
            "done",
            202,
        ),
        (
            "deployer",
            "POST /api/v1/plugins/canary/promote",
            "",
            "done",
            200,
        ),
        (
            "deployer",
            "POST /api/v1/plugins/canary/rollback",
            "",
            "failed",
            409,
        ),
        ("grafana", "POST /api/v1/drain", "", "refused", 403),
        (
            "oncall",
            "PUT /api/v1/log",
            "{\"level\":\"loud\"}",
            "failed",
            400,
        ),
        ("oncall", "POST /api/v1/nowhere", "", "failed", 404),
    ];
    let expected: Vec<_> = expected
        .map(|(who, action, what, outcome, status)| {
            (
                who.into(),
                action.into(),
                what.into(),
                outcome.into(),
                status,
            )
        })
        .into();
    assert_eq!(lines, expected);
    let text = fs::read_to_string(world.folder.path().join("audit.log")).unwrap();
    assert!(!text.contains(TOKEN), "no token is written down");
}

#[test]
fn two_operators_have_two_tokens() {
    let mut operators = Operators::new(Token::from_text(TOKEN));
    let same = operators.add("other", Token::from_text(TOKEN), vec![Role::Read]);
    assert!(
        same.unwrap_err()
            .to_string()
            .contains("`admin` and `other` are the same")
    );
}

/// A page in a browser on this machine sends its own Origin, and the name it has rebound as Host.
#[test]
fn calls_are_not_for_pages_of_others() {
    let world = World::start();
    for (host, origin, status) in [
        ("127.0.0.1:9998", "", 200),
        ("localhost", "", 200),
        ("api.example:9998", "", 200),
        ("evil.example", "", 403),
        ("127.0.0.1:9998", "http://127.0.0.1:9998", 200),
        ("127.0.0.1:9998", "http://evil.example", 403),
        ("127.0.0.1:9998", "null", 403),
        ("127.0.0.1:9998", "https://api.example", 200),
        ("evil.example", "http://evil.example", 403),
    ] {
        let mut headers = vec![("Host", host), ("Origin", origin)];
        headers.retain(|(_, value)| !value.is_empty());
        let reply = world.http("POST /api/a/b", &headers);
        assert_eq!(reply.status, status, "{host} {origin}");
    }
    let reply = world.http("GET /health/live", &[("Host", "pod.example")]);
    assert_eq!(reply.status, 200, "a probe comes by any name");
}
