//! Frames as WebSocket messages: one binary message is one frame.
//!
//! No extension is ever agreed to, so nothing is compressed; a client's offer is passed over. A
//! peer that breaks the rules of WebSocket is told so by the code of our close message: 1002 for the
//! protocol, which forbids clients to send unmasked, 1003 for text, 1009 for what is too long.
//!
//! The framing of RFC 6455 is ours, so that a message is written from where it lies, in batches with
//! others, and an idle connection owns no buffer; the handshake's texts are read and made by
//! tungstenite.

mod frame;
mod handshake;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::io::AsyncWrite;
use tungstenite::error::ProtocolError;
use tungstenite::protocol::Role;
use tungstenite::protocol::frame::coding::{CloseCode, Data};

use self::frame::{CONTROL_MAX, Header, OpCode, unmask};
use super::channel::Channel;
use super::outgoing::Outgoing;
use super::read_buffer::ReadBuffer;
use super::{Body, FRAME_MAX, FRAME_MIN, NetError, Uri, pool, wake_behind_others};

/// A WebSocket after its handshake.
#[derive(Debug)]
pub(super) struct WebSocket {
    channel: Channel,
    role: Role,
    frame_max: usize,
    buffer: ReadBuffer,
    /// The beginning of a message that comes in several frames.
    partial: Option<BytesMut>,
    out: Outgoing,
    masks: Masks,
    /// The answer to the last ping, as long as it is not queued.
    pong: Option<Bytes>,
    /// An answer is on its way, and reading drives it.
    answering: bool,
    /// What our close message will say.
    goodbye: CloseCode,
    close_sent: bool,
    close_received: bool,
}

impl WebSocket {
    /// Shakes hands as the server. Any path but `path` is answered with 404.
    pub(super) async fn accept(
        mut channel: Channel,
        path: &str,
        local: bool,
        frame_max: usize,
    ) -> Result<Self, NetError> {
        let rest = handshake::accept(&mut channel, path, local).await?;
        Ok(Self::new(channel, Role::Server, rest, frame_max))
    }

    /// Shakes hands as the client.
    pub(super) async fn connect(
        mut channel: Channel,
        uri: &Uri,
        frame_max: usize,
    ) -> Result<Self, NetError> {
        let rest = handshake::connect(&mut channel, uri).await?;
        Ok(Self::new(channel, Role::Client, rest, frame_max))
    }

    /// Goes on behind a handshake with what came after it.
    pub(super) const fn set_frame_max(&mut self, frame_max: usize) {
        self.frame_max = frame_max;
    }

    pub(super) fn new(channel: Channel, role: Role, rest: ReadBuffer, frame_max: usize) -> Self {
        Self {
            channel,
            role,
            frame_max,
            buffer: rest,
            partial: None,
            out: Outgoing::default(),
            masks: Masks::default(),
            pong: None,
            answering: false,
            goodbye: CloseCode::Normal,
            close_sent: false,
            close_received: false,
        }
    }

