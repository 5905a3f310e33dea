use std::fmt;
use std::future::{pending, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::driver::{Accepted, Driver, not_a_frame, now};
use super::requester::Requester;
use super::sessions::Sessions;
use super::shared::Shared;
use super::{Closed, Failure, Handler, LeaseOptions, Limits, Message, ResumeOptions};
use crate::engine::resume::{Session, Token, UNKNOWN_TOKEN};
use crate::engine::{First, KeepaliveTimer, Offer, Violation, judge_first};
use crate::net::{Body, FrameIo, Listener, Peer, TransportKind};
use crate::wire::{ErrorCode, ErrorFrame, Frame, Setup, StreamId};

/// How a client introduced itself.
#[derive(Clone, Debug)]
pub struct Introduced {
    pub metadata_mime: String,
    pub data_mime: String,
    /// The payload of its SETUP.
    pub setup: Message,
    pub keepalive: Duration,
    pub lifetime: Duration,
    pub peer: Peer,
    pub transport: TransportKind,
}

/// What a server offers, and its bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServeOptions {
    pub limits: Limits,
    /// Whether clients may resume.
    pub resume: Option<ResumeOptions>,
    /// Whether clients may ask for leases, and what those are.
    pub lease: Option<LeaseOptions>,
    /// Sessions that can be resumed, those with a transport and those without; a client that asks
    /// for one more is refused. Zero for the default of 1024.
    pub sessions: usize,
}

impl From<Limits> for ServeOptions {
    fn from(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }
}

/// The handler of a connection, or why there will be none.
pub type Verdict = Result<Arc<dyn Handler>, Failure>;

/// Sees who comes, and a way to call back.
type Acceptor = dyn Fn(Introduced, Requester) -> Deciding + Send + Sync;

type Deciding = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// Serves connections, from any number of listeners or none. Clones are one server: a client may
/// come back through any of them.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use jackfield_rsocket::endpoint::{
///     ConnectOptions, Message, Responder, ResumeOptions, ServeOptions, Server, connect,
/// };
/// use jackfield_rsocket::net::Listener;
///
/// let listener = Listener::bind(&"tcp://127.0.0.1:0".parse()?).await?;
/// let uri = listener.uri().clone();
/// let options = ServeOptions { resume: Some(ResumeOptions::default()), ..Default::default() };
/// let server = Server::answering(Responder::new().response(async |request| Ok(request)));
/// tokio::spawn(server.with(options).listen(listener));
///
/// let options = ConnectOptions::new().resume(ResumeOptions::default());
/// let requester = connect(&uri, options).await?;
/// assert_eq!(requester.request_response(Message::new("hi")).await?.data, "hi");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Server {
    options: ServeOptions,
    acceptor: Arc<Acceptor>,
    sessions: Sessions,
}

impl Server {
    /// `acceptor` sees who comes and a requester to call back through; it answers with the handler
    /// of that connection, or with a refusal.
    pub fn new<A>(acceptor: A) -> Self
    where
        A: Fn(Introduced, Requester) -> Verdict + Send + Sync + 'static,
    {
        Self::deciding(move |introduced, requester| ready(acceptor(introduced, requester)))
    }

    /// The same with an acceptor that takes its time, to look credentials up for example. It has
    /// [`Limits::setup_timeout`]; meanwhile nothing is read of what the client pipelined behind its
    /// SETUP.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use jackfield_rsocket::endpoint::{Failure, Handler, Introduced, Responder, Server};
    ///
    /// async fn is_known(token: Option<String>) -> bool {
    ///     token.is_some()
    /// }
    ///
    /// let server = Server::deciding(|who: Introduced, _| async move {
    ///     let token = who.setup.bearer_token().map(str::to_owned);
    ///     if !is_known(token).await {
    ///         return Err(Failure::rejected("who are you?"));
    ///     }
    ///     Ok(Arc::new(Responder::new()) as Arc<dyn Handler>)
    /// });
    /// # let _ = server;
    /// ```
    pub fn deciding<A, F>(acceptor: A) -> Self
    where
        A: Fn(Introduced, Requester) -> F + Send + Sync + 'static,
        F: Future<Output = Verdict> + Send + 'static,
    {
        Self {
            options: ServeOptions::default(),
            acceptor: Arc::new(move |introduced, requester| {
                Box::pin(acceptor(introduced, requester))
            }),
            sessions: Sessions::default(),
        }
    }

