//! One connection of a load: sends calls, checks replies, counts.

use std::{
    io,
    pin::pin,
    sync::{
        Arc, PoisonError,
        atomic::Ordering::{Relaxed, SeqCst},
    },
};

use crate::{
    dialect::{Dialect, Reply},
    load::{DRAIN, MEASURE, Pace, Shared},
    pending::{Pending, Started},
    tally::Tally,
    wire::Wire,
};

/// Stream ids have 31 bits, of which a client uses the odd ones.
const CALLS_MAX: u32 = 1 << 30;
/// An open loop never waits, but it must end somewhere.
const OPEN_MAX: usize = 1 << 16;

pub(crate) struct Session<D> {
    dialect: D,
    wire: Wire,
    pending: Pending,
    shared: Arc<Shared>,
    index: usize,
    /// Calls sent, and in an open loop the number of the next that is due.
    sent: u64,
    epoch: u32,
    allowed: Option<Vec<u8>>,
}

impl<D: Dialect> Session<D> {
    pub(crate) fn new(dialect: D, wire: Wire, shared: Arc<Shared>, index: usize) -> Self {
        let pending = Pending::default();
        Self {
            dialect,
            wire,
            pending,
            shared,
            index,
            sent: 0,
            epoch: 0,
            allowed: None,
        }
    }

    /// Calls until the load ends or the connection does.
    pub(crate) async fn run(mut self) {
        self.dialect.hello(self.wire.out());
        let end = self.calls().await;
        let mut tally = self.shared.tally();
        tally.lost += self.pending.open() as u64;
        if let Err(error) = end {
            tally.closed += 1;
            tally.fault(|| format!("connection {} ended: {error}", self.index));
        }
    }

    async fn calls(&mut self) -> io::Result<()> {
        loop {
            self.look_up_allowed();
            let now = self.shared.now();
            let phase = self.shared.phase.load(Relaxed);
            self.take_replies(now, phase)?;
            if phase != DRAIN {
                self.send_due(now)?;
            } else if self.pending.open() == 0 {
                return Ok(());
            }
            match self.shared.pace {
                Pace::Closed { .. } => self.wire.turn().await?,
                Pace::Open { .. } => {
                    let nudge = pin!(self.shared.nudges[self.index].notified());
                    self.wire.turn_or(nudge).await?;
                }
            }
        }
    }

    /// After the read and before the replies are judged: a reply that was here before the rule
    /// changed must not be judged by the new one.
    fn look_up_allowed(&mut self) {
        if self.epoch == self.shared.epoch.load(SeqCst) {
            return;
        }
        let allowed = self
            .shared
            .allowed
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.epoch = self.shared.epoch.load(SeqCst);
        self.allowed.clone_from(&allowed);
    }

    fn take_replies(&mut self, now: u64, phase: u8) -> io::Result<()> {
        let Self {
            dialect,
            wire,
            pending,
            shared,
            epoch,
            allowed,
            ..
        } = self;
        let (input, out) = wire.split();
        if input.is_empty() {
            return Ok(());
        }
        let mut tally = shared.tally();
        let mut count = Count {
            tally: &mut tally,
            now,
            measured: phase == MEASURE,
            slice: shared.slice.as_nanos() as u64,
            epoch: *epoch,
            allowed: allowed.as_deref(),
        };
        let mut taken = 0;
        while let Some((length, reply)) = dialect.reply(&input[taken..], out)? {
            taken += length;
            match reply {
                Reply::Answered { serial, data } => match pending.end(serial) {
                    Some(started) => count.answered(started, data, dialect.data(serial)),
                    None => count.wrong("an answer to no call that is open"),
                },
                Reply::Failed { serial, code, text } => match pending.end(serial) {
                    Some(_) => count.failed(code, text),
                    None => count.wrong("an error for no call that is open"),
                },
                Reply::Control => {}
                Reply::Closed { code, text } => {
                    let text = String::from_utf8_lossy(text);
                    return Err(io::Error::other(format!("the peer said {code:#x} {text}")));
                }
            }
        }
        drop(tally);
        wire.take(taken);
        Ok(())
    }

    fn send_due(&mut self, now: u64) -> io::Result<()> {
        let before = self.sent;
        match self.shared.pace {
            Pace::Closed { window } => {
                while self.pending.open() < window {
                    self.send(now)?;
                }
            }
            Pace::Open { rate } => loop {
                let due = self.shared.due(rate, self.sent, self.index);
                if due > now {
                    break;
                }
                self.shared.tally().lateness.saturating_record(now - due);
                self.send(due)?;
            },
        }
        if self.sent > before {
            self.shared.tally().issued += self.sent - before;
        }
        Ok(())
    }

    fn send(&mut self, at: u64) -> io::Result<()> {
        let serial = self.pending.next();
        if serial >= CALLS_MAX || self.pending.open() >= OPEN_MAX {
            return Err(io::Error::other("more calls than one connection can hold"));
        }
        self.dialect.request(serial, self.wire.out());
        self.pending.start(Started {
            at,
            epoch: self.epoch,
        });
        self.sent += 1;
        Ok(())
    }
}

/// The tally, and what it takes to judge one batch of replies.
struct Count<'a> {
    tally: &'a mut Tally,
    now: u64,
    measured: bool,
    slice: u64,
    epoch: u32,
    allowed: Option<&'a [u8]>,
}

impl Count<'_> {
    fn answered(&mut self, started: Started, data: &[u8], expected: &[u8]) {
        self.tally.answered += 1;
        let Some(label) = data.strip_suffix(expected) else {
            return self.wrong("an answer with other data than was sent");
        };
        if self.measured {
            self.tally.measured += 1;
            self.tally
                .latency
                .saturating_record(self.now.saturating_sub(started.at));
        }
        if let Some(allowed) = self.allowed
            && started.epoch == self.epoch
            && allowed != label
        {
            self.tally.stray += 1;
            let (label, allowed) = (label.escape_ascii(), allowed.escape_ascii());
            self.tally
                .fault(|| format!("{label} answered when only {allowed} was allowed"));
        }
        self.slice(label);
    }

    fn failed(&mut self, code: u32, text: &[u8]) {
        self.tally.failed += 1;
        *self.tally.codes.entry(code).or_default() += 1;
        self.tally
            .fault(|| format!("{code:#x} {}", String::from_utf8_lossy(text)));
        if let Some(index) = self.now.checked_div(self.slice) {
            self.tally.window(index as usize).failed += 1;
        }
    }

    fn wrong(&mut self, what: &str) {
        self.tally.wrong += 1;
        self.tally.fault(|| what.to_owned());
    }

    fn slice(&mut self, label: &[u8]) {
        let Some(index) = self.now.checked_div(self.slice) else {
            return;
        };
        let label = self.tally.label(label);
        let window = self.tally.window(index as usize);
        window.answered += 1;
        if let Some(label) = label {
            if window.labels.len() <= label {
                window.labels.resize(label + 1, 0);
            }
            window.labels[label] += 1;
        }
    }
}
