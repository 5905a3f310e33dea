use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use jackfield_rsocket::metadata::{Service, murmur3};

use super::{AppView, Ports, Status};

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
    /// Weight against other instances when it registers; at least 1.
    pub power: u32,
    pub metadata: BTreeMap<String, String>,
    pub connected_at_ms: u64,
    /// The principal it belongs to; none if nobody knows.
    pub owner: Option<String>,
    pub client: Client,
}

/// What a client library of the archived broker says of itself beyond that.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Client {
    /// A part of the broker: it shows in no list.
    pub builtin: bool,
    /// It is known to bear METADATA_PUSH.
    pub bears_push: bool,
    /// Its responder must be told how data is encoded.
    pub wants_encoding: bool,
    /// It reaches the brokers from outside their network.
    pub internet: bool,
    /// The brokers it was configured with.
    pub brokers: Vec<String>,
    /// Services whose providers it calls without the broker.
    pub p2p: Vec<Service>,
    pub ports: Ports,
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
    state: Mutex<State>,
    power: AtomicU32,
    /// It is out of service: never picked, though its services are still known.
    resting: AtomicBool,
    gone: AtomicBool,
    in_flight: AtomicU32,
}

/// What an application may change while it is connected. The directory's table writes it.
#[derive(Debug)]
struct State {
    services: BTreeSet<Service>,
    status: Status,
    ports: Ports,
}

impl<H> Instance<H> {
    pub(super) fn new(generation: u64, app: App, services: Vec<Service>, link: H) -> Self {
        // The archived broker hashes "credentials:uuid"; without authentication there are none.
        let id = murmur3(format!(":{}", app.uuid).as_bytes());
        let services: BTreeSet<Service> = services.into_iter().collect();
        let status = match services.is_empty() {
            true => Status::Connected,
            false => Status::Serving,
        };
        Self {
            generation,
            id,
            state: Mutex::new(State {
                services,
                status,
                ports: app.client.ports.clone(),
            }),
            power: AtomicU32::new(app.power.max(1)),
            app,
            link,
            resting: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it publishes, in service or not.
    pub fn services(&self) -> BTreeSet<Service> {
        self.state().services.clone()
    }

    pub fn status(&self) -> Status {
        self.state().status
    }

    /// Where it can be called without the broker.
    pub fn ports(&self) -> Ports {
        self.state().ports.clone()
    }

    /// Weight against other instances; at least 1.
    pub fn power(&self) -> u32 {
        self.power.load(Ordering::Relaxed)
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

    /// Whether it takes no new calls, whatever slots it is still in.
    pub fn is_away(&self) -> bool {
        self.is_gone() || self.resting.load(Ordering::Acquire)
    }

    pub(super) fn leave(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub(super) fn set_power(&self, power: u32) {
        self.power.store(power.max(1), Ordering::Relaxed);
    }

    pub(super) fn set_ports(&self, ports: Ports) {
        self.state().ports = ports;
    }

    pub(super) fn set_status(&self, status: Status) {
        self.state().status = status;
        self.resting.store(status.is_resting(), Ordering::Release);
    }

    /// Adds services. Returns those that are new.
    pub(super) fn publish(&self, services: Vec<Service>) -> Vec<Service> {
        let mut state = self.state();
        let fresh = |service: &Service| state.services.insert(service.clone());
        services.into_iter().filter(fresh).collect()
    }

    /// Takes services away. Returns those that were there.
    pub(super) fn conceal(&self, services: &[Service]) -> Vec<Service> {
        let mut state = self.state();
        let known = |service: &&Service| state.services.remove(*service);
        services.iter().filter(known).cloned().collect()
    }

    pub(super) fn view(&self) -> AppView {
        let mut services: Vec<String> = self.services().iter().map(ToString::to_string).collect();
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
            status: self.status(),
            power: self.power(),
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
