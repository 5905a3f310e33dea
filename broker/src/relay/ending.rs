//! Why a connection ends, and how: nobody is left waiting for it, and the peer can read the reason.

use std::{future::poll_fn, time::Duration};

use jackfield_rsocket::{
    engine::Opener,
    net::{FrameIo, NetError},
    wire::{ErrorCode, StreamId},
};

use super::{handle::Order, link::Link, splice::Splice};

/// How long a closing connection waits for the peer to read the last ERROR.
const LINGER: Duration = Duration::from_secs(1);

/// Why the connection ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The transport failed, or closed without a word.
    Lost(String),
    /// The peer ended the connection, or is made to without being told.
    Peer(String),
    /// We say why on stream zero.
    Error { code: ErrorCode, text: String },
}

impl Ending {
    pub(super) fn text(&self) -> &str {
        let (Self::Lost(text) | Self::Peer(text) | Self::Error { text, .. }) = self;
        text
    }

    /// What a transport could not read: the peer's doing is said, the network's is not.
    pub(super) fn of(error: &NetError) -> Self {
        let code = ErrorCode::CONNECTION_ERROR;
        match error {
            NetError::FrameTooLong { .. }
            | NetError::FrameTooShort { .. }
            | NetError::TextMessage => Self::Error {
                code,
                text: format!("RST-910400: {error}"),
            },
            _ => Self::Lost(match std::error::Error::source(error) {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            }),
        }
    }
}

/// What is left to tell of a link.
pub(super) struct Ended {
    pub(super) ending: Ending,
    pub(super) cut: usize,
}

impl Link {
    pub(super) fn obey(&mut self) {
        let text = |text: &str| text.to_owned();
        let ending = match self.me.order() {
            Order::Serve => return,
            // Nobody can come back to a session without a transport: nothing is accepted now.
            Order::Drain if self.line.is_attached() && !self.idle() => return,
            Order::Drain => Ending::Error {
                code: ErrorCode::CONNECTION_CLOSE,
                text: text("RST-910503: broker is draining"),
            },
            Order::GiveWay => Ending::Error {
                code: ErrorCode::CONNECTION_ERROR,
                text: text("RST-500409: a newer connection of this application takes over"),
            },
            Order::Forget => Ending::Error {
                code: ErrorCode::CONNECTION_ERROR,
                text: text("RST-910410: too many sessions without a transport"),
            },
            Order::Shed => Ending::Error {
                code: ErrorCode::CONNECTION_ERROR,
                text: text(
                    "RST-910508: broker is short of memory, and most of it waits for you to read",
                ),
            },
            Order::Changed => Ending::Error {
                code: ErrorCode::CONNECTION_ERROR,
                text: text("RST-910406: you are somebody else by now; connect again"),
            },
            Order::TakeBack => Ending::Error {
                code: ErrorCode::CONNECTION_ERROR,
                text: text("RST-910402: the credentials of this connection have been revoked"),
            },
            Order::Close => Ending::Error {
                code: ErrorCode::CONNECTION_ERROR,
                text: text("RST-910503: broker is stopping"),
            },
        };
        self.ending.get_or_insert(ending);
    }

    /// No stream is open and nothing waits to be written.
    pub(super) fn idle(&self) -> bool {
        self.connection.is_empty() && self.line.queued() == 0 && self.me.outbox.bytes() == 0
    }

    /// Ends every stream for the other side. Returns how many calls were cut.
    pub(super) fn close_streams(&mut self) -> usize {
        self.me.stop_requests();
        if let Some(instance) = self.instance.take() {
            // It may have been hidden before, or given way to a connection that offers the same.
            if !instance.is_gone() {
                self.plane.tell_hidden(&instance);
            }
            self.plane.directory.withdraw(&instance);
        }
        if let Some(session) = self.line.session() {
            self.plane.sessions.leave(session.token(), self.me.id);
        }
        drop(self.me.shut_door());
        // Requests not sent yet go back to their links, which may pick again.
        drop(self.me.outbox.close());
        let ends: Vec<(StreamId, Opener, Splice)> = self.connection.drain().collect();
        let cut = ends.iter().filter(|(_, _, splice)| splice.cut()).count();
        drop(ends);
        cut
    }

    pub(super) async fn say_goodbye(&mut self, ending: &Ending) {
        if let Ending::Error { code, text } = ending {
            self.send_error(StreamId::CONNECTION, *code, text.as_bytes());
        }
        if let Some(mut io) = self.line.detach() {
            close_gently(&mut io).await;
        }
    }
}

impl Drop for Link {
    /// However the task ends, nobody is left waiting for it.
    fn drop(&mut self) {
        self.close_streams();
    }
}

/// Flushes, half-closes, and waits a little for the peer to close: a socket closed with unread bytes
/// is reset, and a reset can overtake the last ERROR.
pub(super) async fn close_gently(io: &mut FrameIo) {
    let goodbye = async {
        if poll_fn(|cx| io.poll_shutdown(cx)).await.is_ok() {
            while let Some(Ok(_)) = poll_fn(|cx| io.poll_frame(cx)).await {}
        }
    };
    // A peer that does not close in time is closed on.
    let _ = tokio::time::timeout(LINGER, goodbye).await;
}
