//! Frames as WebSocket messages: one binary message is one frame.
//!
//! No extension is ever agreed to, so nothing is compressed; a client's offer is passed over. A
//! peer that breaks the rules of WebSocket is told so by the code of our close message: 1002 for the
//! protocol, which forbids clients to send unmasked, 1003 for text, 1009 for what is too long.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::{Sink, Stream};
use tokio::io::AsyncWrite;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, Uri as HttpUri, header};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config, client_async_with_config};

use super::channel::Channel;
use super::{Body, FRAME_MAX, FRAME_MIN, NetError, Uri, pool};

/// A WebSocket after its handshake.
///
/// The library copies what it sends into one buffer of its own. It is handed messages only while
/// little is in there, so that this buffer stays small and the queue stays ours.
#[derive(Debug)]
pub(super) struct WebSocket {
    socket: WebSocketStream<Channel>,
    waiting: VecDeque<Bytes>,
    /// Where small messages are put together; always from the pool, never grown.
    scratch: BytesMut,
    waiting_len: usize,
    /// Bytes handed to the library since it last reported its buffer empty.
    handed: usize,
    /// The same of pongs, which it writes itself.
    pongs: usize,
    overlong: bool,
    /// What the close message will say; none once it is on its way.
    goodbye: Option<CloseCode>,
}