    /// Answers everybody with the same handler.
    pub fn answering(handler: impl Handler) -> Self {
        let handler: Arc<dyn Handler> = Arc::new(handler);
        Self::new(move |_, _| Ok(Arc::clone(&handler)))
    }

    #[must_use]
    pub fn with(mut self, options: impl Into<ServeOptions>) -> Self {
        self.options = options.into();
        self
    }

    /// Accepts connections until the future is dropped, which also ends those it accepted.
    pub async fn listen(self, listener: Listener) {
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = reap(&mut connections) => continue,
            };
            let Ok(accepted) = accepted else {
                // Out of file descriptors, most likely; some will come free.
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let server = self.clone();
            connections.spawn(async move {
                let limits = server.options.limits;
                let opened = timeout(limits.setup_timeout, accepted.open(limits.frame)).await;
                if let Ok(Ok(io)) = opened {
                    server.accept(io).await;
                }
            });
        }
    }

    /// Serves one connection to its end: judges its first frame, then drives it. A client that
    /// comes back is handed over to the session it left.
    pub async fn accept(&self, io: FrameIo) -> Closed {
        accept_as(io, &self.options, &*self.acceptor, &self.sessions).await
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// [`Server::listen`] in one call.
pub async fn serve<A>(listener: Listener, options: impl Into<ServeOptions>, acceptor: A)
where
    A: Fn(Introduced, Requester) -> Verdict + Send + Sync + 'static,
{
    Server::new(acceptor).with(options).listen(listener).await;
}

/// Serves one connection to its end. Without a [`Server`] nobody can come back: resume is not
/// offered.
pub async fn accept<A>(io: FrameIo, options: impl Into<ServeOptions>, acceptor: &A) -> Closed
where
    A: Fn(Introduced, Requester) -> Verdict + Sync,
{
    let mut options = options.into();
    options.resume = None;
    let acceptor = |introduced, requester| ready(acceptor(introduced, requester));
    accept_as(io, &options, acceptor, &Sessions::default()).await
}

async fn accept_as<F>(
    mut io: FrameIo,
    options: &ServeOptions,
    acceptor: impl FnOnce(Introduced, Requester) -> F,
    sessions: &Sessions,
) -> Closed
where
    F: Future<Output = Verdict>,
{
    let bytes = match timeout(options.limits.setup_timeout, io.next_frame()).await {
        Ok(Some(Ok(bytes))) => bytes,
        Ok(Some(Err(error))) => {
            if let Some(text) = not_a_frame(&error) {
                refuse(&mut io, ErrorCode::INVALID_SETUP, text).await;
            }
            return Closed::Net(Arc::new(error));
        }
        Ok(None) => return Closed::Peer,
        Err(_) => return Closed::Silent,
    };
    let offer = Offer {
        resume: options.resume.is_some(),
        lease: options.lease.is_some(),
    };
    let refused = match judge_first(Frame::decode(&bytes), offer) {
        Ok(First::Setup { setup, token }) => {
            match begin(io, options, acceptor, sessions, &setup, token).await {
                Ok(driver) => return Box::pin(driver.run()).await,
                Err(refused) => *refused,
            }
        }
        Ok(First::Resume(resume)) => match sessions.find(resume.token) {
            None => (io, UNKNOWN_TOKEN.into()),
            Some(shared) => match shared.come_back(Box::new(io), bytes.clone()) {
                // From here on the session's own task has it.
                Ok(()) => return Closed::Resumed,
                Err(io) => (*io, UNKNOWN_TOKEN.into()),
            },
        },
        Err(violation) => (io, violation.into()),
    };
    let (mut io, Refusal { code, text, closed }) = refused;
    refuse(&mut io, code, &text).await;
    closed
}

/// A connection that does not come about.
struct Refusal {
    code: ErrorCode,
    text: String,
    closed: Closed,
}

impl From<Violation> for Refusal {
    fn from(Violation { code, text }: Violation) -> Self {
        Self {
            code,
            text: text.to_owned(),
            closed: Closed::Violation(text),
        }
    }
}

/// Accepts a SETUP.
async fn begin<F>(
    io: FrameIo,
    options: &ServeOptions,
    acceptor: impl FnOnce(Introduced, Requester) -> F,
    sessions: &Sessions,
    setup: &Setup<'_>,
    token: Option<Token>,
) -> Result<Driver, Box<(FrameIo, Refusal)>>
where
    F: Future<Output = Verdict>,
{
    let shared = Shared::new(options.limits.queue);
    let held = match token
        .clone()
        .map(|token| sessions.hold(token, &shared, options))
    {
        None => None,
        Some(Ok(held)) => Some(held),
        Some(Err(violation)) => return Err(Box::new((io, violation.into()))),
    };
    let introduced = introduced(setup, &io);
    let lifetime = introduced.lifetime;
    let deciding = acceptor(introduced, Requester::new(Arc::clone(&shared)));
    let late = |_| Err(Failure::rejected("not decided in time"));
    let decided = timeout(options.limits.setup_timeout, deciding).await;
    let handler = match decided.unwrap_or_else(late) {
        Ok(handler) => handler,
        Err(Failure { code, text }) => {
            shared.finish(Closed::Local);
            let (code, closed) = (setup_code(code), Closed::Local);
            return Err(Box::new((io, Refusal { code, text, closed })));
        }
    };
    let session = token
        .zip(options.resume)
        .map(|(token, resume)| (Session::new(token, resume.buffer), resume.window));
    let accepted = Accepted {
        keepalive: KeepaliveTimer::server(lifetime, now()),
        session,
        lease: options.lease.filter(|_| setup.lease),
    };
    let driver = Driver::server(io, accepted, shared, handler, options.limits);
    Ok(driver.holding(held))
}

fn introduced(setup: &Setup<'_>, io: &FrameIo) -> Introduced {
    let copy = |bytes: &[u8]| bytes::Bytes::copy_from_slice(bytes);
    Introduced {
        metadata_mime: String::from_utf8_lossy(setup.metadata_mime).into_owned(),
        data_mime: String::from_utf8_lossy(setup.data_mime).into_owned(),
        setup: Message {
            metadata: setup.metadata.map(copy),
            data: copy(setup.data),
        },
        keepalive: Duration::from_millis(setup.keepalive_ms.into()),
        lifetime: Duration::from_millis(setup.lifetime_ms.into()),
        peer: io.peer(),
        transport: io.kind(),
    }
}

/// Sends ERROR on stream zero and waits a moment for the peer to go, so that it is not lost.
pub(super) async fn refuse(io: &mut FrameIo, code: ErrorCode, text: &str) {
    let mut frame = BytesMut::new();
    ErrorFrame::new(code, text.as_bytes()).encode(StreamId::CONNECTION, &mut frame);
    io.push(&frame, Body::Copy(&[]));
    let leave = async {
        if io.shutdown().await.is_ok() {
            while let Some(Ok(_)) = io.next_frame().await {}
        }
    };
    let _ = timeout(LINGER, leave).await;
}

/// A code that may refuse a SETUP.
const fn setup_code(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::INVALID_SETUP | ErrorCode::UNSUPPORTED_SETUP => code,
        _ => ErrorCode::REJECTED_SETUP,
    }
}

/// Forgets one connection that ended; waits while there is none.
async fn reap(connections: &mut JoinSet<()>) {
    if connections.join_next().await.is_none() {
        pending::<()>().await;
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

const LINGER: Duration = Duration::from_secs(1);
