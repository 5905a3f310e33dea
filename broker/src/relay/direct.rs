//! What passes between the broker itself and one application, without a service in between.
//!
//! A part of the broker, on its connection in memory, names an application instead of a service: its metadata is
//! [`direct_metadata`], and what stands behind the name is all the metadata that the application gets. So one can be
//! asked that publishes nothing, and reads metadata in a way of its own.
//!
//! The other way round, an application tells the broker its last metrics by a request to [`LAST_METRICS`]; one that is
//! only scraped, and knows no routes, by any request. It is taken in one frame, and heard by whoever
//! [`super::Relay::hear`] was told.

use std::{
    cell::OnceCell,
    rc::Rc,
    sync::{Arc, OnceLock},
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use jackfield_rsocket::{
    metadata::{RoutingEntries, Service},
    wire::{Interaction, Payload, Request, StreamId},
};

use super::{
    access::Access,
    dispatch::{Decided, Way},
    introduction::MetadataKind,
    link::Link,
    refusal::Refusal,
    routes::{Choice, Name, Route},
};
use crate::directory::{Balance, Slot};

/// The MIME type of such metadata, in the SETUP of a part of the broker.
pub(super) const DIRECT: &[u8] = b"message/x.jackfield.direct";

/// The service that takes what an application says of itself before it goes.
pub const LAST_METRICS: &str = "jackfield.LastMetrics";

/// What requests to one application are counted as.
const SERVICE: &str = "jackfield.Metrics";

/// The metadata of a request to one application; it gets `header`.
pub(super) fn direct_metadata(uuid: &str, header: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(2 + uuid.len() + header.len());
    bytes.put_u16(u16::try_from(uuid.len()).unwrap_or(u16::MAX));
    bytes.put_slice(uuid.as_bytes());
    bytes.put_slice(header);
    bytes.freeze()
}

/// The uuid, and what the application gets.
fn split(metadata: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = metadata.split_first_chunk()?;
    let (uuid, header) = rest.split_at_checked(u16::from_be_bytes(*len).into())?;
    Some((std::str::from_utf8(uuid).ok()?, header))
}

/// What is for the broker itself is not put together from fragments.
pub(super) fn in_pieces() -> Refusal {
    Refusal::BadMetadata("what is for the broker itself has to come in one frame".into())
}

impl Link {
    /// A request that names no service.
    pub(super) fn unrouted(
        &self,
        metadata: &[u8],
        interaction: Interaction,
    ) -> Result<Decided, Refusal> {
        let app = self.instance.as_ref().map(|instance| &instance.app);
        match self.metadata_kind {
            MetadataKind::Direct => self.direct(metadata, interaction),
            _ if app.is_some_and(|app| app.is_scrape_only()) => Ok(Decided::Heard),
            _ => Err(Refusal::NoRoute),
        }
    }

    /// Whether this names the broker. The service cannot be anybody else's.
    pub(super) fn is_for_the_broker(&self, entries: &RoutingEntries<'_>) -> bool {
        let target = entries.target().ok();
        let route = target.and_then(|target| target.route);
        route.is_some_and(|route| {
            route.service == LAST_METRICS || route.whole().service == LAST_METRICS
        })
    }

    fn direct(&self, metadata: &[u8], interaction: Interaction) -> Result<Decided, Refusal> {
        let bad = || Refusal::BadMetadata("no application is named".into());
        let (uuid, header) = split(metadata).ok_or_else(bad)?;
        let unknown = || Refusal::UnknownService(format!("of the application {uuid}"));
        let instance = self.plane.directory.instance(uuid).ok_or_else(unknown)?;
        let service = Service::new("", SERVICE, "").map_err(|_| bad())?;
        let choice = Arc::new(Choice {
            slot: Arc::new(Slot::apart(&service, &instance)),
            endpoint: Box::default(),
            balance: Balance::default(),
            access: Access::Anyone,
            sticky: false,
            disturbed: false,
            selected: false,
            change: None,
            plans: OnceLock::new(),
        });
        let chain = self.plane.chains.load();
        let route = Route {
            made_under: self.plane.generations(&chain),
            name: Name::default(),
            choice: choice.clone(),
            metrics: self.plane.metrics.call(SERVICE, interaction),
            // Whoever asks gives it up himself.
            timeout: None,
            by_name: false,
            concerned: false,
            chain_deadline: Duration::ZERO,
            verdict: OnceCell::new(),
            rewrites: Default::default(),
        };
        Ok(Decided::To(Way {
            route: Rc::new(route),
            choice,
            metadata: Some(Bytes::copy_from_slice(header)),
            fault: None,
            left: Duration::ZERO,
            chain,
        }))
    }

    /// Passes on what an application says to the broker.
    pub(super) fn hear(&mut self, id: StreamId, request: &Request<'_>) -> Result<(), Refusal> {
        let Some(instance) = self.instance.clone() else {
            let who = format!("{LAST_METRICS} of a connection that is no application's");
            return Err(Refusal::UnknownService(who));
        };
        if request.follows {
            return Err(in_pieces());
        }
        if request.interaction.has_credit() {
            return Err(Refusal::BadMetadata(format!(
                "{LAST_METRICS} streams nothing"
            )));
        }
        if !self.plane.news.said(instance, request) {
            return Err(Refusal::Overloaded(LAST_METRICS.into()));
        }
        if request.interaction == Interaction::Response {
            let thanks = Payload {
                follows: false,
                complete: true,
                next: true,
                metadata: None,
                data: b"",
            };
            self.say(|frame| thanks.encode(id, frame));
        }
        Ok(())
    }
}
