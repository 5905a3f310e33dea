//! The plugins of a running broker, through its admin API.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::admin::DEED_TIMEOUT;

use super::super::{
    client::AdminArgs,
    exit::Failure,
    look::text,
    print::{print_json, print_text, table},
};

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  jackfield plugin list --json | jq '.[] | select(.state == \"open\")'"
)]
pub(super) struct List {
    #[command(flatten)]
    to: To,
}

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  jackfield plugin load canary new.wasm --percent 5\n  \
        jackfield plugin load canary new.wasm --shadow\n\n\
        Without --percent and --shadow it takes the place of the live version at once. The broker reads the file, so\n\
        it must be on the broker's machine. What is loaded survives reload and restart; `plugin reset` undoes it."
)]
pub(super) struct Load {
    /// The plugin's name in the configuration
    name: String,
    /// The component
    #[arg(required_unless_present = "digest", conflicts_with = "digest")]
    file: Option<PathBuf>,
    /// A version that the broker keeps
    #[arg(long, value_name = "SHA256")]
    digest: Option<String>,
    /// The share of the connections that get it, beside the live version
    #[arg(long, value_name = "PERCENT", conflicts_with = "shadow")]
    percent: Option<f64>,
    /// Ask it beside the live version, without effect, and compare
    #[arg(long)]
    shadow: bool,
    #[command(flatten)]
    to: To,
}

/// A deed that takes nothing but the plugin's name.
#[derive(Args, Debug)]
pub(super) struct Named {
    /// The plugin's name in the configuration
    name: String,
    #[command(flatten)]
    to: To,
}

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield plugin rollback canary\n\n\
        `jackfield plugin list --json` shows the digests that are kept.")]
pub(super) struct Rollback {
    /// The plugin's name in the configuration
    name: String,
    /// The version to go back to
    #[arg(long, value_name = "SHA256")]
    digest: Option<String>,
    #[command(flatten)]
    to: To,
}

#[derive(Args, Debug)]
struct To {
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminArgs,
}

impl List {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let answer = self.to.admin.client()?.read("/api/v1/plugins")?;
        let plugins = answer["plugins"].as_array().cloned().unwrap_or_default();
        if self.to.json {
            return print_json(&plugins);
        }
        let rows: Vec<_> = plugins.iter().map(row).collect();
        print_text(&table(&HEAD, &rows))?;
        for plugin in plugins.iter().filter(|it| it["last_error"].is_string()) {
            eprintln!("{}: {}", text(&plugin["name"]), text(&plugin["last_error"]));
        }
        Ok(())
    }
}

const HEAD: [&str; 8] = [
    "NAME",
    "STATE",
    "HOOKS",
    "VERSION",
    "TRIAL",
    "CALLS",
    "FAILURES",
    "CHANGED BY",
];

fn row(plugin: &Value) -> Vec<String> {
    let hooks = plugin["hooks"].as_array().into_iter().flatten();
    let hooks: Vec<String> = hooks.map(text).collect();
    let digest = |of: &Value| text(of).chars().take(12).collect::<String>();
    let trial = match &plugin["trial"] {
        Value::Null => "-".to_owned(),
        trial => match trial["share"].as_f64() {
            Some(share) => format!("{} {}%", digest(&trial["digest"]), share / 100.0),
            None => format!("{} shadow", digest(&trial["digest"])),
        },
    };
    vec![
        text(&plugin["name"]),
        text(&plugin["state"]),
        hooks.join(","),
        digest(&plugin["digest"]),
        trial,
        text(&plugin["calls"]),
        text(&plugin["failures"]),
        text(&plugin["override"]["who"]),
    ]
}

impl Load {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut body = json!({ "shadow": self.shadow });
        match (&self.file, &self.digest) {
            (Some(file), _) => body["file"] = json!(here(file)?),
            (None, digest) => body["digest"] = json!(digest),
        }
        if let Some(percent) = self.percent {
            body["percent"] = json!(percent);
        }
        self.to.act(&self.name, "load", &body)
    }
}

impl Named {
    pub(super) fn run(&self, deed: &str) -> Result<(), Failure> {
        self.to.act(&self.name, deed, &Value::Null)
    }
}

impl Rollback {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let body = match &self.digest {
            Some(digest) => json!({ "digest": digest }),
            None => Value::Null,
        };
        self.to.act(&self.name, "rollback", &body)
    }
}

impl To {
    fn act(&self, plugin: &str, deed: &str, body: &Value) -> Result<(), Failure> {
        let answer = act(&self.admin, plugin, deed, body)?;
        if self.json {
            return print_json(&answer);
        }
        let generation = text(&answer["generation"]);
        print_text(&format!("{plugin}: {deed} done, generation {generation}"))
    }
}

/// Does it, and gives what the broker answers. `Null`: without a body.
pub(super) fn act(
    admin: &AdminArgs,
    plugin: &str,
    deed: &str,
    body: &Value,
) -> Result<Value, Failure> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if plugin.is_empty() || !plugin.chars().all(fits) {
        return Err(Failure::usage(format!(
            "{plugin:?} is no name of a plugin; see `jackfield plugin list`"
        )));
    }
    let path = format!("/api/v1/plugins/{plugin}/{deed}");
    // A component is compiled first, in a child that is ended when it takes too long.
    admin.client()?.act_within(&path, body, DEED_TIMEOUT)
}

/// The file as the broker finds it, whose working directory is another one.
pub(super) fn here(file: &Path) -> Result<PathBuf, Failure> {
    std::fs::canonicalize(file)
        .map_err(|error| Failure::usage(format!("{} cannot be read: {error}", file.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_runs_and_what_is_on_trial() {
        let digest = "0123456789abcdef";
        let mut plugin = json!({
            "name": "canary", "state": "live", "hooks": ["routing-filter", "events"], "digest": digest,
            "trial": { "digest": digest, "share": 250 }, "calls": 7, "failures": 1, "override": { "who": "admin" },
        });
        let expected = [
            "canary",
            "live",
            "routing-filter,events",
            "0123456789ab",
            "0123456789ab 2.5%",
            "7",
            "1",
            "admin",
        ];
        assert_eq!(row(&plugin), expected);
        plugin["trial"]["share"] = Value::Null;
        assert_eq!(row(&plugin)[4], "0123456789ab shadow");
        (plugin["trial"], plugin["override"]) = (Value::Null, Value::Null);
        assert_eq!((&*row(&plugin)[4], &*row(&plugin)[7]), ("-", "-"));
    }

    #[test]
    fn a_name_that_is_none_never_reaches_the_broker() {
        let admin = parse(&["x"]).to.admin;
        for name in ["", "a/b", "a b", "a?x"] {
            let failure = act(&admin, name, "reload", &Value::Null).unwrap_err();
            assert!(failure.to_string().contains("is no name"), "{failure}");
        }
    }

    fn parse(args: &[&str]) -> Named {
        #[derive(clap::Parser)]
        struct Line {
            #[command(flatten)]
            named: Named,
        }
        let args = [&["plugin"], args].concat();
        <Line as clap::Parser>::parse_from(args).named
    }
}