impl WebSocket {
    /// Shakes hands as the server. Any path but `path` is answered with 404.
    pub(super) async fn accept(
        channel: Channel,
        path: &str,
        local: bool,
        frame_max: usize,
    ) -> Result<Self, NetError> {
        #[allow(
            clippy::result_large_err,
            reason = "the library's callback has this type"
        )]
        let check = |request: &Request, response: Response| answer(path, local, request, response);
        let socket = Box::pin(accept_hdr_async_with_config(
            channel,
            check,
            Some(config(frame_max)),
        ));
        Ok(Self::new(socket.await.map_err(handshake_failed)?))
    }

    /// Shakes hands as the client.
    pub(super) async fn connect(
        channel: Channel,
        uri: &Uri,
        frame_max: usize,
    ) -> Result<Self, NetError> {
        let request = uri.to_string();
        let socket = Box::pin(client_async_with_config(
            request,
            channel,
            Some(config(frame_max)),
        ));
        let (socket, _response) = socket.await.map_err(handshake_failed)?;
        Ok(Self::new(socket))
    }

    pub(super) fn new(socket: WebSocketStream<Channel>) -> Self {
        Self {
            socket,
            waiting: VecDeque::new(),
            scratch: BytesMut::new(),
            waiting_len: 0,
            handed: 0,
            pongs: 0,
            overlong: false,
            goodbye: Some(CloseCode::Normal),
        }
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, NetError>>> {
        for _ in 0..CONTROLS_MAX {
            // A peer that makes us talk and does not listen is not heard either.
            if self.pongs > PONGS_MAX {
                match ready!(Pin::new(&mut self.socket).poll_flush(cx)) {
                    Ok(()) => self.pongs = 0,
                    Err(error) => return Poll::Ready(NetError::from_websocket(error).map(Err)),
                }
            }
            let fault = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                None => return Poll::Ready(None),
                Some(Ok(Message::Binary(frame))) if frame.len() >= FRAME_MIN => {
                    return Poll::Ready(Some(Ok(frame)));
                }
                Some(Ok(Message::Binary(short))) => NetError::FrameTooShort { len: short.len() },
                Some(Ok(Message::Text(_))) => NetError::TextMessage,
                // The library answers pings and closes at the next read.
                Some(Ok(Message::Ping(data))) => {
                    self.pongs += PONG_HEAD + data.len();
                    continue;
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => match NetError::from_websocket(error) {
                    Some(fault) => fault,
                    None => return Poll::Ready(None),
                },
            };
            self.goodbye = self.goodbye.map(|_| close_code(&fault));
            return Poll::Ready(Some(Err(fault)));
        }
        // Others of this thread have their turn.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    pub(super) fn push(&mut self, head: &[u8], body: Body<'_>) {
        let len = head.len() + body.len();
        if len > FRAME_MAX {
            self.overlong = true;
            return;
        }
        let body = match &body {
            Body::Copy(body) => body,
            Body::Share(body) => &**body,
        };
        let message = if len > pool::BUFFER {
            [head, body].concat().into()
        } else {
            self.compose(head, body)
        };
        self.waiting_len += len;
        self.waiting.push_back(message);
    }

    pub(super) const fn queued(&self) -> usize {
        self.waiting_len + self.handed + self.pongs
    }

    pub(super) fn channel(&self) -> &Channel {
        self.socket.get_ref()
    }

    pub(super) fn channel_mut(&mut self) -> &mut Channel {
        self.socket.get_mut()
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.overlong {
            let error =
                io::Error::new(io::ErrorKind::InvalidInput, "a frame over 16,777,215 bytes");
            return Poll::Ready(Err(error));
        }
        while self.queued() > 0 {
            while self.handed < HANDED_MAX && !self.waiting.is_empty() {
                ready!(Pin::new(&mut self.socket).poll_ready(cx)).map_err(send_failed)?;
                if let Some(message) = self.waiting.pop_front() {
                    self.waiting_len -= message.len();
                    self.handed += message.len();
                    let sent = Pin::new(&mut self.socket).start_send(Message::Binary(message));
                    sent.map_err(send_failed)?;
                }
            }
            ready!(Pin::new(&mut self.socket).poll_flush(cx)).map_err(send_failed)?;
            (self.handed, self.pongs) = (0, 0);
        }
        self.release();
        Poll::Ready(Ok(()))
    }

    /// Says goodbye, and why if the peer is to blame, and closes the sending half; what was queued
    /// has been flushed.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(code) = self.goodbye.take() {
            let reason = Utf8Bytes::default();
            let goodbye = Message::Close(Some(CloseFrame { code, reason }));
            // Refused when the peer has closed first: then its echo is all there is to flush.
            let _ = Pin::new(&mut self.socket).start_send(goodbye);
        }
        match ready!(Pin::new(&mut self.socket).poll_close(cx)) {
            Ok(()) | Err(tungstenite::Error::AlreadyClosed) => {}
            Err(error) => return Poll::Ready(Err(send_failed(error))),
        }
        Pin::new(self.socket.get_mut()).poll_shutdown(cx)
    }

    fn compose(&mut self, head: &[u8], body: &[u8]) -> Bytes {
        if self.scratch.capacity() < head.len() + body.len() {
            self.scratch = pool::take();
        }
        self.scratch.extend_from_slice(head);
        self.scratch.extend_from_slice(body);
        self.scratch.split().freeze()
    }

    fn release(&mut self) {
        if self.scratch.capacity() > 0 {
            pool::put(std::mem::take(&mut self.scratch));
        }
    }
}

/// What RFC 6455 (7.4.1) calls what the peer did.
const fn close_code(fault: &NetError) -> CloseCode {
    match fault {
        NetError::TextMessage => CloseCode::Unsupported,
        NetError::FrameTooLong { .. } => CloseCode::Size,
        _ => CloseCode::Protocol,
    }
}

/// The library gets no further message while it holds this much.
const HANDED_MAX: usize = 64 * 1024;

/// Above it nothing is read before the peer has taken its pongs.
const PONGS_MAX: usize = 16 * 1024;
const PONG_HEAD: usize = 2;

/// So many messages that are no frames are taken at once.
const CONTROLS_MAX: usize = 64;

fn config(frame_max: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(8 * 1024)
        .write_buffer_size(HANDED_MAX)
        // What is handed over at once, one message more, and their headers.
        .max_write_buffer_size(2 * HANDED_MAX + FRAME_MAX + 128 * 1024)
        .max_message_size(Some(frame_max))
        .max_frame_size(Some(frame_max))
}

