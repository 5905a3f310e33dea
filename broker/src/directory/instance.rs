use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use jackfield_rsocket::metadata::{Service, murmur3};

use super::AppView;

/// Who an application says it is, and where it was seen.
#[derive(Clone, Debug)]
pub struct App {
    pub uuid: String,
    pub name: String,
    /// The address the application claims.
    pub ip: String,
    /// The address the broker sees; none for an application in this process.
    pub remote: Option<IpAddr>,
    pub transport: &'static str,
    pub sdk: Option<String>,
    /// Weight against other instances; at least 1.
    pub power: u32,
    pub metadata: BTreeMap<String, String>,
    pub connected_at_ms: u64,
    /// The principal it belongs to; none if nobody knows.
    pub owner: Option<String>,
}

impl App {
    /// Whether a connection that says it is this application may be believed: the same principal,
    /// or the same address where nobody knows who either is.
    pub(super) fn is_same_owner(&self, other: &Self) -> bool {
        match (&self.owner, &other.owner) {
            (None, None) => self.remote == other.remote,
            (one, other) => one == other,
        }
    }
}

/// One application on one connection.
#[derive(Debug)]
pub struct Instance<H> {
    /// Tells two connections of one application apart.
    pub generation: u64,
    pub id: i32,
    pub app: App,
    /// Where its calls are delivered.
    pub link: H,
    services: Vec<Service>,
    gone: AtomicBool,
    in_flight: AtomicU32,
}

impl<H> Instance<H> {
    pub(super) fn new(generation: u64, app: App, services: Vec<Service>, link: H) -> Self {
        // The archived broker hashes "credentials:uuid"; without authentication there are none.
        let id = murmur3(format!(":{}", app.uuid).as_bytes());
        Self {
            generation,
            id,
            app,
            link,
            services,
            gone: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
        }
    }

    pub fn services(&self) -> &[Service] {
        &self.services
    }

    /// Calls on their way to it or being answered by it.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Counts one call for as long as the value lives.
    pub fn begin(self: &Arc<Self>) -> Load<H> {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Load(self.clone())
    }

    /// Nothing may be sent to it any more.
    pub fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Acquire)
    }

    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub(super) fn view(&self) -> AppView {
        let mut services: Vec<String> = self.services.iter().map(ToString::to_string).collect();
        services.sort();
        AppView {
            id: self.id,
            uuid: self.app.uuid.clone(),
            name: self.app.name.clone(),
            ip: self.app.ip.clone(),
            remote: self
                .app
                .remote
                .map(|remote| remote.to_string())
                .unwrap_or_default(),
            transport: self.app.transport,
            sdk: self.app.sdk.clone(),
            connected_at_ms: self.app.connected_at_ms,
            services,
            metadata: self.app.metadata.clone(),
            in_flight: self.in_flight(),
        }
    }
}

/// One call counted against an instance; uncounted when dropped.
#[derive(Debug)]
pub struct Load<H>(Arc<Instance<H>>);

impl<H> Drop for Load<H> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
