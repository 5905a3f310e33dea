//! `[http]` and `[admin]`: the two HTTP faces.

use std::path::{Path, PathBuf};

use crate::{admin::Role, gateway};

use super::{
    address::HostPort,
    checked::Public,
    reader::{Placed, Reader, Section},
};

/// Bodies of calls over HTTP are held in memory as a whole.
const BODY_MAX: u64 = 1 << 30;
const BODY_MIN: u64 = 1 << 10;
const HTTP_PORT: u16 = 9998;
const ADMIN_PORT: u16 = 9997;
const TOKEN_FILE: &str = "admin.token";
const AUDIT_FILE: &str = "audit.log";
/// More than this of anything is a typo.
const COUNT_MAX: i64 = 1 << 24;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpFace {
    pub listen: HostPort,
    /// Names besides loopback under which the face may be called.
    pub hosts: Vec<String>,
    pub calls: gateway::Config,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminFace {
    pub listen: HostPort,
    /// Of the operator who may do everything.
    pub token_file: PathBuf,
    pub tokens: Vec<AdminToken>,
    pub audit_file: PathBuf,
    /// Names besides loopback under which the face may be addressed.
    pub hosts: Vec<String>,
}

/// `[[admin.token]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminToken {
    /// In the audit log.
    pub name: String,
    pub file: PathBuf,
    pub roles: Vec<Role>,
}

pub(super) fn http(reader: &Reader<'_>, public: &Public) -> HttpFace {
    let section = reader.section("http");
    let default = gateway::Config::default();
    let size = |key: &str, default: usize| {
        let bytes = section.size(key, BODY_MIN..=BODY_MAX);
        bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default)
    };
    let count = |key: &str, default: usize| section.count(key, COUNT_MAX).unwrap_or(default);
    let calls = gateway::Config {
        message: size("message", default.message),
        memory: size("memory", default.memory),
        concurrency: count("concurrency", default.concurrency),
        timeout: section.duration("timeout").unwrap_or(default.timeout),
        callers: count("callers", default.callers),
    };
    if calls.message > calls.memory {
        let what = "is above http.memory, so that it would never be held";
        section.wrong("message", what, "raise http.memory, or lower http.message");
    }
    let listen = section.read("listen", HostPort::parse_full);
    if let Some(Placed { value, .. }) = &listen {
        public.check_bind(&section, "listen", value);
    }
    HttpFace {
        listen: listen.map_or(HostPort::loopback(HTTP_PORT), |placed| placed.value),
        hosts: names(&section, "hosts"),
        calls,
    }
}

/// Host names, which have no case.
fn names(section: &Section<'_>, key: &str) -> Vec<String> {
    let names = section.list(key).unwrap_or_default();
    names
        .iter()
        .map(|name| name.value.to_ascii_lowercase())
        .collect()
}

pub(super) fn admin(reader: &Reader<'_>, data_dir: &Path) -> AdminFace {
    let section = reader.section("admin");
    let listen = section.read("listen", HostPort::parse_full);
    let token_file = section.path("token-file");
    if let Some(Placed { value, .. }) = listen.as_ref().filter(|it| !it.value.is_loopback()) {
        let what = format!("binds {value}: whoever listens on the way reads the admin token");
        let todo = "bind 127.0.0.1 and come by a tunnel (ssh -L 9997:127.0.0.1:9997 HOST), \
                    or put a TLS proxy in front and keep the network closed";
        section.advise("listen", what, todo);
    }
    AdminFace {
        listen: listen.map_or(HostPort::loopback(ADMIN_PORT), |placed| placed.value),
        token_file: token_file.map_or_else(|| data_dir.join(TOKEN_FILE), |placed| placed.value),
        tokens: reader
            .sections("admin.token")
            .iter()
            .filter_map(|section| admin_token(section, data_dir))
            .collect(),
        audit_file: section
            .path("audit-file")
            .map_or_else(|| data_dir.join(AUDIT_FILE), |placed| placed.value),
        hosts: names(&section, "hosts"),
    }
}

fn admin_token(section: &Section<'_>, data_dir: &Path) -> Option<AdminToken> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let todo = "write a name of letters, digits and -_.@; \"admin\" is the token of token-file";
    let name = section.read("name", |text| match text {
        "" | "admin" => Err(todo.into()),
        name if name.len() > 64 || !name.chars().all(legal) => Err(todo.into()),
        name => Ok(name.to_owned()),
    });
    if section.node("name").is_none() {
        section.wrong("name", "is missing", todo);
    }
    let name = name?.value;
    let file = section.path("file").map(|placed| placed.value);
    let mut roles = Vec::new();
    let written = section.list("roles").unwrap_or_default();
    for item in &written {
        match Role::ALL
            .into_iter()
            .find(|role| role.as_str() == item.value)
        {
            Some(role) => roles.push(role),
            None => section.wrong(
                "roles",
                format!("names `{}`", item.value),
                "write \"read\", \"operate\", \"plugins\", or several of them",
            ),
        }
    }
    if written.is_empty() {
        let todo = "write roles = [\"read\"], or several of read, operate, plugins";
        section.wrong(
            "roles",
            "is missing: the token would be good for nothing",
            todo,
        );
    }
    Some(AdminToken {
        file: file.unwrap_or_else(|| data_dir.join(format!("{name}.token"))),
        name,
        roles,
    })
}