/// The answer to a client's handshake. No subprotocol is asked for; one called `rsocket` is
/// confirmed, because a browser that offered it hangs up otherwise.
#[allow(
    clippy::result_large_err,
    reason = "the library's callback has this type"
)]
fn answer(
    path: &str,
    local: bool,
    request: &Request,
    mut response: Response,
) -> Result<Response, ErrorResponse> {
    if request.uri().path() != path {
        let mut refusal = ErrorResponse::new(Some(format!("RSocket is at {path}\n")));
        *refusal.status_mut() = StatusCode::NOT_FOUND;
        return Err(refusal);
    }
    if local && !origin_is_local(request) {
        let text = "pages of other machines may not use this listener\n".to_owned();
        let mut refusal = ErrorResponse::new(Some(text));
        *refusal.status_mut() = StatusCode::FORBIDDEN;
        return Err(refusal);
    }
    let offered = request.headers().get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut offered = offered.iter().filter_map(|value| value.to_str().ok());
    if offered.any(|list| list.split(',').any(|name| name.trim() == "rsocket")) {
        let rsocket = HeaderValue::from_static("rsocket");
        response
            .headers_mut()
            .insert(header::SEC_WEBSOCKET_PROTOCOL, rsocket);
    }
    Ok(response)
}

/// Whether no page asks, or one of this machine. A browser lets any page open a WebSocket to
/// loopback, so who can reach a local listener is not decided by its address alone.
fn origin_is_local(request: &Request) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return true;
    };
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.parse::<HttpUri>().ok());
    let Some(host) = origin.as_ref().and_then(HttpUri::host) else {
        return false;
    };
    let host = host.trim_matches(['[', ']']);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn handshake_failed(error: tungstenite::Error) -> NetError {
    match error {
        tungstenite::Error::Io(error) => NetError::Io(error),
        other => NetError::WebSocket(Box::new(other)),
    }
}

