//! What it costs a broker to let Prometheus read its applications, and how long one page takes on its way.
//!
//! ```text
//! this process ── N apps over TCP ──► broker ◄── HTTP, one scrape of each app in every interval ── this process
//! ```
//!
//! Reported are the broker's CPU time for each interval, and of each scrape the time beyond the application's own: from
//! the request on the wire to the last byte of the page, less what passes between the arrival of the broker's request at
//! the application and the first byte of its answer. The way of the page through both sockets is in it, and so are the
//! turns that this process takes. A page that its application was not asked for, because the broker remembered one,
//! counts as failed.

mod app;
mod page;

use std::{
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

use crate::{
    cpu,
    gate::process::{Process, Scratch, arg, free_port},
};
use app::App;

/// Connections of the one who scrapes.
const SCRAPERS: usize = 8;
/// More than the broker's own: `metrics.cache`.
const CACHE: Duration = Duration::from_millis(1_500);
/// The highest time told apart, in microseconds.
const LONGEST: u64 = 60_000_000;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Scrape {
    pub broker: PathBuf,
    pub apps: usize,
    /// Of each application.
    pub series: usize,
    pub interval: Duration,
    pub intervals: u32,
    /// How long each application thinks about it.
    pub own: Duration,
}

/// What was seen.
#[derive(Debug, Clone)]
pub struct Scraped {
    pub scrapes: u64,
    pub failed: u64,
    /// Of one page, as it is handed on.
    pub bytes: usize,
    /// The broker's, for each interval.
    pub cpu: Duration,
    /// Beyond the application's own time, in microseconds.
    pub beyond: Histogram<u64>,
}

impl Scraped {
    /// One line of JSON.
    pub fn json(&self) -> String {
        let at = |quantile| self.beyond.value_at_quantile(quantile);
        format!(
            "{{\"scrapes\":{},\"failed\":{},\"page_bytes\":{},\"broker_core_seconds_per_interval\":{:.3},\
             \"beyond_own_us\":{{\"p50\":{},\"p90\":{},\"p99\":{},\"max\":{}}}}}",
            self.scrapes,
            self.failed,
            self.bytes,
            self.cpu.as_secs_f64(),
            at(0.5),
            at(0.9),
            at(0.99),
            self.beyond.max(),
        )
    }
}

impl Scrape {
    pub fn run(&self) -> io::Result<Scraped> {
        let scratch = Scratch::new("scrape")?;
        let (rsocket, http) = (free_port()?, free_port()?);
        let config = config(rsocket, http, arg(&scratch.path("data"))?);
        let config = scratch.write("jackfield.toml", &config)?;
        let command = [arg(&self.broker)?, "run", "--config", arg(&config)?];
        let mut broker = Process::start("jackfield", &command, None, &scratch)?;
        broker.listening(rsocket)?;
        broker.listening(http)?;
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(self.drive(broker.pid(), rsocket, http))
    }

    async fn drive(
        &self,
        broker: u32,
        rsocket: SocketAddr,
        http: SocketAddr,
    ) -> io::Result<Scraped> {
        let page: Arc<[u8]> = page::of(self.series).into();
        let mut apps = Vec::new();
        for number in 0..self.apps {
            apps.push(App::start(number, rsocket, Arc::clone(&page), self.own).await?);
        }
        let apps: Arc<[App]> = apps.into();
        // Everybody once: connections are made, and what is allocated once is there.
        let warm = self.round(http, &apps, Duration::ZERO).await?;
        // Until the broker has forgotten those pages.
        tokio::time::sleep(CACHE).await;
        let before = cpu::cpu_time(broker)?;
        let mut all = Seen::new();
        for _ in 0..self.intervals {
            let end = tokio::time::Instant::now() + self.interval;
            all.add(self.round(http, &apps, self.interval).await?);
            tokio::time::sleep_until(end).await;
        }
        let spent = cpu::cpu_time(broker)? - before;
        Ok(Scraped {
            scrapes: all.beyond.len(),
            failed: all.failed + warm.failed,
            bytes: all.bytes,
            cpu: spent / self.intervals.max(1),
            beyond: all.beyond,
        })
    }

    /// One scrape of each application, spread over the interval.
    async fn round(&self, http: SocketAddr, apps: &Arc<[App]>, over: Duration) -> io::Result<Seen> {
        let began = tokio::time::Instant::now();
        let mut scrapers = JoinSet::new();
        for number in 0..SCRAPERS.min(apps.len()) {
            let apps = Arc::clone(apps);
            scrapers.spawn(async move {
                let mut seen = Seen::new();
                let mut socket = TcpStream::connect(http).await?;
                socket.set_nodelay(true)?;
                let mut buffer = Vec::new();
                for at in (number..apps.len()).step_by(SCRAPERS) {
                    let when = over.mul_f64(at as f64 / apps.len() as f64);
                    tokio::time::sleep_until(began + when).await;
                    let began = Instant::now();
                    let size = scrape(&mut socket, &apps[at].path, &mut buffer).await?;
                    let took = began.elapsed();
                    match apps[at].own_time() {
                        Some(own) => seen.note(size, took.saturating_sub(own)),
                        // A page of the cache would count as one that cost nothing.
                        None => seen.failed += 1,
                    }
                }
                io::Result::Ok(seen)
            });
        }
        let mut all = Seen::new();
        while let Some(seen) = scrapers.join_next().await {
            all.add(seen.map_err(io::Error::other)??);
        }
        Ok(all)
    }
}

struct Seen {
    bytes: usize,
    failed: u64,
    beyond: Histogram<u64>,
}

impl Seen {
    fn new() -> Self {
        let beyond = Histogram::new_with_max(LONGEST, 3).expect("the bounds are legal");
        Self {
            bytes: 0,
            failed: 0,
            beyond,
        }
    }

    fn note(&mut self, size: Option<usize>, took: Duration) {
        match size {
            Some(size) => {
                self.bytes = size;
                self.beyond
                    .saturating_record(u64::try_from(took.as_micros()).unwrap_or(LONGEST));
            }
            None => self.failed += 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.bytes = self.bytes.max(other.bytes);
        self.failed += other.failed;
        self.beyond
            .add(other.beyond)
            .expect("they have the same bounds");
    }
}

/// The size of the page, none when the status is not 200.
async fn scrape(
    socket: &mut TcpStream,
    path: &str,
    buffer: &mut Vec<u8>,
) -> io::Result<Option<usize>> {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: broker\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    buffer.clear();
    let (head, length) = loop {
        if socket.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let length = length.and_then(|length| length.parse::<usize>().ok());
            let length = length.ok_or_else(|| io::Error::other(head.clone()))?;
            break (end + 4, length);
        }
    };
    while buffer.len() < head + length {
        buffer.reserve(64 << 10);
        if socket.read_buf(buffer).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.starts_with(b"HTTP/1.1 200").then_some(length))
}

fn config(rsocket: SocketAddr, http: SocketAddr, data: &str) -> String {
    format!(
        "[node]\nname = \"scrape\"\nthreads = 1\ndata-dir = \"{data}\"\n\
         [[listen]]\nuri = \"tcp://{rsocket}\"\n\
         [http]\nlisten = \"{http}\"\n[admin]\nlisten = \"127.0.0.1:0\"\n"
    )
}
