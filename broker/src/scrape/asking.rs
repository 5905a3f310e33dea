//! The scraper's own connection to the relay, over which every application is asked.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use jackfield_rsocket::{
    endpoint::{CallError, Credit, Message, Requester},
    metadata::{
        CompositeBuilder, MetadataError, Mime, encode_accept_mime_types, encode_mime_type,
        encode_tags,
    },
    wire::ErrorCode,
};

use super::{Unscraped, Why};
use crate::{
    chain::{Asking as How, Header, Question},
    relay::{Asker, Relay},
};

/// Items of a page in parts that may be on their way.
const PARTS_AHEAD: u32 = 16;

/// A page may keep so much of what came with it alive.
const METADATA_KEPT: usize = 1 << 10;

pub(super) struct Asking {
    asker: Asker,
    /// The largest reply that is taken.
    message_max: usize,
}

impl Asking {
    pub(super) fn new(relay: Arc<Relay>, message_max: usize) -> Self {
        Self {
            asker: Asker::new(relay, message_max, None),
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
        let request = Asker::request(uuid, &header, question.data.clone());
        let requester = self.requester().await?;
        match question.asking {
            How::RequestResponse => {
                let reply = requester.request_response(request).await;
                Ok(vec![lean(reply.map_err(refused)?)])
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
            parts.push(lean(part));
        }
        Ok(parts)
    }

    async fn requester(&self) -> Result<Requester, Unscraped> {
        let requester = self.asker.requester().await;
        requester.map_err(|error| Unscraped::new(Why::Overload, error.to_string()))
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

/// Without the frame that its data is a part of, where the rest of that weighs something: a page may be kept for long.
fn lean(mut message: Message) -> Message {
    let metadata = message.metadata.as_ref();
    if metadata.is_some_and(|metadata| metadata.len() > METADATA_KEPT) {
        message.data = Bytes::copy_from_slice(&message.data);
    }
    message
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