fn send_failed(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::BrokenPipe, other),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_tungstenite::tungstenite::protocol::Role;
    use tokio_tungstenite::tungstenite::protocol::frame::Frame;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

    use super::super::socket::Socket;
    use super::super::{FrameIo, Peer, TransportKind};
    use super::*;

    /// A server end of ours and a client end of the library's own.
    async fn pair(pipe: usize, frame_max: usize) -> (FrameIo, WebSocketStream<DuplexStream>) {
        let (near, far) = duplex(pipe);
        let near = Channel::Plain(Socket::memory(near));
        let ours =
            WebSocketStream::from_raw_socket(near, Role::Server, Some(config(frame_max))).await;
        let theirs = WebSocketStream::from_raw_socket(far, Role::Client, None).await;
        (
            FrameIo::websocket(WebSocket::new(ours), TransportKind::WebSocket, Peer::Memory),
            theirs,
        )
    }

    fn binary(bytes: impl Into<Bytes>) -> Message {
        Message::Binary(bytes.into())
    }

    #[tokio::test]
    async fn one_message_is_one_frame_both_ways() {
        let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
        theirs.send(binary(&b"frame one"[..])).await.unwrap();
        theirs.send(binary(&b"frame two"[..])).await.unwrap();
        assert_eq!(ours.next_frame().await.unwrap().unwrap(), "frame one");
        assert_eq!(ours.next_frame().await.unwrap().unwrap(), "frame two");

        let large = Bytes::from(vec![9; 40_000]);
        ours.push(b"header", Body::Copy(b"+copy"));
        ours.push(b"header", Body::Share(large.clone()));
        ours.push(b"header", Body::Copy(b""));
        assert_eq!(ours.queued(), 11 + 40_006 + 6);
        ours.flush().await.unwrap();
        assert_eq!(ours.queued(), 0);
        assert_eq!(
            theirs.next().await.unwrap().unwrap().into_data(),
            "header+copy"
        );
        assert_eq!(
            theirs.next().await.unwrap().unwrap().into_data()[6..],
            large
        );
        assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), "header");
    }

    /// Pongs that nobody reads count as queued, and end the reading before they pile up.
    #[tokio::test]
    async fn a_peer_that_pings_and_does_not_read_is_not_heard_for_ever() {
        const PINGS: usize = 2000;
        let (mut ours, theirs) = pair(4096, 1000).await;
        let (mut say, mut hear) = theirs.split();
        let flood = tokio::spawn(async move {
            for _ in 0..PINGS {
                say.send(Message::Ping(Bytes::from_static(&[7; 125])))
                    .await
                    .unwrap();
            }
            say.send(binary(&b"behind"[..])).await.unwrap();
        });
        let silence = std::time::Duration::from_millis(200);
        assert!(
            tokio::time::timeout(silence, ours.next_frame())
                .await
                .is_err()
        );
        assert!(
            (PONGS_MAX..2 * PONGS_MAX).contains(&ours.queued()),
            "{}",
            ours.queued()
        );
        assert!(!flood.is_finished());
        let heard = tokio::spawn(async move {
            let mut pongs = 0;
            while let Some(Ok(Message::Pong(_))) = hear.next().await {
                pongs += 1;
            }
            pongs
        });
        assert_eq!(ours.next_frame().await.unwrap().unwrap(), "behind");
        ours.flush().await.unwrap();
        assert_eq!(ours.queued(), 0);
        flood.await.unwrap();
        drop(ours);
        // The library answers the latest of those that it reads at once.
        assert!((1..=PINGS).contains(&heard.await.unwrap()));
    }

    #[tokio::test]
    async fn a_slow_pipe_gets_everything_in_order() {
        let (mut ours, mut theirs) = pair(100, 1000).await;
        for at in 0..300u32 {
            ours.push(
                &at.to_be_bytes(),
                Body::Copy(&vec![at as u8; at as usize * 3]),
            );
        }
        let write = async { ours.flush().await.unwrap() };
        let read = async {
            for at in 0..300u32 {
                let message = theirs.next().await.unwrap().unwrap().into_data();
                assert_eq!(message[..4], at.to_be_bytes());
                assert_eq!(message.len(), 4 + at as usize * 3);
            }
        };
        tokio::join!(write, read);
    }

    #[tokio::test]
    async fn a_ping_is_answered_while_reading() {
        let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
        theirs
            .send(Message::Ping("are you there".into()))
            .await
            .unwrap();
        theirs.send(binary(&b"frame one"[..])).await.unwrap();
        assert_eq!(ours.next_frame().await.unwrap().unwrap(), "frame one");
        let pong = theirs.next().await.unwrap().unwrap();
        assert_eq!(pong, Message::Pong("are you there".into()));
    }

    #[tokio::test]
    async fn a_message_in_continuations_is_one_frame() {
        let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
        let parts = [
            Frame::message("frame", OpCode::Data(Data::Binary), false),
            Frame::message(" in ", OpCode::Data(Data::Continue), false),
            Frame::message("parts", OpCode::Data(Data::Continue), true),
        ];
        for part in parts {
            theirs.send(Message::Frame(part)).await.unwrap();
        }
        assert_eq!(ours.next_frame().await.unwrap().unwrap(), "frame in parts");
    }

    #[tokio::test]
    async fn what_is_no_frame_is_an_error() {
        let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
        theirs.send(Message::Text("hello".into())).await.unwrap();
        assert!(matches!(
            ours.next_frame().await.unwrap(),
            Err(NetError::TextMessage)
        ));

        let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
        theirs.send(binary(vec![0; 5])).await.unwrap();
        let fault = ours.next_frame().await.unwrap();
        assert!(matches!(fault, Err(NetError::FrameTooShort { len: 5 })));

        let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
        theirs.send(binary(vec![0; 1000])).await.unwrap();
        assert_eq!(ours.next_frame().await.unwrap().unwrap().len(), 1000);
        theirs.send(binary(vec![0; 1001])).await.unwrap();
        let fault = ours.next_frame().await.unwrap();
        assert!(matches!(
            fault,
            Err(NetError::FrameTooLong {
                len: 1001,
                max: 1000
            })
        ));
    }

    /// What the close message says that follows these bytes of a client; read as bytes, because the
    /// library's own client does not break rules.
    async fn goodbye_to(bytes: &[u8]) -> Option<u16> {
        let (near, mut far) = duplex(1 << 20);
        let near = Channel::Plain(Socket::memory(near));
        let near = WebSocketStream::from_raw_socket(near, Role::Server, Some(config(1000))).await;
        let near = WebSocket::new(near);
        let mut near = FrameIo::websocket(near, TransportKind::WebSocket, Peer::Memory);
        far.write_all(bytes).await.unwrap();
        far.shutdown().await.unwrap();
        while let Some(Ok(_)) = near.next_frame().await {}
        near.shutdown().await.unwrap();
        assert!(near.next_frame().await.is_none(), "the rest is thrown away");
        let mut answer = Vec::new();
        far.read_to_end(&mut answer).await.unwrap();
        let code = answer.strip_prefix(&[0x88, 2])?;
        Some(u16::from_be_bytes(code.try_into().ok()?))
    }

    #[tokio::test]
    async fn a_fault_is_told_by_the_code_of_the_close_message() {
        let mask = [0; 4];
        let frame = |head: &[u8], body: &[u8]| [head, &mask, body].concat();
        for (what, bytes, code) in [
            ("text", frame(&[0x81, 0x85], b"hello"), 1003),
            (
                "too long",
                frame(&[0x82, 0xFE, 0x03, 0xE9], &[0; 1001]),
                1009,
            ),
            ("shorter than a header", frame(&[0x82, 0x85], &[0; 5]), 1002),
            ("unmasked", b"\x82\x06header".to_vec(), 1002),
            ("compressed", frame(&[0xC2, 0x86], b"header"), 1002),
            ("no such type", frame(&[0x83, 0x86], b"header"), 1002),
            ("nothing to continue", frame(&[0x80, 0x86], b"header"), 1002),
            ("a ping in parts", frame(&[0x09, 0x80], b""), 1002),
            (
                "a ping of 126",
                frame(&[0x89, 0xFE, 0, 126], &[0; 126]),
                1002,
            ),
        ] {
            assert_eq!(goodbye_to(&bytes).await, Some(code), "{what}");
        }
        let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
        ours.shutdown().await.unwrap();
        let goodbye = theirs.next().await.unwrap().unwrap();
        let Message::Close(Some(goodbye)) = goodbye else {
            panic!("a close message with a code")
        };
        assert_eq!(goodbye.code, CloseCode::Normal, "nobody is to blame");
    }

    #[tokio::test]
    async fn continuations_together_are_held_to_the_limit() {
        let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
        for (data, last) in [(Data::Binary, false), (Data::Continue, true)] {
            let part = Frame::message(vec![0; 600], OpCode::Data(data), last);
            theirs.send(Message::Frame(part)).await.unwrap();
        }
        let fault = ours.next_frame().await.unwrap();
        assert!(matches!(
            fault,
            Err(NetError::FrameTooLong {
                len: 1200,
                max: 1000
            })
        ));
    }

    #[tokio::test]
    async fn both_kinds_of_end_are_clean() {
        let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
        theirs.close(None).await.unwrap();
        assert!(ours.next_frame().await.is_none());
        let (mut ours, theirs) = pair(1 << 20, 1000).await;
        drop(theirs);
        assert!(ours.next_frame().await.is_none());
    }

    #[tokio::test]
    async fn shutdown_flushes_and_says_goodbye() {
        let (mut ours, mut theirs) = pair(1 << 20, 1000).await;
        ours.push(b"header", Body::Copy(b""));
        ours.shutdown().await.unwrap();
        assert_eq!(theirs.next().await.unwrap().unwrap().into_data(), "header");
        assert!(theirs.next().await.unwrap().unwrap().is_close());
        assert!(theirs.next().await.is_none());
    }

    #[tokio::test]
    async fn an_overlong_frame_fails_the_flush() {
        let (mut ours, _theirs) = pair(64, 1000).await;
        ours.push(b"header", Body::Share(vec![0; FRAME_MAX].into()));
        assert_eq!(
            ours.flush().await.unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
