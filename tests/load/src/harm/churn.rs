//! Applications whose services come and go, as the archived broker's clients say it: by pushed events.

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::frame;

const APPS: usize = 50;
const CHANGES_PER_SECOND: u32 = 1000;
/// What all of them publish, so that its list of instances changes with every change.
const SHARED: &str = "churn.Shared";

/// Goes on until a connection ends.
pub(super) fn churn(address: SocketAddr) -> io::Result<()> {
    let mut apps = Vec::new();
    for number in 0..APPS {
        let mut stream = TcpStream::connect(address)?;
        let uuid = format!("c0ffee00-0000-4000-8000-{:012}", number + 1);
        let mut out = Vec::new();
        let services = [format!("churn.Own{number}")];
        frame::put_setup(&mut out, &frame::app_metadata_as(&uuid, "churn", &services));
        stream.write_all(&out)?;
        apps.push((stream, uuid));
    }
    let begun = Instant::now();
    for change in 0_u32.. {
        let due = begun + Duration::from_secs(1) / CHANGES_PER_SECOND * change;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let at = change as usize % APPS;
        let round = change as usize / APPS;
        // One that only this application has, so that it appears and disappears; then the shared one.
        let service = match round % 4 {
            0 | 1 => format!("churn.New{at}"),
            _ => SHARED.to_owned(),
        };
        let kind = match round % 2 {
            0 => "ServicesExposedEvent",
            _ => "ServicesHiddenEvent",
        };
        let (stream, uuid) = &mut apps[at];
        let mut out = Vec::new();
        frame::put_push(&mut out, event(uuid, kind, &service).as_bytes());
        stream.write_all(&out)?;
    }
    Ok(())
}

fn event(uuid: &str, kind: &str, service: &str) -> String {
    format!(
        "{{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"app://{uuid}/\",\
         \"type\":\"com.alibaba.rsocket.events.{kind}\",\
         \"data\":{{\"appId\":\"{uuid}\",\"services\":[{{\"service\":\"{service}\"}}]}}}}"
    )
}
