//! The live links, and how many there may be.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::sync::Notify;

use super::{
    Limits,
    handle::{Handle, LinkId, Order},
    pressure::{MemoryStage, Pressure},
};
use crate::{identity::Principal, telemetry::RateLimit};

#[derive(Debug)]
pub(super) struct Links {
    live: Mutex<HashMap<LinkId, Arc<Handle>>>,
    next_id: AtomicU64,
    pending: Mutex<Pending>,
    pending_max: usize,
    pending_per_address: usize,
    connections_max: usize,
    pressure: Arc<Pressure>,
    draining: AtomicBool,
    cut: AtomicUsize,
    /// Told whenever a link is gone.
    gone: Notify,
    lines: RateLimit,
}

#[derive(Debug, Default)]
struct Pending {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// One connection, as the admin API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionView {
    pub id: u64,
    pub remote: String,
    pub transport: &'static str,
    /// Bytes waiting for its socket.
    pub outbox_bytes: usize,
}

/// Why a connection is closed before it said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Connections,
    Pending,
    PendingFromAddress,
    Draining,
    /// The process is short of memory.
    Memory,
}

impl Full {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Connections => "connections",
            Self::Pending => "pending",
            Self::PendingFromAddress => "pending_per_address",
            Self::Draining => "draining",
            Self::Memory => "memory_connections",
        }
    }

    /// What the peer reads.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Connections => "RST-500400: limits.connections is reached; try again later",
            Self::Pending => "RST-500400: limits.pending is reached; try again later",
            Self::PendingFromAddress => {
                "RST-500400: limits.pending-per-address is reached; finish SETUP on the others first"
            }
            Self::Draining => "RST-910503: broker is draining; connect to another one",
            Self::Memory => "RST-910507: broker is short of memory; try again later",
        }
    }
}

impl Links {
    pub(super) fn new(limits: &Limits, pressure: Arc<Pressure>) -> Self {
        Self {
            live: Mutex::default(),
            next_id: AtomicU64::new(1),
            pending: Mutex::default(),
            pending_max: limits.pending,
            pending_per_address: limits.pending_per_address,
            connections_max: limits.connections,
            pressure,
            draining: AtomicBool::new(false),
            cut: AtomicUsize::new(0),
            gone: Notify::new(),
            lines: RateLimit::default(),
        }
    }

    /// Counts a connection that has not finished SETUP, until the value is dropped.
    pub(super) fn admit(self: &Arc<Self>, from: Option<IpAddr>) -> Result<Admission, Full> {
        if self.draining.load(Ordering::Acquire) {
            return Err(Full::Draining);
        }
        if self.pressure.at_least(MemoryStage::RefuseConnections) {
            return Err(Full::Memory);
        }
        let live = lock(&self.live).len();
        let mut pending = lock(&self.pending);
        if live + pending.total >= self.connections_max {
            return Err(Full::Connections);
        }
        if pending.total >= self.pending_max {
            return Err(Full::Pending);
        }
        if let Some(from) = from {
            let held = pending.by_address.entry(from).or_default();
            if *held >= self.pending_per_address {
                return Err(Full::PendingFromAddress);
            }
            *held += 1;
        }
        pending.total += 1;
        drop(pending);
        Ok(Admission {
            links: self.clone(),
            from,
        })
    }

    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn enter(&self, handle: &Arc<Handle>) {
        let mut live = lock(&self.live);
        live.insert(handle.id, handle.clone());
        handle.outbox.tighten(self.tight());
        drop(live);
        if self.draining.load(Ordering::Acquire) {
            handle.give_order(Order::Drain);
        }
    }

    /// A link is gone, with so many calls cut.
    pub(super) fn leave(&self, id: LinkId, cut: usize) {
        lock(&self.live).remove(&id);
        if self.draining.load(Ordering::Acquire) {
            self.cut.fetch_add(cut, Ordering::Relaxed);
        }
        self.gone.notify_waiters();
    }

    pub(super) fn principal(&self, id: LinkId) -> Option<Arc<Principal>> {
        lock(&self.live).get(&id).map(|link| link.principal.clone())
    }

