//! One application that has metrics: it answers every request with its page.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::frame::{self, COMPLETE, Frame, NEXT, REQUEST_RESPONSE};

/// Nobody says KEEPALIVE for as long as a measurement lasts.
const LIFETIME_MILLIS: u32 = 600_000;

pub(super) struct App {
    /// Where it is scraped.
    pub(super) path: String,
    /// What its last answer took before its first byte, in nanoseconds; 0 when that has been read.
    own: Arc<AtomicU64>,
}

impl App {
    /// Connects and registers; returns when the broker has taken it.
    pub(super) async fn start(
        number: usize,
        broker: SocketAddr,
        page: Arc<[u8]>,
        think: Duration,
    ) -> io::Result<Self> {
        let uuid = format!("00000000-0000-4000-8000-{number:012}");
        let mut socket = TcpStream::connect(broker).await?;
        socket.set_nodelay(true)?;
        let mut out = Vec::new();
        let metadata = frame::app_metadata_as(&uuid, "shop", &["jackfield.Metrics".into()]);
        frame::put_setup_for(&mut out, &metadata, LIFETIME_MILLIS);
        frame::put_keepalive(&mut out, frame::RESPOND, b"");
        socket.write_all(&out).await?;
        let mut seen = vec![0; 64];
        if socket.read(&mut seen).await? == 0 {
            return Err(io::Error::other("the broker takes no application"));
        }
        let own = Arc::<AtomicU64>::default();
        tokio::spawn(serve(socket, page, think, Arc::clone(&own)));
        let path = format!("/metrics/app/{uuid}");
        Ok(Self { path, own })
    }

    /// What its answer took since somebody asked here last; none when it was not asked.
    pub(super) fn own_time(&self) -> Option<Duration> {
        match self.own.swap(0, Ordering::Relaxed) {
            0 => None,
            nanos => Some(Duration::from_nanos(nanos)),
        }
    }
}

/// Ends with the connection.
async fn serve(
    mut socket: TcpStream,
    page: Arc<[u8]>,
    think: Duration,
    own: Arc<AtomicU64>,
) -> io::Result<()> {
    let (mut input, mut out) = (Vec::new(), Vec::new());
    loop {
        if socket.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
        let began = Instant::now();
        let mut asked = Vec::new();
        let mut at = 0;
        while let Some((taken, frame)) =
            Frame::split(&input[at..]).map_err(|_| io::Error::other("garbled"))?
        {
            if frame.kind == REQUEST_RESPONSE {
                asked.push(frame.stream);
            }
            at += taken;
        }
        input.drain(..at);
        for stream in asked {
            if !think.is_zero() {
                tokio::time::sleep(think).await;
            }
            out.clear();
            frame::put_payload(&mut out, stream, NEXT | COMPLETE, &page, b"");
            let nanos = u64::try_from(began.elapsed().as_nanos());
            own.store(nanos.unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
            socket.write_all(&out).await?;
        }
    }
}
