use std::fmt;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::Stream;

use super::handler::Silent;
use super::{Failure, Handler, Incoming, Items, Message, Reply};

/// A [`Handler`] made of closures; what has none is refused.
///
/// ```
/// use jackfield_rsocket::endpoint::{Message, Responder};
///
/// let echo = Responder::new().response(async |request: Message| Ok(request));
/// # let _ = echo;
/// ```
#[derive(Default)]
pub struct Responder {
    response: Option<Box<dyn Fn(Message) -> Reply + Send + Sync>>,
    stream: Option<Box<dyn Fn(Message) -> Items + Send + Sync>>,
    channel: Option<Box<dyn Fn(Message, Incoming) -> Items + Send + Sync>>,
    fire_and_forget: Option<Box<dyn Fn(Message) -> Quiet + Send + Sync>>,
    metadata_push: Option<Box<dyn Fn(Bytes) + Send + Sync>>,
}

type Quiet = Pin<Box<dyn Future<Output = ()> + Send>>;

impl Responder {
    pub fn new() -> Self {
        Self::default()
    }

    #[must_use]
    pub fn response<F, R>(mut self, answer: F) -> Self
    where
        F: Fn(Message) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Message, Failure>> + Send + 'static,
    {
        self.response = Some(Box::new(move |request| Box::pin(answer(request))));
        self
    }

    #[must_use]
    pub fn stream<F, S>(mut self, items: F) -> Self
    where
        F: Fn(Message) -> S + Send + Sync + 'static,
        S: Stream<Item = Result<Message, Failure>> + Send + 'static,
    {
        self.stream = Some(Box::new(move |request| Box::pin(items(request))));
        self
    }

    #[must_use]
    pub fn channel<F, S>(mut self, items: F) -> Self
    where
        F: Fn(Message, Incoming) -> S + Send + Sync + 'static,
        S: Stream<Item = Result<Message, Failure>> + Send + 'static,
    {
        self.channel = Some(Box::new(move |first, rest| Box::pin(items(first, rest))));
        self
    }

    #[must_use]
    pub fn fire_and_forget<F, R>(mut self, take: F) -> Self
    where
        F: Fn(Message) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.fire_and_forget = Some(Box::new(move |request| Box::pin(take(request))));
        self
    }

    #[must_use]
    pub fn metadata_push(mut self, take: impl Fn(Bytes) + Send + Sync + 'static) -> Self {
        self.metadata_push = Some(Box::new(take));
        self
    }
}

impl Handler for Responder {
    fn request_response(&self, request: Message) -> Reply {
        match &self.response {
            Some(answer) => answer(request),
            None => Silent.request_response(request),
        }
    }

    fn request_stream(&self, request: Message) -> Items {
        match &self.stream {
            Some(items) => items(request),
            None => Silent.request_stream(request),
        }
    }

    fn request_channel(&self, first: Message, rest: Incoming) -> Items {
        match &self.channel {
            Some(items) => items(first, rest),
            None => Silent.request_channel(first, rest),
        }
    }

    fn fire_and_forget(&self, request: Message) -> Quiet {
        match &self.fire_and_forget {
            Some(take) => take(request),
            None => Silent.fire_and_forget(request),
        }
    }

    fn metadata_push(&self, metadata: Bytes) {
        if let Some(take) = &self.metadata_push {
            take(metadata);
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Responder").finish_non_exhaustive()
    }
}
