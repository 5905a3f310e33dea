//! The table behind the directory: one short lock for changes, slots for readers.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jackfield_rsocket::metadata::Service;
use thiserror::Error;

use super::{App, AppView, Instance, Ports, ServiceView, Slot, Status, names::Names};

/// A slot that gains candidates is swapped at most once in this time.
pub const COALESCE: Duration = Duration::from_millis(2);

/// Services of one application. Registering takes the directory's lock, so it must stay short.
pub const SERVICES_MAX: usize = 1024;

/// Why an application, or what it wants to publish, is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegisterError {
    #[error("another application with uuid {0} is connected")]
    UuidTaken(String),
    #[error("{0} services, at most {SERVICES_MAX} are taken")]
    TooManyServices(usize),
}

/// An application that was let in.
#[derive(Debug)]
pub struct Registered<H> {
    pub instance: Arc<Instance<H>>,
    /// Its own earlier connection, which gave way.
    pub earlier: Option<Arc<Instance<H>>>,
}

/// The handle. Cheap to share; see the module for what it promises.
pub struct Directory<H> {
    names: Names<H>,
    table: Mutex<Table<H>>,
    dirty: Condvar,
    /// Counts changes of the set of slots, not of what is in them.
    generation: AtomicU64,
    /// Counts all changes.
    version: AtomicU64,
}

struct Table<H> {
    by_uuid: HashMap<String, Arc<Instance<H>>>,
    /// Who offers each service; the slot's candidates follow.
    members: HashMap<Box<str>, Membership<H>>,
    /// The groups and versions in which a service is offered, by its name.
    services: HashMap<Box<str>, Vec<Service>>,
    dirty: HashSet<Box<str>>,
    next_generation: u64,
    closed: bool,
}

struct Membership<H> {
    slot: Arc<Slot<H>>,
    instances: Vec<Arc<Instance<H>>>,
}

impl<H> Default for Directory<H> {
    fn default() -> Self {
        let table = Table {
            by_uuid: HashMap::new(),
            members: HashMap::new(),
            services: HashMap::new(),
            dirty: HashSet::new(),
            next_generation: 1,
            closed: false,
        };
        Self {
            names: Names::default(),
            table: Mutex::new(table),
            dirty: Condvar::new(),
            generation: AtomicU64::new(0),
            version: AtomicU64::new(0),
        }
    }
}

