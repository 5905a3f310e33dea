//! A reader that grants endless credit, reads a little, stops for a while, and then reads on.
//!
//! What it proves about a broker: its memory stays bounded while the reader stands still, and the
//! stream either goes on without a gap or ends with an error that says why.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::{
    runtime::Builder,
    time::{sleep, timeout},
};

use crate::{
    cpu,
    frame::{self, Frame, Garbled},
    tally::json_string,
    wire::Wire,
};

const STREAM: u32 = 1;
const ENDLESS: u32 = 0x7FFF_FFFF;
const SAMPLE: Duration = Duration::from_millis(50);
/// With no item for so long after the pause the stream is given up.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// What to do. See [`Stall::new`] for defaults.
#[derive(Debug, Clone)]
pub struct Stall {
    pub address: SocketAddr,
    pub route: String,
    pub items: u64,
    pub item_size: u32,
    /// Items to read before the pause.
    pub read_first: u64,
    pub pause: Duration,
    /// The process whose memory is of interest.
    pub watch: Option<u32>,
}

/// How the stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Complete,
    Error {
        code: u32,
        text: String,
    },
    /// The connection ended, or nothing came any more.
    Lost(String),
}

#[derive(Debug, Clone)]
pub struct StallReport {
    pub items: u64,
    /// Items that were not the next in order: always 0 from a broker that keeps its promises.
    pub gaps: u64,
    pub ending: Ending,
    pub elapsed: Duration,
    /// Memory of the watched process before the stream, at its highest during the pause, and at
    /// the end.
    pub resident: [u64; 3],
}

impl Stall {
    pub fn new(address: SocketAddr, route: &str) -> Self {
        Self {
            address,
            route: route.to_owned(),
            items: 100_000,
            item_size: 1024,
            read_first: 100,
            pause: Duration::from_secs(3),
            watch: None,
        }
    }

    /// Runs on the calling thread until the stream has ended.
    pub fn run(&self) -> io::Result<StallReport> {
        Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.read())
    }

    async fn read(&self) -> io::Result<StallReport> {
        let began = Instant::now();
        let mut resident = [self.resident()?; 3];
        let mut reader = Reader {
            wire: Wire::connect(self.address).await?,
            items: 0,
            gaps: 0,
        };
        self.ask(reader.wire.out());
        let mut ending = reader.until(self.read_first).await;
        if ending.is_none() {
            ending = self.stand_still(&mut reader.wire, &mut resident[1]).await?;
        }
        if ending.is_none() {
            ending = reader.until(u64::MAX).await;
        }
        resident[2] = self.resident()?;
        Ok(StallReport {
            items: reader.items,
            gaps: reader.gaps,
            ending: ending.unwrap_or(Ending::Complete),
            elapsed: began.elapsed(),
            resident,
        })
    }

    fn ask(&self, out: &mut Vec<u8>) {
        frame::put_setup(out, b"");
        let mut data = self.items.to_be_bytes().to_vec();
        data.extend(self.item_size.to_be_bytes());
        let metadata = frame::route_metadata(&self.route);
        frame::put_request_stream(out, STREAM, ENDLESS, &metadata, &data);
    }

    /// Reads nothing, but says every second that this side is alive, until a peer that has lost
    /// its patience ends the connection.
    async fn stand_still(&self, wire: &mut Wire, highest: &mut u64) -> io::Result<Option<Ending>> {
        let began = Instant::now();
        let mut said = 0;
        while began.elapsed() < self.pause {
            if began.elapsed().as_secs() > said {
                said += 1;
                frame::put_keepalive(wire.out(), 0, b"");
                if let Err(error) = wire.write_all().await {
                    return Ok(Some(Ending::Lost(error.to_string())));
                }
            }
            sleep(SAMPLE).await;
            *highest = self.resident()?.max(*highest);
        }
        Ok(None)
    }

    fn resident(&self) -> io::Result<u64> {
        self.watch.map_or(Ok(0), cpu::resident_bytes)
    }
}

struct Reader {
    wire: Wire,
    items: u64,
    gaps: u64,
}

impl Reader {
    /// Reads until `count` items are here or the stream has ended.
    async fn until(&mut self, count: u64) -> Option<Ending> {
        loop {
            match self.take() {
                Ok(None) if self.items >= count => return None,
                Ok(None) => {}
                Ok(ending) => return ending,
                Err(Garbled) => return Some(Ending::Lost(io::Error::from(Garbled).to_string())),
            }
            match timeout(SILENCE_MAX, self.wire.turn()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Some(Ending::Lost(error.to_string())),
                Err(_) => return Some(Ending::Lost("nothing came any more".into())),
            }
        }
    }

    fn take(&mut self) -> Result<Option<Ending>, Garbled> {
        let (input, out) = self.wire.split();
        let mut taken = 0;
        let mut ending = None;
        while let Some((length, frame)) = Frame::split(&input[taken..])? {
            taken += length;
            if frame.wants_answer() {
                frame::put_keepalive(out, 0, frame.data(8)?);
            }
            if frame.kind == frame::ERROR {
                let text = String::from_utf8_lossy(frame.data(4)?).into_owned();
                ending = Some(Ending::Error {
                    code: frame.number()?,
                    text,
                });
            }
            if frame.kind != frame::PAYLOAD || frame.stream != STREAM {
                continue;
            }
            if frame.flags & frame::NEXT != 0 {
                let data = frame.data(0)?;
                let number =
                    u64::from(frame::word(data, 0)?) << 32 | u64::from(frame::word(data, 4)?);
                self.gaps += u64::from(number != self.items);
                self.items += 1;
            }
            if frame.flags & frame::COMPLETE != 0 {
                ending = Some(Ending::Complete);
            }
        }
        self.wire.take(taken);
        Ok(ending)
    }
}

impl StallReport {
    /// Whether all `items` came, in order, and the stream was completed.
    pub fn whole(&self, items: u64) -> bool {
        self.ending == Ending::Complete && self.gaps == 0 && self.items == items
    }

    /// One line of JSON.
    pub fn json(&self) -> String {
        let ending = match &self.ending {
            Ending::Complete => "complete".into(),
            Ending::Error { code, text } => format!("error {code:#x} {text}"),
            Ending::Lost(text) => format!("lost: {text}"),
        };
        let [before, during, after] = self.resident;
        format!(
            "{{\"items\":{},\"gaps\":{},\"ending\":{},\"seconds\":{:.3},\"resident_before\":{before},\
             \"resident_in_pause\":{during},\"resident_after\":{after}}}",
            self.items,
            self.gaps,
            json_string(&ending),
            self.elapsed.as_secs_f64(),
        )
    }
}