    pub(super) fn views(&self) -> Vec<ConnectionView> {
        let mut views: Vec<ConnectionView> = lock(&self.live)
            .values()
            .map(|handle| ConnectionView {
                id: handle.id.0,
                remote: handle.remote.map(|ip| ip.to_string()).unwrap_or_default(),
                transport: handle.transport,
                outbox_bytes: handle.outbox.bytes(),
            })
            .collect();
        views.sort_by_key(|view| view.id);
        views
    }

    pub(super) fn outbox_bytes(&self) -> usize {
        lock(&self.live)
            .values()
            .map(|handle| handle.outbox.bytes())
            .sum()
    }

    /// New requests and connections follow the stage by themselves; outboxes are told.
    pub(super) fn set_memory_stage(&self, stage: MemoryStage) {
        let live = lock(&self.live);
        self.pressure.set(stage);
        let tight = self.tight();
        live.values()
            .for_each(|handle| handle.outbox.tighten(tight));
    }

    fn tight(&self) -> bool {
        self.pressure.at_least(MemoryStage::RefuseConnections)
    }

    /// Has every link close whose principal `gone` says yes to. Returns how many.
    pub(super) fn take_back(&self, gone: impl Fn(&Principal) -> bool) -> usize {
        let live = lock(&self.live);
        let links: Vec<Arc<Handle>> = live
            .values()
            .filter(|link| gone(&link.principal))
            .cloned()
            .collect();
        drop(live);
        links
            .iter()
            .for_each(|link| link.give_order(Order::TakeBack));
        links.len()
    }

    /// Has the link close for which most is waiting, if that is `least` or more. Returns how much.
    pub(super) fn shed(&self, least: usize) -> Option<usize> {
        let live = lock(&self.live);
        let (bytes, largest) = live
            .values()
            .filter(|handle| handle.stays())
            .map(|handle| (handle.waiting(), handle))
            .max_by_key(|(bytes, _)| *bytes)?;
        if bytes < least {
            return None;
        }
        let largest = largest.clone();
        drop(live);
        largest.give_order(Order::Shed);
        if self.may_log("RST-910508") {
            tracing::warn!(code = "RST-910508", link = %largest.id, bytes, "memory is short: the connection for which most is waiting is closed");
        }
        Some(bytes)
    }

    pub(super) fn draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Ends every link after its last stream, or at the end of `grace`. Returns how many calls were
    /// cut.
    pub(super) async fn drain(&self, grace: Duration) -> usize {
        self.draining.store(true, Ordering::Release);
        self.order(Order::Drain);
        if tokio::time::timeout(grace, self.wait_empty())
            .await
            .is_err()
        {
            self.order(Order::Close);
            // A link says goodbye within its linger time; nothing waits for it longer.
            let _ = tokio::time::timeout(Duration::from_secs(2), self.wait_empty()).await;
        }
        self.cut.load(Ordering::Relaxed)
    }

    fn order(&self, order: Order) {
        let live: Vec<Arc<Handle>> = lock(&self.live).values().cloned().collect();
        live.iter().for_each(|handle| handle.give_order(order));
    }

    async fn wait_empty(&self) {
        loop {
            let gone = self.gone.notified();
            if lock(&self.live).is_empty() {
                return;
            }
            gone.await;
        }
    }

    /// Whether one more line of this kind, which a peer caused, may be written. What was left out
    /// is told with the next one.
    pub(super) fn may_log(&self, kind: &'static str) -> bool {
        let Some(passed) = self.lines.pass(kind, Instant::now()) else {
            return false;
        };
        if passed.suppressed > 0 {
            tracing::warn!(
                kind,
                suppressed = passed.suppressed,
                "lines that peers caused were left out"
            );
        }
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A place among the connections that have not finished SETUP.
#[derive(Debug)]
pub(super) struct Admission {
    links: Arc<Links>,
    from: Option<IpAddr>,
}

impl Drop for Admission {
    fn drop(&mut self) {
        let mut pending = lock(&self.links.pending);
        pending.total -= 1;
        let Some(from) = self.from else { return };
        if let Some(held) = pending.by_address.get_mut(&from) {
            *held -= 1;
            if *held == 0 {
                pending.by_address.remove(&from);
            }
        }
    }
}
