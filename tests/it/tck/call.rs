//! One call as a script sees it: prepared, then sent by its first credit, cancelled or ended; and the
//! log of what came back, which the script waits on.

use futures_util::StreamExt;
use jackfield_rsocket::endpoint::{CallError, Credit, Incoming, Message, Requester};
use tokio::sync::{mpsc, watch};

use super::{
    marble::{Item, Marble},
    script::{Fact, Kind, Until},
};

/// What a call's requester has seen.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) items: Vec<Item>,
    pub(super) end: Option<Result<(), String>>,
    pub(super) cancelled: bool,
    /// The responder wants no more of what a channel's requester sends.
    pub(super) halted: bool,
}

impl Log {
    /// Whether it has come to that; an error when it no longer can.
    pub(super) fn reached(&self, until: &Until) -> Result<bool, String> {
        let (count, over) = (self.items.len(), self.end.is_some() || self.cancelled);
        let reached = match until {
            Until::Terminal => self.end.is_some(),
            Until::Completed => matches!(self.end, Some(Ok(()))),
            Until::Failed => matches!(self.end, Some(Err(_))),
            Until::AtLeast(n) => count >= *n,
            Until::ReceivedExactly(n) => {
                exact(count <= *n)?;
                count == *n
            }
            Until::Received(items) => {
                exact(count <= items.len() && self.items[..] == items[..count])?;
                count == items.len()
            }
            Until::Halted => self.halted,
            // The responder's log has these.
            Until::Taken(_) | Until::TakenAll | Until::Stopped => return Err("not here".to_owned()),
        };
        let hopeless = over && !reached && !matches!(until, Until::Halted);
        if hopeless {
            Err("it is over".to_owned())
        } else {
            Ok(reached)
        }
    }

    pub(super) fn is(&self, fact: Fact) -> bool {
        match fact {
            Fact::NoError => !matches!(self.end, Some(Err(_))),
            Fact::NotCompleted => !matches!(self.end, Some(Ok(()))),
            Fact::Cancelled => self.cancelled,
        }
    }

    pub(super) fn events(&self) -> usize {
        self.items.len() + usize::from(self.end.is_some())
    }
}

fn exact(held: bool) -> Result<(), String> {
    held.then_some(())
        .ok_or_else(|| "other items came".to_owned())
}

enum Command {
    Request(u32),
    Cancel,
}

/// Far more than any script says at once.
const COMMANDS_MAX: usize = 64;

pub(super) struct Call {
    request: Option<Request>,
    commands: Option<mpsc::Sender<Command>>,
    log: watch::Sender<Log>,
}

pub(super) struct Request {
    pub(super) kind: Kind,
    pub(super) message: Message,
    pub(super) sends: Option<Marble>,
}

impl Call {
    pub(super) fn new(request: Request) -> Self {
        Self {
            request: Some(request),
            commands: None,
            log: watch::Sender::default(),
        }
    }

    pub(super) fn log(&self) -> watch::Receiver<Log> {
        self.log.subscribe()
    }

    /// The first credit sends the request; a cancelled call takes no more.
    pub(super) async fn request(&mut self, requester: &Requester, n: u32) {
        if self.log.borrow().cancelled {
            return;
        }
        if let Some(request) = self.request.take() {
            let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
            self.commands = Some(commands);
            let running = run(requester.clone(), request, n, inbox, self.log.clone());
            tokio::spawn(running);
        } else if let Some(commands) = &self.commands {
            // A call that has ended needs no credit.
            let _ = commands.send(Command::Request(n)).await;
        }
    }

    pub(super) async fn cancel(&mut self) {
        self.request = None;
        self.log.send_if_modified(|log| {
            let running = log.end.is_none();
            log.cancelled |= running;
            running
        });
        if let Some(commands) = self.commands.take() {
            let _ = commands.send(Command::Cancel).await;
        }
    }
}

async fn run(
    requester: Requester,
    request: Request,
    n: u32,
    inbox: mpsc::Receiver<Command>,
    log: watch::Sender<Log>,
) {
    let end = match request.kind {
        Kind::FireAndForget => requester.fire_and_forget(request.message).await.map(Some),
        Kind::Response => response(&requester, request.message, inbox, &log).await,
        Kind::Stream | Kind::Channel => {
            items(&requester, request, Credit::exactly(n), inbox, &log).await
        }
    };
    let end = match end {
        Ok(Some(())) => Ok(()),
        Ok(None) => return,
        Err(error) => Err(error.to_string()),
    };
    log.send_modify(|log| log.end = Some(end));
}

/// `None` stands for a call that was cancelled.
type Ended = Result<Option<()>, CallError>;

async fn response(
    requester: &Requester,
    message: Message,
    mut inbox: mpsc::Receiver<Command>,
    log: &watch::Sender<Log>,
) -> Ended {
    let cancelled = async { while let Some(Command::Request(_)) = inbox.recv().await {} };
    tokio::select! {
        reply = requester.request_response(message) => {
            let item = Item::read(&reply?);
            log.send_modify(|log| log.items.push(item));
            Ok(Some(()))
        }
        () = cancelled => Ok(None),
    }
}

async fn items(
    requester: &Requester,
    request: Request,
    credit: Credit,
    mut inbox: mpsc::Receiver<Command>,
    log: &watch::Sender<Log>,
) -> Ended {
    let mut incoming: Incoming = match request.sends {
        None => requester.request_stream(request.message, credit).await?,
        Some(marble) => {
            let log = log.clone();
            let rest = marble.play(move |whole| log.send_modify(|log| log.halted |= !whole));
            requester
                .request_channel(request.message, rest, credit)
                .await?
        }
    };
    loop {
        tokio::select! {
            item = incoming.next() => match item {
                Some(Ok(message)) => {
                    let item = Item::read(&message);
                    log.send_modify(|log| log.items.push(item));
                }
                Some(Err(error)) => return Err(error),
                None => return Ok(Some(())),
            },
            command = inbox.recv() => match command {
                Some(Command::Request(n)) => incoming.request_n(n),
                Some(Command::Cancel) | None => return Ok(None),
            },
        }
    }
}
