//! A connection of a part of the broker, over which it asks applications that it names (`direct.rs`).

use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use jackfield_rsocket::{
    endpoint::{self, Budget, ConnectOptions, Message, Requester},
    net::memory_of,
    wire::FRAME_LEN_MAX,
};

use super::{
    Relay,
    direct::{DIRECT, direct_metadata},
};

/// What the connection holds in each direction: most answers cross in one piece.
const PIPE: usize = 256 << 10;

/// Asks applications by their uuid. The connection is made when it is first needed, and again when it was lost.
pub struct Asker {
    relay: Arc<Relay>,
    connection: Mutex<Option<Requester>>,
    /// The largest answer that is taken.
    message_max: usize,
    /// What answers take, with others.
    memory: Option<Budget>,
}

impl Asker {
    pub fn new(relay: Arc<Relay>, message_max: usize, memory: Option<Budget>) -> Self {
        Self {
            relay,
            connection: Mutex::default(),
            message_max,
            memory,
        }
    }

    /// What to send over [`Self::requester`]; of its metadata the application gets `header`.
    pub fn request(uuid: &str, header: &[u8], data: impl Into<Bytes>) -> Message {
        Message::new(data).with_metadata(direct_metadata(uuid, header))
    }

    /// Fails while the broker takes no connections.
    pub async fn requester(&self) -> io::Result<Requester> {
        let held = self.lock().clone();
        if let Some(held) = held.filter(|requester| !requester.is_closed()) {
            return Ok(held);
        }
        let (ours, theirs) = memory_of(FRAME_LEN_MAX, PIPE);
        self.relay.attach(theirs).await?;
        let mut options = ConnectOptions::new();
        options.metadata_mime = String::from_utf8_lossy(DIRECT).into_owned();
        options.limits.message = self.message_max;
        options.memory = self.memory.clone();
        let requester = endpoint::attach(ours, options).map_err(io::Error::other)?;
        // Of two that were made at once the later one stays; the other ends with its calls.
        *self.lock() = Some(requester.clone());
        Ok(requester)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Requester>> {
        { self.connection.lock() }.unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Asker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}
