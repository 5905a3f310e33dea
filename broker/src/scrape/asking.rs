//! The scraper's own connection to the relay, over which every application is asked.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use jackfield_rsocket::{
    endpoint::{self, CallError, ConnectOptions, Credit, Message, Requester},
    metadata::{
        CompositeBuilder, MetadataError, Mime, encode_accept_mime_types, encode_mime_type,
        encode_tags,
    },
    net::memory_of,
    wire::{ErrorCode, FRAME_LEN_MAX},
};

use super::{Unscraped, Why};
use crate::{
    chain::{Asking as How, Header, Question},
    relay::{DIRECT, Relay, direct_metadata},
};

/// What the connection holds in each direction: a page of two thousand series crosses in one piece.
const PIPE: usize = 256 << 10;
/// Items of a page in parts that may be on their way.
const PARTS_AHEAD: u32 = 16;

pub(super) struct Asking {
    relay: Arc<Relay>,
    connection: Mutex<Option<Requester>>,
    /// The largest reply that is taken.
    message_max: usize,
}

impl Asking {
    pub(super) fn new(relay: Arc<Relay>, message_max: usize) -> Self {
        Self {
            relay,
            connection: Mutex::default(),
            message_max,
        }
    }

    /// Asks one application; its answer may come in parts.
    pub(super) async fn ask(
        &self,
        uuid: &str,
        question: &Question,
    ) -> Result<Vec<Message>, Unscraped> {
        let header = header(&question.header)
            .map_err(|error| Unscraped::new(Why::App, format!("it cannot be asked: {error}")))?;
        let request = Message::new(question.data.clone());
        let request = request.with_metadata(direct_metadata(uuid, &header));
        let requester = self.requester().await?;
        match question.asking {
            How::RequestResponse => {
                let reply = requester.request_response(request).await;
                Ok(vec![reply.map_err(refused)?])
            }
            How::RequestStream => self.collect(&requester, request).await,
            How::FireAndForget => {
                let sent = requester.fire_and_forget(request).await;
                sent.map(|()| Vec::new()).map_err(refused)
            }
        }
    }

    async fn collect(
        &self,
        requester: &Requester,
        request: Message,
    ) -> Result<Vec<Message>, Unscraped> {
        let stream = requester.request_stream(request, Credit::window(PARTS_AHEAD));
        let mut stream = stream.await.map_err(refused)?;
        let (mut parts, mut left) = (Vec::new(), self.message_max);
        while let Some(part) = stream.next().await {
            let part = part.map_err(refused)?;
            // A part without text takes room too.
            left = left
                .checked_sub(part.data.len().max(64))
                .ok_or_else(|| too_large(self.message_max))?;
            parts.push(part);
        }
        Ok(parts)
    }

    async fn requester(&self) -> Result<Requester, Unscraped> {
        if let Some(requester) = self.held() {
            return Ok(requester);
        }
        let busy = |error: String| Unscraped::new(Why::Overload, error);
        let (ours, theirs) = memory_of(FRAME_LEN_MAX, PIPE);
        let attached = self.relay.attach(theirs).await;
        attached.map_err(|error| busy(error.to_string()))?;
        let mut options = ConnectOptions::new();
        options.metadata_mime = String::from_utf8_lossy(DIRECT).into_owned();
        options.limits.message = self.message_max;
        let requester = endpoint::attach(ours, options).map_err(|error| busy(error.to_string()))?;
        // Of two that were made at once the later one stays; the other ends with its calls.
        *self.lock() = Some(requester.clone());
        Ok(requester)
    }

    fn held(&self) -> Option<Requester> {
        self.lock()
            .clone()
            .filter(|requester| !requester.is_closed())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Requester>> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// What comes before the data. With a route, the data is said to be text both ways, which the archived broker's clients
/// want to be told.
fn header(header: &Header) -> Result<Bytes, MetadataError> {
    let route = match header {
        Header::Nothing => return Ok(Bytes::new()),
        Header::Raw(bytes) => return Ok(Bytes::copy_from_slice(bytes)),
        Header::Route(route) => route.as_str(),
    };
    CompositeBuilder::new()
        .try_push(Mime::ROUTING, encode_tags([route]))
        .try_push(Mime::MIME_TYPE, encode_mime_type(Mime::TEXT))
        .try_push(
            Mime::ACCEPT_MIME_TYPES,
            encode_accept_mime_types([Mime::TEXT.into()]),
        )
        .finish()
}

fn too_large(limit: usize) -> Unscraped {
    let text = format!("the answer has more than {limit} bytes; metrics.page-bytes");
    Unscraped::new(Why::Page, text)
}

fn refused(error: CallError) -> Unscraped {
    let why = match &error {
        CallError::Failed(failure) => match failure.code {
            ErrorCode::REJECTED => Why::Overload,
            _ if failure.text.starts_with("RST-910408") => Why::Timeout,
            _ => Why::App,
        },
        CallError::TooLarge { limit } => return too_large(*limit),
        _ => Why::Overload,
    };
    Unscraped::new(why, error.to_string())
}
