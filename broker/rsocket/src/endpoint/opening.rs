//! How a client comes to a connection: dial, and say the first word.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{sleep, timeout};

use super::driver::now;
use super::{Backoff, Closed, ConnectError, ConnectOptions, LeaseOptions, Message, ResumeOptions};
use crate::engine::KeepaliveTimer;
use crate::engine::resume::{Session, Token};
use crate::net::{Body, FrameIo, NetError};
use crate::wire::{Setup, Version};

pub(super) type Dialling = Pin<Box<dyn Future<Output = Result<FrameIo, NetError>> + Send>>;

/// A transport, and the answer to the RESUME that was sent over it.
pub(super) type Redial =
    Pin<Box<dyn Future<Output = Result<(FrameIo, Option<Bytes>), Closed>> + Send>>;

/// What a client dials and what it says first, as often as it has to.
pub(super) struct Opening {
    /// None when there is one transport and no other.
    pub(super) dial: Option<Arc<dyn Fn() -> Dialling + Send + Sync>>,
    pub(super) reconnect: Option<Backoff>,
    pub(super) resume: Option<ResumeOptions>,
    pub(super) lease: Option<LeaseOptions>,
    keepalive_ms: u32,
    lifetime_ms: u32,
    metadata_mime: String,
    data_mime: String,
    payload: Message,
    patience: Duration,
}

impl Opening {
    pub(super) fn new(
        options: &ConnectOptions,
        dial: Option<Arc<dyn Fn() -> Dialling + Send + Sync>>,
    ) -> Result<Self, ConnectError> {
        Ok(Self {
            reconnect: options.reconnect,
            // Without a way back there is nothing to resume.
            resume: options.resume.filter(|_| dial.is_some()),
            lease: options.lease,
            dial,
            keepalive_ms: millis(options.keepalive),
            lifetime_ms: millis(options.lifetime),
            metadata_mime: options.metadata_mime.clone(),
            data_mime: options.data_mime.clone(),
            payload: options.setup()?,
            patience: options.limits.setup_timeout,
        })
    }

    /// A new session, if sessions are to be resumed.
    pub(super) fn session(&self) -> io::Result<Option<Session>> {
        let Some(resume) = self.resume else {
            return Ok(None);
        };
        let mut token = [0; 32];
        getrandom::fill(&mut token)?;
        Ok(Token::copy_from(&token).map(|token| Session::new(token, resume.buffer)))
    }

    pub(super) fn setup<'a>(&'a self, session: Option<&'a Session>) -> Setup<'a> {
        Setup {
            version: Version::V1_0,
            keepalive_ms: self.keepalive_ms,
            lifetime_ms: self.lifetime_ms,
            resume_token: session.map(|session| session.token().as_bytes()),
            lease: self.lease.is_some(),
            metadata_mime: self.metadata_mime.as_bytes(),
            data_mime: self.data_mime.as_bytes(),
            metadata: self.payload.metadata.as_deref(),
            data: &self.payload.data,
        }
    }

    pub(super) fn keepalive(&self) -> KeepaliveTimer {
        KeepaliveTimer::client(
            Duration::from_millis(self.keepalive_ms.into()),
            Duration::from_millis(self.lifetime_ms.into()),
            now(),
        )
    }

    /// Dials until there is a transport; with a RESUME, until it is answered. `failed` attempts
    /// went before. None when there is nothing to dial.
    pub(super) fn redial(&self, resume: Option<Bytes>, failed: u32) -> Option<Redial> {
        let wait = self.backoff(resume.is_some()).delay(failed);
        self.dial(resume, failed, wait)
    }

    /// The same for the first transport of all, which nobody need wait for.
    pub(super) fn first_dial(&self) -> Option<Redial> {
        self.dial(None, 0, Duration::ZERO)
    }

    fn backoff(&self, resumes: bool) -> Backoff {
        let mut backoff = self.reconnect.unwrap_or_default();
        if let (Some(options), true) = (self.resume, resumes) {
            // A session does not wait: there are to be some attempts within its window.
            backoff.most = backoff.most.min(options.window / 8);
        }
        backoff
    }

    fn dial(&self, resume: Option<Bytes>, failed: u32, wait: Duration) -> Option<Redial> {
        let dial = Arc::clone(self.dial.as_ref()?);
        let (backoff, patience) = (self.backoff(resume.is_some()), self.patience);
        Some(Box::pin(async move {
            let (mut failed, mut wait) = (failed, wait);
            loop {
                sleep(wait).await;
                let attempt = timeout(patience, attempt(&*dial, resume.as_ref())).await;
                let error = match attempt {
                    Ok(Ok(opened)) => return Ok(opened),
                    Ok(Err(error)) => error,
                    Err(_) => NetError::Io(io::ErrorKind::TimedOut.into()),
                };
                failed = failed.saturating_add(1);
                wait = backoff.delay(failed);
                if backoff.is_spent(failed) {
                    return Err(Closed::Net(Arc::new(error)));
                }
            }
        }))
    }
}

async fn attempt(
    dial: &(dyn Fn() -> Dialling + Send + Sync),
    resume: Option<&Bytes>,
) -> Result<(FrameIo, Option<Bytes>), NetError> {
    let mut io = dial().await?;
    let Some(resume) = resume else {
        return Ok((io, None));
    };
    io.push(resume, Body::Copy(&[]));
    io.flush().await?;
    match io.next_frame().await {
        Some(answer) => Ok((io, Some(answer?))),
        None => Err(NetError::Io(io::ErrorKind::UnexpectedEof.into())),
    }
}

/// Zero is no legal interval, and neither is one over 31 bits.
fn millis(duration: Duration) -> u32 {
    duration.as_millis().clamp(1, 0x7FFF_FFFF) as u32
}
