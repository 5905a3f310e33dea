use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::handler::Silent;
use super::{Backoff, Budget, Handler, Message};
use crate::engine::lease::LeasePolicy;
use crate::metadata::ServiceRegistry;
use crate::metadata::{AppMetadata, Auth, CompositeBuilder, MetadataError, Mime, Service};
use crate::net::{DialOptions, TlsClient};
use crate::wire::FRAME_LEN_MAX;

/// The bounds of one connection, the same for clients and servers. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame taken from the peer.
    pub frame: usize,
    /// The largest frame sent; larger messages go in fragments.
    pub mtu: usize,
    /// The largest message taken from the peer, all fragments together.
    pub message: usize,
    /// Open streams, those of each side counted apart.
    pub streams: usize,
    /// Requests that wait to be written before the next caller waits.
    pub queue: usize,
    /// Items a channel's requester may send ahead of the handler.
    pub channel_window: u32,
    /// How long an accepted peer may take for its SETUP, and a server for its answer to a RESUME.
    pub setup_timeout: Duration,
    /// How long a message of the peer may take from its first fragment to its last.
    pub assembly_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame: FRAME_LEN_MAX,
            mtu: FRAME_LEN_MAX,
            message: 64 << 20,
            streams: 65_536,
            queue: 1024,
            channel_window: 64,
            setup_timeout: Duration::from_secs(10),
            assembly_timeout: Duration::from_secs(60),
        }
    }
}

/// Streams that outlive their transport: how long a lost one may take to come back, and how much of
/// what was sent is kept for that, in bytes.
///
/// What the peer says it has received is not kept. Before the buffer is full the sender waits for
/// it to say so; only of a peer that never does, or of one message larger than the buffer, frames
/// are given up, and then a loss of the connection may be one of the session too. A server holds as
/// many buffers as it has [`ServeOptions::sessions`](super::ServeOptions::sessions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeOptions {
    pub window: Duration,
    pub buffer: usize,
}

impl Default for ResumeOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(60),
            buffer: 1 << 20,
        }
    }
}

/// Leases, which bind both ends: what we let the peer start, and what becomes of our own requests
/// that its lease does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseOptions {
    pub grant: LeasePolicy,
    pub without: WithoutLease,
}

/// What becomes of a request of ours that no lease covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WithoutLease {
    /// It waits for the next lease, and those behind it with it.
    #[default]
    Wait,
    /// It fails with [`CallError::NoLease`](super::CallError::NoLease), unsent.
    Fail,
}

/// How a client introduces itself and what it serves.
#[derive(Clone)]
pub struct ConnectOptions {
    pub keepalive: Duration,
    pub lifetime: Duration,
    pub metadata_mime: String,
    pub data_mime: String,
    /// Who the application is; a broker lets only those serve that say so.
    pub app: Option<AppMetadata>,
    /// What it publishes at a broker.
    pub publish: Vec<Service>,
    pub token: Option<String>,
    /// Metadata of the SETUP as it is, instead of what the three fields above make.
    pub setup_metadata: Option<Bytes>,
    pub setup_data: Bytes,
    pub handler: Arc<dyn Handler>,
    pub limits: Limits,
    /// What messages of the peer take until they are let go, with those of other connections. What finds no room fails
    /// with [`CallError::Full`](super::CallError::Full).
    pub memory: Option<Budget>,
    /// How the socket behaves, and whom to trust over TLS.
    pub dial: DialOptions,
    /// Whether and how to dial again when the connection is lost. Calls that were open then fail,
    /// because nobody knows how far they got; new ones wait for the new connection. Not after a
    /// refusal or a breach of the protocol, which would only come again.
    pub reconnect: Option<Backoff>,
    /// Whether to ask the server to resume: then calls that are open survive the loss too.
    pub resume: Option<ResumeOptions>,
    /// Whether to ask for leases; a server without them refuses the connection.
    pub lease: Option<LeaseOptions>,
}

impl ConnectOptions {
    /// A client without a name, which calls and serves nothing.
    pub fn new() -> Self {
        Self {
            keepalive: Duration::from_secs(20),
            lifetime: Duration::from_secs(90),
            metadata_mime: Mime::COMPOSITE.to_string(),
            data_mime: Mime::OCTET_STREAM.to_string(),
            app: None,
            publish: Vec::new(),
            token: None,
            setup_metadata: None,
            setup_data: Bytes::new(),
            handler: Arc::new(Silent),
            limits: Limits::default(),
            memory: None,
            dial: DialOptions::default(),
            reconnect: None,
            resume: None,
            lease: None,
        }
    }

    /// An application with this name.
    pub fn app(name: impl Into<String>) -> Self {
        Self {
            app: Some(AppMetadata::named(name)),
            ..Self::new()
        }
    }

    /// Publishes `[group!]service[:version]`; say who answers with [`Self::serve`].
    pub fn publish(mut self, service: &str) -> Result<Self, MetadataError> {
        self.publish.push(Service::parse(service)?);
        Ok(self)
    }

    #[must_use]
    pub fn serve(mut self, handler: impl Handler) -> Self {
        self.handler = Arc::new(handler);
        self
    }

    #[must_use]
    pub fn bearer(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whom to trust, and who we are, over `tls` and `wss`.
    #[must_use]
    pub fn tls(mut self, tls: TlsClient) -> Self {
        self.dial.tls = Some(tls);
        self
    }

    /// Dials again when the connection is lost.
    #[must_use]
    pub fn reconnect(mut self, backoff: Backoff) -> Self {
        self.reconnect = Some(backoff);
        self
    }

    /// Asks the server to let streams survive the loss of the connection.
    #[must_use]
    pub fn resume(mut self, resume: ResumeOptions) -> Self {
        self.resume = Some(resume);
        self
    }

    /// Asks for leases, and grants them.
    #[must_use]
    pub fn lease(mut self, lease: LeaseOptions) -> Self {
        self.lease = Some(lease);
        self
    }

    /// The payload of the SETUP.
    pub(super) fn setup(&self) -> Result<Message, MetadataError> {
        let data = self.setup_data.clone();
        if let Some(metadata) = &self.setup_metadata {
            return Ok(Message {
                metadata: Some(metadata.clone()),
                data,
            });
        }
        let mut builder = CompositeBuilder::new();
        if let Some(app) = &self.app {
            builder = builder.try_push(Mime::APPLICATION, app.encode());
        }
        if !self.publish.is_empty() {
            let registry = ServiceRegistry::publishing(self.publish.iter().cloned());
            builder = builder.try_push(Mime::SERVICE_REGISTRY, registry.encode());
        }
        if let Some(token) = &self.token {
            builder = builder.try_push(Mime::AUTHENTICATION, Auth::Bearer(token).encode());
        }
        let metadata = builder.finish()?;
        Ok(Message {
            metadata: (!metadata.is_empty()).then_some(metadata),
            data,
        })
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ConnectOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Neither the token nor a metadata block that may hold one.
        f.debug_struct("ConnectOptions")
            .field("app", &self.app)
            .field("publish", &self.publish)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
