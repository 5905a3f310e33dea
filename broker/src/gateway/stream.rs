//! A stream of items as the body of a response: server-sent events, or one item a line.
//!
//! The body is pulled as the socket takes it, and the application is asked for more as the body is: whoever reads
//! slowly holds up its own stream and nothing else. What breaks off a stream of events is its last event, `error`;
//! lines have no place for it, so their response breaks off too.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use jackfield_rsocket::endpoint::{CallError, Credit, Incoming, Message};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{
    fault::Fault,
    question::Wanted,
    routes::{Busy, Counted},
};

/// A comment is sent so often, so that nobody on the way takes a quiet stream for a dead one.
const QUIET: Duration = Duration::from_secs(15);
/// Bytes on the way to one reader, by the mean size of its items.
const WINDOW: usize = 256 << 10;
const ITEMS_MAX: usize = 64;
const FIRST: u32 = 2;

/// What a stream is asked for at first.
pub(super) fn credit() -> Credit {
    Credit::exactly(FIRST)
}

/// Items as they are written.
pub(super) struct Items {
    incoming: Incoming,
    /// The item that proved that there is a stream.
    first: Option<Message>,
    framing: Wanted,
    quiet: Option<Interval>,
    grants: Grants,
    ended: bool,
    _busy: Busy,
    counted: Counted,
}

impl Items {
    /// Waits for the first item, so that a stream that fails at once has a status.
    pub(super) async fn begin(
        mut incoming: Incoming,
        framing: Wanted,
        busy: Busy,
        counted: &mut Counted,
    ) -> Result<Self, Fault> {
        let first = incoming.next().await.transpose()?;
        let quiet = (framing == Wanted::Events).then(|| {
            let mut quiet = interval(QUIET);
            quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
            quiet.reset();
            quiet
        });
        Ok(Self {
            ended: first.is_none(),
            incoming,
            first,
            framing,
            quiet,
            grants: Grants::default(),
            _busy: busy,
            counted: counted.leave(),
        })
    }

    pub(super) const fn media_type(framing: Wanted) -> &'static str {
        match framing {
            Wanted::Lines => "application/x-ndjson",
            _ => "text/event-stream",
        }
    }

    fn written(&mut self, item: &Message) -> Result<Bytes, Fault> {
        if let Some(quiet) = &mut self.quiet {
            quiet.reset();
        }
        let more = self.grants.taken(item.data.len());
        self.incoming.request_n(more);
        let text = std::str::from_utf8(&item.data)
            .map_err(|_| Fault::bad("an item is no UTF-8, and cannot be written here"))?;
        Ok(match self.framing {
            Wanted::Lines => line(text),
            _ => event(None, text),
        })
    }

    fn broken(&mut self, fault: &Fault) -> io::Result<Bytes> {
        self.ended = true;
        self.counted.set(fault.status);
        match self.framing {
            Wanted::Lines => Err(io::Error::other("the stream broke off")),
            _ => Ok(event(Some("error"), &fault.body().to_string())),
        }
    }
}

impl Stream for Items {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let item: Result<Message, CallError> = match this.first.take() {
            Some(first) => Ok(first),
            None if this.ended => return Poll::Ready(None),
            None => match this.incoming.poll_next_unpin(cx) {
                Poll::Ready(Some(item)) => item,
                Poll::Ready(None) => {
                    this.ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let quiet = this.quiet.as_mut().map(|quiet| quiet.poll_tick(cx));
                    return match quiet {
                        Some(Poll::Ready(_)) => Poll::Ready(Some(Ok(Bytes::from_static(b":\n\n")))),
                        _ => Poll::Pending,
                    };
                }
            },
        };
        let written = item
            .map_err(Fault::from)
            .and_then(|item| this.written(&item));
        Poll::Ready(Some(match written {
            Ok(bytes) => Ok(bytes),
            Err(fault) => this.broken(&fault),
        }))
    }
}

/// How many more items are asked for.
#[derive(Debug, Default)]
struct Grants {
    taken: u64,
    bytes: u64,
    /// Granted beyond what was taken, less the first grant.
    granted: u64,
}

impl Grants {
    /// An item was taken. Asks for more when half of what may be on its way has come.
    fn taken(&mut self, bytes: usize) -> u32 {
        self.taken += 1;
        self.bytes += bytes as u64;
        let mean = (self.bytes / self.taken).max(1);
        let window = (WINDOW as u64 / mean).clamp(u64::from(FIRST), ITEMS_MAX as u64);
        let coming = (u64::from(FIRST) + self.granted).saturating_sub(self.taken);
        if coming > window / 2 {
            return 0;
        }
        let more = window - coming;
        self.granted += more;
        more as u32
    }
}

/// Line ends are white space to JSON, and its text has none.
fn line(text: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len() + 1);
    let ends = |byte| matches!(byte, b'\n' | b'\r');
    out.extend(
        text.bytes()
            .map(|byte| if ends(byte) { b' ' } else { byte }),
    );
    out.put_u8(b'\n');
    out.freeze()
}

/// As "Server-sent events" of the HTML standard has it: each line of the text is a line of `data`.
fn event(name: Option<&str>, text: &str) -> Bytes {
    let mut out = BytesMut::with_capacity(text.len() + 16);
    if let Some(name) = name {
        out.put_slice(format!("event: {name}\n").as_bytes());
    }
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    for line in text.split('\n') {
        out.put_slice(b"data: ");
        out.put_slice(line.as_bytes());
        out.put_u8(b'\n');
    }
    out.put_u8(b'\n');
    out.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_framed() {
        assert_eq!(line("{\"a\":\n1}"), "{\"a\": 1}\n");
        assert_eq!(event(None, "1"), "data: 1\n\n");
        assert_eq!(event(None, "a\r\nb\rc"), "data: a\ndata: b\ndata: c\n\n");
        assert_eq!(event(Some("error"), "{}"), "event: error\ndata: {}\n\n");
    }

    #[test]
    fn what_is_on_its_way_stays_within_the_window() {
        for (size, most) in [(0, 64), (100, 64), (16 << 10, 16), (4 << 20, 2)] {
            let mut grants = Grants::default();
            let (mut granted, mut taken) = (u64::from(FIRST), 0);
            for _ in 0..1000 {
                assert!(granted > taken, "it never stands still");
                taken += 1;
                granted += u64::from(grants.taken(size));
                assert!(granted - taken <= most, "{size}: {}", granted - taken);
            }
        }
    }
}
