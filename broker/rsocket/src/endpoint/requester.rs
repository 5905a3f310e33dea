use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;
use tokio::sync::oneshot;

use super::call::{Feed, Inbound};
use super::incoming::Queue;
use super::shared::{Open, Shared, Signal, Ticket};
use super::{CallError, Closed, Credit, Failure, Incoming, Items, Message};
use crate::wire::Interaction;

/// Calls the peer of one connection. Cheap to clone, usable from any task.
///
/// A connection that was dialled ends when its last requester is gone and its streams have ended.
#[derive(Clone)]
pub struct Requester {
    shared: Arc<Shared>,
    _attended: Arc<Attended>,
}

impl Requester {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let attended = Arc::new(Attended(Arc::clone(&shared)));
        Self {
            shared,
            _attended: attended,
        }
    }

    /// One message there, one back. Dropping the future cancels the call.
    pub async fn request_response(&self, request: Message) -> Result<Message, CallError> {
        let (reply, answer) = oneshot::channel();
        let inbound = Inbound::Reply(reply);
        let ticket = self
            .open(Interaction::Response, request, 0, inbound, None)
            .await?;
        let mut guard = CancelOnDrop {
            shared: &self.shared,
            ticket: &ticket,
            armed: true,
        };
        let answer = answer.await;
        guard.armed = false;
        answer.unwrap_or_else(|_| Err(self.shared.reason().into()))
    }

    /// One message there, many back.
    pub async fn request_stream(
        &self,
        request: Message,
        credit: Credit,
    ) -> Result<Incoming, CallError> {
        self.items(Interaction::Stream, request, None, credit).await
    }

    /// Many messages there, many back. `rest` is pulled as the peer grants credit; a failure in it
    /// ends the whole channel.
    pub async fn request_channel(
        &self,
        first: Message,
        rest: impl Stream<Item = Result<Message, Failure>> + Send + 'static,
        credit: Credit,
    ) -> Result<Incoming, CallError> {
        self.items(Interaction::Channel, first, Some(Box::pin(rest)), credit)
            .await
    }

    /// One message there. Success means that it is on its way, no more.
    pub async fn fire_and_forget(&self, request: Message) -> Result<(), CallError> {
        let interaction = Interaction::FireAndForget;
        self.open(interaction, request, 0, Inbound::Nothing, None)
            .await?;
        Ok(())
    }

    /// Metadata for the whole connection. Many peers cannot bear it.
    pub async fn metadata_push(&self, metadata: impl Into<Bytes>) -> Result<(), CallError> {
        let permit = self.shared.room().await?;
        self.shared
            .signal(Signal::MetadataPush(metadata.into(), permit));
        Ok(())
    }

    /// Closes the connection; calls that are open fail.
    pub fn close(&self) {
        self.shared.signal(Signal::Close);
    }

    /// Waits until the connection has ended, and says why.
    pub async fn closed(&self) -> Closed {
        self.shared.closed().await
    }

    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Whether there is a transport at the moment; calls wait while there is none.
    pub fn is_up(&self) -> bool {
        self.shared.is_up()
    }

    /// Waits until there is a transport, or says why there will be none.
    pub async fn up(&self) -> Result<(), Closed> {
        self.shared.up().await
    }

    /// Calls of ours that wait or run.
    pub fn calls_open(&self) -> usize {
        self.shared.calls_open()
    }

    async fn items(
        &self,
        interaction: Interaction,
        request: Message,
        source: Option<Items>,
        credit: Credit,
    ) -> Result<Incoming, CallError> {
        let queue = Arc::new(Queue::default());
        let inbound = Inbound::Items(Feed(Arc::clone(&queue)));
        let initial_n = credit.initial.clamp(1, Credit::ENDLESS);
        let ticket = self
            .open(interaction, request, initial_n, inbound, source)
            .await?;
        Ok(Incoming::new(
            queue,
            Arc::clone(&self.shared),
            ticket,
            credit,
        ))
    }

    async fn open(
        &self,
        interaction: Interaction,
        message: Message,
        initial_n: u32,
        inbound: Inbound,
        source: Option<Items>,
    ) -> Result<Arc<Ticket>, CallError> {
        let permit = self.shared.room().await?;
        let ticket = Arc::new(Ticket::default());
        let open = Open {
            interaction,
            message,
            initial_n,
            inbound,
            source,
            ticket: Arc::clone(&ticket),
            load: self.shared.load(),
            _permit: permit,
        };
        self.shared.open(open)?;
        Ok(ticket)
    }
}

impl fmt::Debug for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requester")
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// Tells the driver when the last requester is gone.
#[derive(Debug)]
struct Attended(Arc<Shared>);

impl Drop for Attended {
    fn drop(&mut self) {
        self.0.signal(Signal::Unattended);
    }
}

struct CancelOnDrop<'a> {
    shared: &'a Shared,
    ticket: &'a Arc<Ticket>,
    armed: bool,
}

impl Drop for CancelOnDrop<'_> {
    fn drop(&mut self) {
        if self.armed {
            self.shared.cancel(self.ticket);
        }
    }
}
