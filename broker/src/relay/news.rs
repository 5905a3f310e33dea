//! What one part of the broker may hear of applications: that one has come, and what it says to the broker.
//!
//! The channel was given by who listens, and is bounded in news and in bytes; when it is full, what comes is lost to
//! it. Nobody of the data plane waits.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jackfield_rsocket::{
    endpoint::{Budget, Share},
    wire::Request,
};
use tokio::sync::mpsc;

use super::handle::Handle;
use crate::directory::Instance;

/// News that may wait.
pub const NEWS_MAX: usize = 1024;
/// What applications have said, as long as it waits or is being read.
const BYTES_MAX: usize = 32 << 20;

/// Something that happened to an application.
#[derive(Debug)]
pub enum News {
    Came(Arc<Instance<Arc<Handle>>>),
    Said {
        app: Arc<Instance<Arc<Handle>>>,
        metadata: Option<Bytes>,
        data: Bytes,
        /// Given back when it has been read.
        room: Share,
    },
}

#[derive(Debug)]
pub(super) struct Newsroom {
    listener: OnceLock<mpsc::Sender<News>>,
    bytes: Budget,
}

impl Default for Newsroom {
    fn default() -> Self {
        Self {
            listener: OnceLock::new(),
            bytes: Budget::new(BYTES_MAX),
        }
    }
}

impl Newsroom {
    pub(super) fn hear(&self, listener: mpsc::Sender<News>) {
        // The first stays.
        let _ = self.listener.set(listener);
    }

    pub(super) fn came(&self, app: &Arc<Instance<Arc<Handle>>>) {
        if let Some(listener) = self.listener.get() {
            let _ = listener.try_send(News::Came(Arc::clone(app)));
        }
    }

    /// Whether it will be heard.
    pub(super) fn said(&self, app: Arc<Instance<Arc<Handle>>>, request: &Request<'_>) -> bool {
        let size = request.data.len() + request.metadata.map_or(0, <[u8]>::len);
        let (Some(listener), Some(room)) = (self.listener.get(), self.bytes.take(size)) else {
            return false;
        };
        let said = News::Said {
            app,
            metadata: request.metadata.map(Bytes::copy_from_slice),
            data: Bytes::copy_from_slice(request.data),
            room,
        };
        listener.try_send(said).is_ok()
    }
}
