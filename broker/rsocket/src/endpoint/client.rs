use std::time::Duration;

use super::driver::{Driver, now};
use super::requester::Requester;
use super::sender::Sender;
use super::shared::Shared;
use super::{ConnectError, ConnectOptions};
use crate::engine::KeepaliveTimer;
use crate::net::{self, FrameIo, Uri};
use crate::wire::{Setup, Side, Version};

/// Dials, introduces itself, and starts the connection's task on the current runtime.
///
/// RSocket accepts in silence: a refusal shows as the end of the connection, see
/// [`Requester::closed`], and in every call.
pub async fn connect(uri: &Uri, options: ConnectOptions) -> Result<Requester, ConnectError> {
    let io = net::connect(uri, options.limits.frame).await?;
    attach(io, options)
}

/// The same over a connection that is there already, such as one end of [`net::memory`].
pub fn attach(io: FrameIo, options: ConnectOptions) -> Result<Requester, ConnectError> {
    let message = options.setup()?;
    let (keepalive_ms, lifetime_ms) = (millis(options.keepalive), millis(options.lifetime));
    let mut out = Sender::new(io, &options.limits);
    out.setup(&Setup {
        version: Version::V1_0,
        keepalive_ms,
        lifetime_ms,
        resume_token: None,
        lease: false,
        metadata_mime: options.metadata_mime.as_bytes(),
        data_mime: options.data_mime.as_bytes(),
        metadata: message.metadata.as_deref(),
        data: &message.data,
    });
    let keepalive = KeepaliveTimer::client(
        Duration::from_millis(keepalive_ms.into()),
        Duration::from_millis(lifetime_ms.into()),
        now(),
    );
    let shared = Shared::new(options.limits.queue);
    let requester = Requester::new(shared.clone());
    let driver = Driver::new(
        out,
        Side::Client,
        keepalive,
        shared,
        options.handler,
        options.limits,
    );
    tokio::spawn(driver.run());
    Ok(requester)
}

/// Zero is no legal interval, and neither is one over 31 bits.
fn millis(duration: Duration) -> u32 {
    duration.as_millis().clamp(1, 0x7FFF_FFFF) as u32
}
