//! One connection of a responder.
//!
//! Answers are gathered while a read's frames are taken and leave in one write. Items of streams
//! are made only while the peer has granted credit and little waits to be written, so that a
//! responder under endless credit holds no more than [`WAITING_MAX`] itself.

use std::{collections::BTreeMap, io, pin::pin, time::Duration};

use bytes::BufMut;
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, interval_at},
};

use crate::{
    frame::{self, Frame, Garbled},
    nats::{self, Op},
    respond::Attach,
    wire::Wire,
};

const WAITING_MAX: usize = 64 * 1024;
/// Items of one stream before the next stream gets its turn.
const TURN: usize = 16;
const KEEPALIVE: Duration = Duration::from_secs(20);
const ITEM_MAX: u32 = 1 << 20;
static FILLER: [u8; ITEM_MAX as usize] = [b'i'; ITEM_MAX as usize];

/// What a connection needs to know of its responder.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) attach: Attach,
    pub(crate) label: String,
    /// Told when the other side has taken the registration.
    pub(crate) registered: Option<mpsc::Sender<()>>,
}

pub(crate) async fn run(wire: Wire, served: Served) -> io::Result<()> {
    match &served.attach {
        Attach::Listen(_) => RSocket::new(wire, &served).serve().await,
        Attach::Broker { services, .. } => {
            let mut connection = RSocket::new(wire, &served);
            connection.register(services);
            connection.serve().await
        }
        Attach::Nats { subject, .. } => nats(wire, subject, &served).await,
        Attach::Raw(_) => raw(wire).await,
    }
}

struct RSocket<'a> {
    wire: Wire,
    served: &'a Served,
    streams: BTreeMap<u32, Items>,
    keepalive: Interval,
}

/// A stream of numbered items, asked for by the data of its request: u64 count, u32 size.
struct Items {
    next: u64,
    count: u64,
    size: usize,
    credit: u64,
}

impl<'a> RSocket<'a> {
    fn new(wire: Wire, served: &'a Served) -> Self {
        let keepalive = interval_at(Instant::now() + KEEPALIVE, KEEPALIVE);
        Self {
            wire,
            served,
            streams: BTreeMap::new(),
            keepalive,
        }
    }

    /// The SETUP, and a KEEPALIVE behind it whose answer says that the SETUP was taken.
    fn register(&mut self, services: &[String]) {
        let metadata = frame::app_metadata("load", services);
        frame::put_setup(self.wire.out(), &metadata);
        frame::put_keepalive(self.wire.out(), frame::RESPOND, b"");
    }

    async fn serve(mut self) -> io::Result<()> {
        let dialled = self.served.registered.is_some();
        loop {
            self.take_frames()?;
            if self.produce() {
                self.wire.turn_or_written().await?;
            } else if dialled {
                let tick = pin!(async {
                    self.keepalive.tick().await;
                });
                if self.wire.turn_or(tick).await? {
                    frame::put_keepalive(self.wire.out(), frame::RESPOND, b"");
                }
            } else {
                self.wire.turn().await?;
            }
        }
    }

    fn take_frames(&mut self) -> io::Result<()> {
        let Self {
            wire,
            served,
            streams,
            ..
        } = self;
        let (input, out) = wire.split();
        let mut taken = 0;
        while let Some((length, frame)) = Frame::split(&input[taken..])? {
            taken += length;
            answer(&frame, served, streams, out)?;
        }
        wire.take(taken);
        Ok(())
    }

    /// Appends items; whether some are left that could go out at once.
    fn produce(&mut self) -> bool {
        let mut more = !self.streams.is_empty();
        while more && self.wire.unsent() < WAITING_MAX {
            let out = self.wire.out();
            more = false;
            self.streams.retain(|stream, items| {
                items.put(*stream, out);
                more |= items.next < items.count && items.credit > 0;
                items.next < items.count
            });
        }
        more
    }
}

