use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::driver::{Driver, now};
use super::requester::Requester;
use super::sender::Sender;
use super::shared::Shared;
use super::{Closed, Failure, Handler, Limits, Message};
use crate::engine::{KeepaliveTimer, Violation, check_first};
use crate::net::{Body, FrameIo, Listener, Peer, TransportKind};
use crate::wire::{ErrorCode, ErrorFrame, Frame, Setup, Side, StreamId};

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

/// Accepts connections until the future is dropped, which also ends those it accepted.
///
/// `acceptor` sees who comes and a requester to call back through; it answers with the handler of
/// that connection, or with a refusal.
pub async fn serve<A>(listener: Listener, limits: Limits, acceptor: A)
where
    A: Fn(Introduced, Requester) -> Result<Arc<dyn Handler>, Failure> + Send + Sync + 'static,
{
    let acceptor = Arc::new(acceptor);
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
        let acceptor = Arc::clone(&acceptor);
        connections.spawn(async move {
            let opened = timeout(limits.setup_timeout, accepted.open(limits.frame)).await;
            if let Ok(Ok(io)) = opened {
                accept(io, limits, &*acceptor).await;
            }
        });
    }
}

/// Serves one connection to its end: judges its first frame, then drives it.
pub async fn accept<A>(mut io: FrameIo, limits: Limits, acceptor: &A) -> Closed
where
    A: Fn(Introduced, Requester) -> Result<Arc<dyn Handler>, Failure> + Sync,
{
    let bytes = match timeout(limits.setup_timeout, io.next_frame()).await {
        Ok(Some(Ok(bytes))) => bytes,
        Ok(Some(Err(error))) => return Closed::Net(Arc::new(error)),
        Ok(None) => return Closed::Peer,
        Err(_) => return Closed::Silent,
    };
    let setup = match check_first(Frame::decode(&bytes)) {
        Ok(setup) => setup,
        Err(Violation { code, text }) => {
            refuse(io, code, text).await;
            return Closed::Violation(text);
        }
    };
    let introduced = introduced(&setup, &io);
    let lifetime = introduced.lifetime;
    let shared = Shared::new(limits.queue);
    let requester = Requester::new(Arc::clone(&shared));
    let handler = match acceptor(introduced, requester) {
        Ok(handler) => handler,
        Err(Failure { code, text }) => {
            shared.finish(Closed::Local);
            refuse(io, setup_code(code), &text).await;
            return Closed::Local;
        }
    };
    let keepalive = KeepaliveTimer::server(lifetime, now());
    let out = Sender::new(io, &limits);
    Box::pin(Driver::new(out, Side::Server, keepalive, shared, handler, limits).run()).await
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
async fn refuse(mut io: FrameIo, code: ErrorCode, text: &str) {
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
