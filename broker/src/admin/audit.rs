//! The audit log: who did what, when, and what came of it.
//!
//! Each action is a line of the log (target `jackfield::audit`) and a line of JSON in a file of its own, which is
//! bounded: at [`FILE_MAX`] it becomes `NAME.1`, in place of the one before. Reading is no action. Somebody without a
//! token is told to the log only, and not more often than the log bears: nobody fills the file from outside.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    net::SocketAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::json;

use crate::telemetry::{AUDIT, RateLimit};

const FILE_MAX: u64 = 8 << 20;
/// So much of a body says what was meant.
pub(super) const WHAT_MAX: usize = 512;

/// Where actions are written.
#[derive(Debug)]
pub struct Audit {
    path: Option<PathBuf>,
    size_max: u64,
    open: Mutex<Option<Open>>,
    lines: RateLimit,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
}

/// One thing an operator did, or tried to.
#[derive(Debug)]
pub(super) struct Deed<'d> {
    pub(super) who: &'d str,
    pub(super) remote: SocketAddr,
    pub(super) action: &'d str,
    pub(super) what: &'d str,
    pub(super) status: u16,
}

/// What nginx writes of those who do not wait for the answer.
pub(super) const UNHEARD: u16 = 499;

impl Audit {
    /// In this file as well. Nothing is made before the first action.
    pub fn in_file(path: PathBuf) -> Self {
        Self {
            path: Some(path),
            ..Self::in_log()
        }
    }

    /// In the log only.
    pub fn in_log() -> Self {
        Self {
            path: None,
            size_max: FILE_MAX,
            open: Mutex::default(),
            lines: RateLimit::default(),
        }
    }

    /// An action, done or not.
    pub(super) fn acted(&self, deed: &Deed<'_>) {
        let Deed {
            who,
            remote,
            action,
            what,
            status,
        } = *deed;
        tracing::info!(target: AUDIT, who, action, what, %remote, status, "action");
        let Some(path) = &self.path else { return };
        let at = SystemTime::now().duration_since(UNIX_EPOCH);
        let outcome = match status {
            200..300 => "done",
            401 | 403 => "refused",
            UNHEARD => "abandoned",
            _ => "failed",
        };
        let line = json!({
            "at_ms": u64::try_from(at.unwrap_or_default().as_millis()).unwrap_or(u64::MAX),
            "who": who, "remote": remote.to_string(), "action": action, "what": what,
            "outcome": outcome, "status": status,
        });
        if let Err(error) = self.append(path, &format!("{line}\n")) {
            let path = path.display();
            tracing::error!(target: AUDIT, %path, %error, "the audit log cannot be written; the action is in this log");
        }
    }

    pub(super) fn read(&self, who: &str, action: &str, remote: SocketAddr, status: u16) {
        tracing::debug!(target: AUDIT, who, action, %remote, status, "read");
    }

    /// Somebody who was not let in.
    pub(super) fn turned_away(&self, action: &str, remote: SocketAddr, status: u16) {
        if let Some(passed) = self.lines.pass("admin-refused", Instant::now()) {
            let suppressed = passed.suppressed;
            tracing::warn!(target: AUDIT, action, %remote, status, suppressed, "refused");
        }
    }

    fn append(&self, path: &Path, line: &str) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|open| open.size >= self.size_max) {
            *open = None;
            let mut older = path.as_os_str().to_owned();
            older.push(".1");
            fs::rename(path, older)?;
        }
        if open.is_none() {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                .open(path)?;
            let size = file.metadata()?.len();
            *open = Some(Open { file, size });
        }
        let Some(open) = open.as_mut() else {
            return Ok(());
        };
        open.file.write_all(line.as_bytes())?;
        open.size += line.len() as u64;
        Ok(())
    }
}

/// What a body says, fit for a line.
pub(super) fn shortened(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    visible.take(WHAT_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tempfile::TempDir;

    use super::*;

    fn deed(what: &str, status: u16) -> Deed<'_> {
        Deed {
            who: "admin",
            remote: "127.0.0.1:1".parse().unwrap(),
            action: "POST /api/v1/drain",
            what,
            status,
        }
    }

    #[test]
    fn an_action_is_a_line_that_says_who_what_when_and_the_outcome() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.log");
        let audit = Audit::in_file(path.clone());
        for status in [202, 403, 409] {
            audit.acted(&deed("{\"grace\":\"1s\"}", status));
        }
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let outcomes: Vec<&str> = lines
            .iter()
            .map(|line| line["outcome"].as_str().unwrap())
            .collect();
        assert_eq!(outcomes, ["done", "refused", "failed"]);
        assert_eq!(lines[0]["who"], "admin");
        assert_eq!(lines[0]["action"], "POST /api/v1/drain");
        assert_eq!(lines[0]["what"], "{\"grace\":\"1s\"}");
        assert!(lines[0]["at_ms"].as_u64().unwrap() > 1_600_000_000_000);
        assert_eq!(lines[0]["remote"], "127.0.0.1:1");
    }

    #[test]
    fn the_file_is_bounded_and_goes_on_after_a_restart() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.log");
        let older = folder.path().join("audit.log.1");
        for _ in 0..20 {
            // A broker that starts again appends.
            let mut audit = Audit::in_file(path.clone());
            audit.size_max = 1000;
            for _ in 0..10 {
                audit.acted(&deed("x", 200));
            }
            assert!(fs::metadata(&path).unwrap().len() < 1300);
        }
        assert!(fs::metadata(&older).unwrap().len() >= 1000);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_body_is_shortened_and_has_no_line_ends() {
        assert_eq!(shortened(b"{\n\"a\":1}"), "{ \"a\":1}");
        assert_eq!(shortened(&[b'x'; 5000]).len(), WHAT_MAX);
        assert_eq!(shortened(b"\xff"), "\u{fffd}");
    }
}