impl Items {
    fn put(&mut self, stream: u32, out: &mut Vec<u8>) {
        let turn = (self.credit.min(TURN as u64)).min(self.count - self.next);
        for _ in 0..turn {
            let number = self.next.to_be_bytes();
            self.next += 1;
            let last = if self.next == self.count {
                frame::COMPLETE
            } else {
                0
            };
            let filler = &FILLER[..self.size - number.len()];
            frame::put_payload(out, stream, frame::NEXT | last, &number, filler);
        }
        self.credit -= turn;
    }
}

fn answer(
    frame: &Frame<'_>,
    served: &Served,
    streams: &mut BTreeMap<u32, Items>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let whole = frame.flags & frame::FOLLOWS == 0;
    match frame.kind {
        frame::REQUEST_RESPONSE if whole => {
            let flags = frame::NEXT | frame::COMPLETE;
            let data = frame.data(0)?;
            let data = match data.first() {
                Some(&frame::DISCARD) => b"",
                _ => data,
            };
            frame::put_payload(out, frame.stream, flags, served.label.as_bytes(), data);
        }
        frame::REQUEST_STREAM if whole => match items(frame)? {
            Some(items) => drop(streams.insert(frame.stream, items)),
            None => refuse(out, frame.stream),
        },
        frame::REQUEST_N => {
            if let Some(items) = streams.get_mut(&frame.stream) {
                items.credit += u64::from(frame.number()?);
            }
        }
        frame::CANCEL => drop(streams.remove(&frame.stream)),
        frame::REQUEST_RESPONSE | frame::REQUEST_STREAM | frame::REQUEST_CHANNEL => {
            refuse(out, frame.stream);
        }
        frame::KEEPALIVE if frame.wants_answer() => {
            frame::put_keepalive(out, 0, frame.data(8)?);
        }
        frame::KEEPALIVE => tell(served),
        frame::ERROR if frame.stream == 0 => {
            let text = String::from_utf8_lossy(frame.data(4)?);
            return Err(io::Error::other(format!("the broker said: {text}")));
        }
        frame::ERROR => drop(streams.remove(&frame.stream)),
        _ => {}
    }
    Ok(())
}

fn items(frame: &Frame<'_>) -> Result<Option<Items>, Garbled> {
    let data = frame.data(4)?;
    let count = u64::from(frame::word(data, 0)?) << 32 | u64::from(frame::word(data, 4)?);
    let size = frame::word(data, 8)?;
    let credit = u64::from(frame.number()?);
    let fits = count > 0 && (8..=ITEM_MAX).contains(&size);
    Ok(fits.then_some(Items {
        next: 0,
        count,
        size: size as usize,
        credit,
    }))
}

fn refuse(out: &mut Vec<u8>, stream: u32) {
    frame::put_error(
        out,
        stream,
        frame::REJECTED,
        "the load tool serves no such request",
    );
}

fn tell(served: &Served) {
    if let Some(registered) = &served.registered {
        let _ = registered.try_send(());
    }
}

/// SUB as a queue group, and a PING whose answer says that the SUB was taken.
async fn nats(mut wire: Wire, subject: &str, served: &Served) -> io::Result<()> {
    let out = wire.out();
    out.put_slice(nats::CONNECT);
    out.put_slice(format!("SUB {subject} load 1\r\n").as_bytes());
    out.put_slice(nats::PING);
    loop {
        let (input, out) = wire.split();
        let mut taken = 0;
        while let Some((length, op)) = nats::split(&input[taken..])? {
            taken += length;
            match op {
                Op::Msg {
                    reply_to: Some(reply_to),
                    data,
                    ..
                } => {
                    nats::put_pub(out, reply_to, served.label.as_bytes(), data);
                }
                Op::Ping => out.put_slice(nats::PONG),
                Op::Pong => tell(served),
                Op::Err(text) => {
                    return Err(io::Error::other(String::from_utf8_lossy(text).into_owned()));
                }
                Op::Msg { reply_to: None, .. } | Op::Other => {}
            }
        }
        wire.take(taken);
        wire.turn().await?;
    }
}

async fn raw(mut wire: Wire) -> io::Result<()> {
    loop {
        let (input, out) = wire.split();
        let taken = input.len();
        out.put_slice(input);
        wire.take(taken);
        wire.turn().await?;
    }
}
