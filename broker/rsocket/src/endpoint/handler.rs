use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream;

use super::{Failure, Incoming, Message};
use crate::wire::Interaction;

/// The answer to a request/response.
pub type Reply = Pin<Box<dyn Future<Output = Result<Message, Failure>> + Send>>;

/// The items of a stream or channel. They are pulled as the requester grants credit; one is pulled
/// ahead, so that an end is told without credit.
pub type Items = Pin<Box<dyn Stream<Item = Result<Message, Failure>> + Send>>;

/// What answers requests. [`super::Responder`] makes one from closures.
///
/// Futures and streams run on the connection's own task, which is what makes short answers cheap;
/// long computations belong on a task of their own. When the requester cancels they are dropped.
pub trait Handler: Send + Sync + 'static {
    fn request_response(&self, request: Message) -> Reply {
        drop(request);
        Box::pin(async { Err(not_served(Interaction::Response)) })
    }

    fn request_stream(&self, request: Message) -> Items {
        drop(request);
        refuse(Interaction::Stream)
    }

    /// `rest` are the items behind the first; dropping it tells the requester to send no more.
    fn request_channel(&self, first: Message, rest: Incoming) -> Items {
        drop((first, rest));
        refuse(Interaction::Channel)
    }

    fn fire_and_forget(&self, request: Message) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        drop(request);
        Box::pin(async {})
    }

    /// Metadata for the whole connection. Must not block.
    fn metadata_push(&self, metadata: Bytes) {
        drop(metadata);
    }
}

/// Serves nothing: for clients that only call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Silent;

impl Handler for Silent {}

fn refuse(interaction: Interaction) -> Items {
    Box::pin(stream::iter([Err(not_served(interaction))]))
}

fn not_served(interaction: Interaction) -> Failure {
    Failure::rejected(format!("{} is not served here", interaction.as_str()))
}
