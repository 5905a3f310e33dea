//! The scraper's own connection to the relay, over which every application is asked.

use std::sync::{Arc, Mutex, PoisonError};

use jackfield_rsocket::{
    endpoint::{self, CallError, ConnectOptions, Message, Requester},
    metadata::{
        CompositeBuilder, MetadataError, Mime, encode_accept_mime_types, encode_mime_type,
        encode_tags,
    },
    net::memory,
    wire::{ErrorCode, FRAME_LEN_MAX},
};

use super::{Question, Unscraped, Why};
use crate::relay::Relay;

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

    pub(super) async fn ask(&self, uuid: &str, question: Question) -> Result<Message, Unscraped> {
        let metadata = metadata(uuid, &question.route)
            .map_err(|error| Unscraped::new(Why::App, format!("it cannot be asked: {error}")))?;
        let request = Message::new(question.data).with_metadata(metadata);
        let requester = self.requester().await?;
        requester.request_response(request).await.map_err(refused)
    }

    async fn requester(&self) -> Result<Requester, Unscraped> {
        if let Some(requester) = self.held() {
            return Ok(requester);
        }
        let busy = |error: String| Unscraped::new(Why::Overload, error);
        let (ours, theirs) = memory(FRAME_LEN_MAX);
        let attached = self.relay.attach(theirs).await;
        attached.map_err(|error| busy(error.to_string()))?;
        let mut options = ConnectOptions::new();
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

/// The data is text both ways, which the archived broker's clients want to be told.
fn metadata(uuid: &str, route: &str) -> Result<bytes::Bytes, MetadataError> {
    let endpoint = format!("e=uuid:{uuid}");
    CompositeBuilder::new()
        .try_push(Mime::ROUTING, encode_tags([route, &endpoint]))
        .try_push(Mime::MIME_TYPE, encode_mime_type(Mime::TEXT))
        .try_push(
            Mime::ACCEPT_MIME_TYPES,
            encode_accept_mime_types([Mime::TEXT.into()]),
        )
        .finish()
}

fn refused(error: CallError) -> Unscraped {
    let text = error.to_string();
    let why = match &error {
        CallError::Failed(failure) => match failure.code {
            ErrorCode::REJECTED => Why::Overload,
            _ if failure.text.starts_with("RST-910408") => Why::Timeout,
            _ => Why::App,
        },
        CallError::TooLarge { limit } => {
            let text = format!("the answer has more than {limit} bytes; metrics.page-bytes");
            return Unscraped::new(Why::Page, text);
        }
        _ => Why::Overload,
    };
    Unscraped::new(why, text)
}
