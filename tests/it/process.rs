//! A child process that is heard line by line and does not outlive its owner.
//!
//! Its standard input is held open: the test peers serve until it ends, so they go away even when
//! the test is killed. Its standard error goes to a file, and its end is part of every failure
//! message.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// Lines read ahead of the test; when full, the child waits in its write.
const LINES_MAX: usize = 1024;

pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
    errors: PathBuf,
    stdin: ChildStdin,
}

impl Process {
    pub(crate) fn start(name: &str, mut command: Command, folder: &Path) -> Self {
        let errors = folder.join(format!("{name}.err"));
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).expect("a file for standard error"))
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {name}, {command:?}: {error}"));
        let stdin = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (send, lines) = sync_channel(LINES_MAX);
        thread::spawn(move || {
            // Ends with the child, or when the owner of `lines` has gone.
            stdout
                .lines()
                .map_while(Result::ok)
                .try_for_each(|line| send.send(line))
                .ok()
        });
        Self {
            name: name.to_owned(),
            child,
            lines,
            errors,
            stdin,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes a line to its standard input.
    pub(crate) fn say(&self, line: &str) {
        let written = (&self.stdin).write_all(format!("{line}\n").as_bytes());
        written.unwrap_or_else(|error| panic!("{} does not listen: {error}", self.name));
    }

    /// The first line for which `wanted` has an answer; other lines are passed over.
    pub(crate) fn expect<T>(&self, what: &str, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.expect_within(Duration::from_secs(30), what, wanted)
    }

    pub(crate) fn expect_within<T>(
        &self,
        limit: Duration,
        what: &str,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> T {
        let end = Instant::now() + limit;
        let mut seen = Vec::new();
        loop {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => match wanted(&line) {
                    Some(answer) => return answer,
                    None => seen.push(line),
                },
                Err(RecvTimeoutError::Timeout) => panic!("{}", self.silent(what, "late", &seen)),
                Err(RecvTimeoutError::Disconnected) => {
                    panic!("{}", self.silent(what, "gone", &seen))
                }
            }
        }
    }

    /// Every line until the process ends, and how it ended; `None` when it has to be killed.
    pub(crate) fn finish(mut self, limit: Duration) -> (Vec<String>, Option<ExitStatus>) {
        let end = Instant::now() + limit;
        let mut lines = Vec::new();
        loop {
            match self
                .lines
                .recv_timeout(end.saturating_duration_since(Instant::now()))
            {
                Ok(line) => lines.push(line),
                Err(RecvTimeoutError::Timeout) => return (lines, None),
                Err(RecvTimeoutError::Disconnected) => return (lines, self.child.wait().ok()),
            }
        }
    }

    /// How it ended, once it has; `None` when it still runs after `limit`.
    pub(crate) fn wait(&mut self, limit: Duration) -> Option<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            match self.child.try_wait().expect("it is ours") {
                Some(status) => return Some(status),
                None if Instant::now() >= end => return None,
                None => thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    /// Where its standard error goes.
    pub(crate) fn errors_file(&self) -> PathBuf {
        self.errors.clone()
    }

    /// The last lines of standard error.
    pub(crate) fn errors(&self) -> String {
        let text = fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    fn silent(&self, what: &str, how: &str, seen: &[String]) -> String {
        let (name, errors) = (&self.name, self.errors());
        format!("{name} is {how}, no {what}; it said {seen:?}, and on standard error:\n{errors}")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