    pub(super) const fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) const fn channel_mut(&mut self) -> &mut Channel {
        &mut self.channel
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, NetError>>> {
        if self.close_received {
            return Poll::Ready(None);
        }
        for _ in 0..QUIET_MAX {
            self.poll_answer(cx);
            match ready!(self.poll_read(cx)) {
                Ok(Read::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Read::Quiet) => {}
                Ok(Read::End) => return Poll::Ready(None),
                Err(fault) => {
                    self.goodbye = close_code(&fault);
                    return Poll::Ready(Some(Err(fault)));
                }
            }
        }
        // A peer that says much and nothing does not keep others from their turn.
        wake_behind_others(cx);
        Poll::Pending
    }

    /// Reads until something is whole.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Read, NetError>> {
        loop {
            let missing = match Header::parse(self.buffer.filled()) {
                Ok(header) => {
                    self.check(&header)?;
                    let whole = header.size + header.len as usize;
                    match whole.saturating_sub(self.buffer.filled().len()) {
                        0 => return Poll::Ready(self.take(&header, cx)),
                        missing => missing,
                    }
                }
                Err(missing) => missing,
            };
            match ready!(self.buffer.poll_fill(missing, &mut self.channel, cx))? {
                0 if self.partial.is_none() && self.buffer.filled().is_empty() => {
                    return Poll::Ready(Ok(Read::End));
                }
                0 => return Poll::Ready(Err(NetError::Truncated)),
                _ => {}
            }
        }
    }

    /// Judges a header before its body arrives.
    fn check(&self, header: &Header) -> Result<(), NetError> {
        if header.reserved {
            return Err(broken(ProtocolError::NonZeroReservedBits));
        }
        match (self.role, header.mask) {
            (Role::Server, None) => return Err(broken(ProtocolError::UnmaskedFrameFromClient)),
            (Role::Client, Some(_)) => return Err(broken(ProtocolError::MaskedFrameFromServer)),
            _ => {}
        }
        let begun = self.partial.as_ref().map(BytesMut::len);
        match (header.op_code, begun) {
            (OpCode::Continue, None) => Err(broken(ProtocolError::UnexpectedContinueFrame)),
            (OpCode::Text, _) => Err(NetError::TextMessage),
            (OpCode::Binary, Some(_)) => Err(broken(ProtocolError::ExpectedFragment(Data::Binary))),
            (OpCode::Continue | OpCode::Binary, begun) => {
                let len = usize::try_from(header.len).unwrap_or(usize::MAX);
                let (len, max) = (len.saturating_add(begun.unwrap_or(0)), self.frame_max);
                match len > max {
                    true => Err(NetError::FrameTooLong { len, max }),
                    false => Ok(()),
                }
            }
            (OpCode::Close | OpCode::Ping | OpCode::Pong, _) if !header.last => {
                Err(broken(ProtocolError::FragmentedControlFrame))
            }
            (OpCode::Close | OpCode::Ping | OpCode::Pong, _) if header.len > CONTROL_MAX => {
                Err(broken(ProtocolError::ControlFrameTooBig))
            }
            (OpCode::Close | OpCode::Ping | OpCode::Pong, _) => Ok(()),
            (OpCode::Reserved(code @ ..8), _) => {
                Err(broken(ProtocolError::UnknownDataFrameType(code)))
            }
            (OpCode::Reserved(code), _) => {
                Err(broken(ProtocolError::UnknownControlFrameType(code)))
            }
        }
    }

    /// Takes a frame that is there as a whole and good.
    fn take(&mut self, header: &Header, cx: &mut Context<'_>) -> Result<Read, NetError> {
        self.buffer.skip(header.size);
        let mut body = self.buffer.take(header.len as usize);
        if let Some(mask) = header.mask {
            unmask(&mut body, mask);
        }
        match header.op_code {
            OpCode::Close => {
                self.on_close(&body, cx);
                return Ok(Read::End);
            }
            OpCode::Ping => {
                // The newest is answered; older answers that were not written are not missed.
                self.pong = Some(body.freeze());
                self.answering = true;
                return Ok(Read::Quiet);
            }
            OpCode::Pong => return Ok(Read::Quiet),
            _ => {}
        }
        let message = match self.partial.take() {
            None => body,
            Some(mut begun) => {
                begun.extend_from_slice(&body);
                begun
            }
        };
        if !header.last {
            self.partial = Some(message);
            return Ok(Read::Quiet);
        }
        match message.len() {
            FRAME_MIN.. => Ok(Read::Frame(message.freeze())),
            len => Err(NetError::FrameTooShort { len }),
        }
    }

    /// Says goodbye back. After this nobody says anything.
    fn on_close(&mut self, body: &[u8], cx: &mut Context<'_>) {
        self.close_received = true;
        let code = match body.first_chunk::<2>().copied().map(u16::from_be_bytes) {
            None if body.is_empty() => CloseCode::Normal,
            Some(code) if CloseCode::from(code).is_allowed() => code.into(),
            _ => CloseCode::Protocol,
        };
        self.say_goodbye(code);
        // Whoever closes flushes what is left.
        let _ = self.poll_flush(cx);
    }

    fn say_goodbye(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.close_sent, true) {
            self.queue(
                OpCode::Close,
                &u16::from(code).to_be_bytes(),
                Body::Copy(&[]),
            );
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) {
        // An error shows again where the connection is flushed.
        if self.answering && self.poll_flush(cx).is_ready() {
            self.answering = false;
        }
    }

    pub(super) fn push(&mut self, head: &[u8], body: Body<'_>) {
        // Nothing may follow a close message.
        if !self.close_sent {
            self.queue(OpCode::Binary, head, body);
        }
    }

    fn queue(&mut self, op_code: OpCode, head: &[u8], body: Body<'_>) {
        let len = head.len() + body.len();
        let mask = match self.role {
            Role::Client if len <= FRAME_MAX => Some(self.masks.next()),
            _ => None,
        };
        let (header, size) = Header::encode(op_code, len, mask);
        let Some(mask) = mask else {
            return self.out.push_behind(&header[..size], head, body);
        };
        let body = match &body {
            Body::Copy(body) => body,
            Body::Share(body) => &**body,
        };
        let mut masked = [head, body].concat();
        unmask(&mut masked, mask);
        match masked.len() > pool::BUFFER / 4 {
            true => self
                .out
                .push_behind(&header[..size], &[], Body::Share(masked.into())),
            false => self
                .out
                .push_behind(&header[..size], &[], Body::Copy(&masked)),
        }
    }

    pub(super) fn queued(&self) -> usize {
        let pong = self.pong.as_ref().map_or(0, Bytes::len);
        self.out.queued() + self.channel.unflushed() + pong
    }

    pub(super) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.out.poll_flush(&mut self.channel, cx))?;
            match self.pong.take() {
                Some(pong) if !self.close_sent => {
                    self.queue(OpCode::Pong, &pong, Body::Copy(&[]));
                }
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Says goodbye, and why if the peer is to blame, and closes the sending half.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.say_goodbye(self.goodbye);
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.channel).poll_shutdown(cx)
    }
}

enum Read {
    Frame(Bytes),
    /// Something that is no frame, or not yet.
    Quiet,
    End,
}

/// What in one turn may be read that brings no frame.
const QUIET_MAX: usize = 64;

fn broken(rule: ProtocolError) -> NetError {
    NetError::WebSocket(Box::new(rule.into()))
}

/// What RFC 6455 (7.4.1) calls what the peer did.
const fn close_code(fault: &NetError) -> CloseCode {
    match fault {
        NetError::TextMessage => CloseCode::Unsupported,
        NetError::FrameTooLong { .. } => CloseCode::Size,
        _ => CloseCode::Protocol,
    }
}

/// The masks of a client's frames. Nobody who does not see them can guess the next.
#[derive(Debug, Default)]
struct Masks {
    secret: RandomState,
    count: u64,
}

impl Masks {
    fn next(&mut self) -> [u8; 4] {
        self.count += 1;
        let [a, b, c, d, ..] = self.secret.hash_one(self.count).to_ne_bytes();
        [a, b, c, d]
    }
}
