//! `apps`, `services` and `drain`: look and act through the admin API.

use clap::Args;
use serde_json::{Value, json};

use super::{
    client::AdminArgs,
    exit::Failure,
    print::{print_json, print_text, table},
};

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield apps --json | jq '.[].name'")]
pub(super) struct Apps {
    #[command(flatten)]
    look: Look,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield services")]
pub(super) struct Services {
    #[command(flatten)]
    look: Look,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield drain --grace 30s")]
pub(super) struct Drain {
    /// How long streams may go on [default: the broker's]
    #[arg(long, value_name = "DURATION")]
    grace: Option<String>,
    #[command(flatten)]
    look: Look,
}

#[derive(Args, Debug)]
struct Look {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Apps {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let apps = self.look.read("apps")?;
        let row = |app: &Value| {
            vec![
                text(&app["id"]),
                text(&app["name"]),
                text(&app["remote"]),
                text(&app["transport"]),
                text(&app["in_flight"]),
                app["services"].as_array().map_or(0, Vec::len).to_string(),
                text(&app["uuid"]),
            ]
        };
        let head = [
            "ID",
            "NAME",
            "REMOTE",
            "TRANSPORT",
            "IN FLIGHT",
            "SERVICES",
            "UUID",
        ];
        self.look.show(&apps, &head, row)
    }
}

impl Services {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let services = self.look.read("services")?;
        let row = |service: &Value| {
            let instances = service["instances"].as_array().map_or(0, Vec::len);
            vec![
                text(&service["key"]),
                instances.to_string(),
                text(&service["id"]),
            ]
        };
        self.look
            .show(&services, &["SERVICE", "INSTANCES", "ID"], row)
    }
}

impl Drain {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let body = match &self.grace {
            Some(grace) => json!({ "grace": grace }),
            None => json!({}),
        };
        let answer = self.look.admin.client()?.act("/api/v1/drain", &body)?;
        if self.look.json {
            return print_json(&answer);
        }
        print_text("the broker is draining")
    }
}

impl Look {
    /// The list under the name of the path.
    fn read(&self, name: &str) -> Result<Vec<Value>, Failure> {
        let answer = self.admin.client()?.read(&format!("/api/v1/{name}"))?;
        Ok(answer[name].as_array().cloned().unwrap_or_default())
    }

    fn show(
        &self,
        items: &[Value],
        head: &[&str],
        row: impl Fn(&Value) -> Vec<String>,
    ) -> Result<(), Failure> {
        if self.json {
            return print_json(&items);
        }
        print_text(&table(head, &items.iter().map(row).collect::<Vec<_>>()))
    }
}

/// Text without control characters: names come from applications, and a terminal obeys them.
pub(super) fn text(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null => "-".into(),
        other => other.to_string(),
    };
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