impl<H> Directory<H> {
    fn lock(&self) -> MutexGuard<'_, Table<H>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes when a service appears or disappears: what was not found before may be found now, and
    /// the other way round.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Changes with everything that the lists here would show.
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Lets an application in. One with the same uuid of the same owner (nobody known: from the same
    /// address) is its own earlier connection and gives way.
    pub fn register(
        &self,
        app: App,
        services: Vec<Service>,
        link: H,
    ) -> Result<Registered<H>, RegisterError> {
        if services.len() > SERVICES_MAX {
            return Err(RegisterError::TooManyServices(services.len()));
        }
        let mut table = self.lock();
        let earlier = table.by_uuid.get(&app.uuid).cloned();
        if earlier
            .as_ref()
            .is_some_and(|earlier| !earlier.app.is_same_owner(&app))
        {
            return Err(RegisterError::UuidTaken(app.uuid));
        }
        let services = table.not_ours(&app, services);
        let generation = table.next_generation;
        table.next_generation += 1;
        let instance = Arc::new(Instance::new(generation, app, services, link));
        // The new one first, so that a service both offer never looks like nobody's.
        for service in &instance.services() {
            self.add(&mut table, service, &instance);
        }
        if let Some(earlier) = &earlier {
            self.remove(&mut table, earlier);
            table.publish();
        }
        table
            .by_uuid
            .insert(instance.app.uuid.clone(), instance.clone());
        self.changed(table);
        Ok(Registered { instance, earlier })
    }

    /// Takes an application out; a later connection of the same uuid stays.
    pub fn withdraw(&self, instance: &Arc<Instance<H>>) {
        let mut table = self.lock();
        self.remove(&mut table, instance);
        self.changed(table);
    }

    /// Nothing is picked there any more, though the application stays connected.
    pub fn hide(&self, instance: &Arc<Instance<H>>) {
        instance.leave();
        self.version.fetch_add(1, Ordering::Release);
    }

    /// An application that is connected publishes more, and serves from now on.
    pub fn expose(
        &self,
        instance: &Arc<Instance<H>>,
        services: Vec<Service>,
    ) -> Result<(), RegisterError> {
        let mut table = self.lock();
        if !table.holds(instance) {
            return Ok(());
        }
        let services = table.not_ours(&instance.app, services);
        let mut all = instance.services();
        all.extend(services.iter().cloned());
        if all.len() > SERVICES_MAX {
            return Err(RegisterError::TooManyServices(all.len()));
        }
        let fresh = instance.publish(services);
        let rested = instance.status().is_resting();
        instance.set_status(Status::Serving);
        let offer = if rested {
            all
        } else {
            fresh.into_iter().collect()
        };
        for service in &offer {
            self.add(&mut table, service, instance);
        }
        self.changed(table);
        Ok(())
    }

    /// An application that is connected publishes less.
    pub fn conceal(&self, instance: &Arc<Instance<H>>, services: &[Service]) {
        let mut table = self.lock();
        if !table.holds(instance) {
            return;
        }
        for service in instance.conceal(services) {
            self.take_out(&mut table, &service, instance, true);
        }
        if instance.services().is_empty() && instance.status() == Status::Serving {
            instance.set_status(Status::Connected);
        }
        self.changed(table);
    }

    /// An application takes calls, or does not, from now on.
    pub fn set_status(&self, instance: &Arc<Instance<H>>, status: Status) {
        let mut table = self.lock();
        let before = instance.status();
        if !table.holds(instance) || before == status {
            return;
        }
        instance.set_status(status);
        let services = instance.services();
        match (before.is_resting(), status.is_resting()) {
            (true, false) => services
                .iter()
                .for_each(|service| self.add(&mut table, service, instance)),
            (false, true) => services
                .iter()
                .for_each(|service| self.take_out(&mut table, service, instance, false)),
            _ => {}
        }
        self.changed(table);
    }

    /// The weight of an application from the next pick on.
    pub fn set_power(&self, instance: &Arc<Instance<H>>, power: u32) {
        instance.set_power(power);
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Where an application can be called without the broker.
    pub fn set_ports(&self, instance: &Arc<Instance<H>>, ports: Ports) {
        instance.set_ports(ports);
        self.version.fetch_add(1, Ordering::Release);
    }

    fn changed(&self, table: MutexGuard<'_, Table<H>>) {
        drop(table);
        self.version.fetch_add(1, Ordering::Release);
        self.dirty.notify_one();
    }

    fn add(&self, table: &mut Table<H>, service: &Service, instance: &Arc<Instance<H>>) {
        let key = service.key();
        if let Some(membership) = table.members.get_mut(key.as_ref()) {
            membership.instances.push(instance.clone());
            table.dirty.insert(key.as_ref().into());
            return;
        }
        // The first instance is published at once: whoever waited for the service may call.
        let slot = Arc::new(Slot::new(service, instance));
        self.names.enter(&slot);
        if self.names.collides(slot.id()) {
            tracing::warn!(
                service = slot.key(),
                id = slot.id(),
                "another service has the same number; both are found by name only"
            );
        }
        let membership = Membership {
            slot,
            instances: vec![instance.clone()],
        };
        table.members.insert(key.as_ref().into(), membership);
        let named = table.services.entry(service.service().into());
        named.or_default().push(service.clone());
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// `now`: the slot is swapped at once, because the instance itself does not say that it is away.
    fn take_out(
        &self,
        table: &mut Table<H>,
        service: &Service,
        instance: &Arc<Instance<H>>,
        now: bool,
    ) {
        let key = service.key();
        let Some(membership) = table.members.get_mut(key.as_ref()) else {
            return;
        };
        membership
            .instances
            .retain(|member| member.generation != instance.generation);
        if membership.instances.is_empty() {
            membership.slot.retire();
            self.names.leave(&membership.slot);
            table.members.remove(key.as_ref());
            table.forget(service);
            table.dirty.remove(key.as_ref());
            self.generation.fetch_add(1, Ordering::Release);
        } else if now {
            membership.slot.swap(membership.instances.clone());
            table.dirty.remove(key.as_ref());
        } else {
            table.dirty.insert(key.as_ref().into());
        }
    }

    fn remove(&self, table: &mut Table<H>, instance: &Arc<Instance<H>>) {
        instance.leave();
        if !table.holds(instance) {
            return;
        }
        table.by_uuid.remove(&instance.app.uuid);
        for service in &instance.services() {
            self.take_out(table, service, instance, false);
        }
    }

    /// The slot of a service, if anybody offers it.
    pub fn find(&self, key: &str) -> Option<Arc<Slot<H>>> {
        self.names.find(key)
    }

    /// Whether anybody offers a service, in whatever group and version.
    pub fn is_offered(&self, service: &str) -> bool {
        self.lock().services.contains_key(service)
    }

    /// The groups and versions in which a service of this name is offered, in their order; at most so many.
    pub fn offers(&self, name: &str, most: usize) -> Vec<Service> {
        let mut offers = self.lock().services.get(name).cloned().unwrap_or_default();
        offers.sort();
        offers.truncate(most);
        offers
    }

    /// The slot of a service id, if exactly one service has it.
    pub fn find_by_id(&self, id: i32) -> Option<Arc<Slot<H>>> {
        self.names.find_by_id(id)
    }

    /// One application, if it is connected.
    pub fn instance(&self, uuid: &str) -> Option<Arc<Instance<H>>> {
        let table = self.lock();
        let instance = table.by_uuid.get(uuid);
        instance.filter(|it| !it.app.client.builtin).cloned()
    }

    /// Every application that is connected, but for parts of the broker; in no order.
    pub fn instances(&self) -> Vec<Arc<Instance<H>>> {
        let table = self.lock();
        let others = table.by_uuid.values().filter(|it| !it.app.client.builtin);
        others.cloned().collect()
    }

    pub fn app(&self, uuid: &str) -> Option<AppView> {
        self.instance(uuid).map(|instance| instance.view())
    }

    pub fn apps(&self) -> Vec<AppView> {
        let instances = self.instances();
        let mut apps: Vec<AppView> = instances.iter().map(|instance| instance.view()).collect();
        apps.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
        apps
    }

    /// How many applications are connected, and how many services they offer; without parts of the broker.
    pub fn sizes(&self) -> (usize, usize) {
        let table = self.lock();
        let apps = table.by_uuid.values().filter(|it| !it.app.client.builtin);
        let services = table.members.values().filter(|it| !it.is_builtin());
        (apps.count(), services.count())
    }

    pub fn services(&self) -> Vec<ServiceView> {
        let table = self.lock();
        let others = table.members.values().filter(|it| !it.is_builtin());
        let held = |it: &Membership<H>| (it.slot.clone(), it.instances.clone());
        let held: Vec<_> = others.map(held).collect();
        // Of a hundred thousand the texts take a while, in which others want to register.
        drop(table);
        let view = |(slot, instances): (Arc<Slot<H>>, Vec<Arc<Instance<H>>>)| ServiceView {
            key: slot.key().to_owned(),
            group: slot.service().group().to_owned(),
            service: slot.service().service().to_owned(),
            version: slot.service().version().to_owned(),
            id: slot.id(),
            shares_id: self.names.collides(slot.id()),
            instances: instances.iter().map(|it| it.app.uuid.clone()).collect(),
        };
        let mut services: Vec<ServiceView> = held.into_iter().map(view).collect();
        services.sort_by(|a, b| a.key.cmp(&b.key));
        services
    }

    /// Swaps the slots that changed. Returns how many.
    pub fn publish(&self) -> usize {
        self.lock().publish()
    }

    /// Publishes changes, at most once per [`COALESCE`], until [`Self::close`]: the work of one
    /// thread that the server owns.
    pub fn publish_until_closed(&self) {
        loop {
            {
                let mut table = self.lock();
                while table.dirty.is_empty() && !table.closed {
                    table = self
                        .dirty
                        .wait(table)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                if table.closed {
                    return;
                }
            }
            self.publish();
            std::thread::sleep(COALESCE);
        }
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.dirty.notify_all();
    }
}

impl<H> Table<H> {
    /// Whether an instance is the connection that its application has now.
    fn holds(&self, instance: &Instance<H>) -> bool {
        let held = self.by_uuid.get(&instance.app.uuid);
        held.is_some_and(|held| held.generation == instance.generation)
    }

    /// Nobody offers a service any more.
    fn forget(&mut self, service: &Service) {
        if let Some(named) = self.services.get_mut(service.service()) {
            named.retain(|offered| offered != service);
            if named.is_empty() {
                self.services.remove(service.service());
            }
        }
    }

    /// What an application may publish of `services`: what the broker itself answers, nobody else does.
    fn not_ours(&self, app: &App, mut services: Vec<Service>) -> Vec<Service> {
        let ours = |service: &Service| {
            let membership = self.members.get(service.key().as_ref());
            membership.is_some_and(Membership::is_builtin)
        };
        services.retain(|service| app.client.builtin || !ours(service));
        services
    }

    fn publish(&mut self) -> usize {
        let mut swapped = 0;
        for key in std::mem::take(&mut self.dirty) {
            if let Some(membership) = self.members.get(&key) {
                membership.slot.swap(membership.instances.clone());
                swapped += 1;
            }
        }
        swapped
    }
}

impl<H> Membership<H> {
    fn is_builtin(&self) -> bool {
        self.instances.iter().all(|it| it.app.client.builtin)
    }
}
