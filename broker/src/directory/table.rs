//! The table behind the directory: one short lock for changes, slots for readers.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use jackfield_rsocket::metadata::Service;
use thiserror::Error;

use super::{App, AppView, Instance, Pick, ServiceView, pick};

/// A slot is swapped at most once in this time.
pub const COALESCE: Duration = Duration::from_millis(2);

/// Why an application is not let in.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RegisterError {
    #[error("another application with uuid {0} is connected")]
    UuidTaken(String),
}

impl RegisterError {
    pub fn uuid(&self) -> &str {
        match self {
            Self::UuidTaken(uuid) => uuid,
        }
    }
}

/// An application that was let in.
#[derive(Debug)]
pub struct Registered<H> {
    pub instance: Arc<Instance<H>>,
    /// Its own earlier connection, which gave way.
    pub earlier: Option<Arc<Instance<H>>>,
}

/// One service: its name and who offers it now.
pub struct Slot<H> {
    service: Service,
    id: i32,
    candidates: ArcSwap<Vec<Arc<Instance<H>>>>,
    turn: AtomicUsize,
}

impl<H> Slot<H> {
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Whether nobody offers the service.
    pub fn is_empty(&self) -> bool {
        self.candidates.load().is_empty()
    }

    pub fn candidates(&self) -> Guard<Arc<Vec<Arc<Instance<H>>>>> {
        self.candidates.load()
    }

    /// One instance for one call; see [`pick`].
    pub fn pick(
        &self,
        by: Pick<'_>,
        usable: impl Fn(&Instance<H>) -> bool,
    ) -> Option<Arc<Instance<H>>> {
        pick(&self.candidates.load(), &self.turn, by, usable).cloned()
    }
}

/// The handle. Cheap to share; see the module for what it promises.
pub struct Directory<H> {
    table: Mutex<Table<H>>,
    dirty: Condvar,
    /// Counts changes of the set of slots, not of what is in them.
    generation: AtomicU64,
}

struct Table<H> {
    slots: HashMap<String, Arc<Slot<H>>>,
    /// Service id to keys; more than one when hashes collide.
    by_id: HashMap<i32, Vec<String>>,
    by_uuid: HashMap<String, Arc<Instance<H>>>,
    members: HashMap<String, Vec<Arc<Instance<H>>>>,
    dirty: HashSet<String>,
    next_generation: u64,
    closed: bool,
}

impl<H> Default for Directory<H> {
    fn default() -> Self {
        let table = Table {
            slots: HashMap::new(),
            by_id: HashMap::new(),
            by_uuid: HashMap::new(),
            members: HashMap::new(),
            dirty: HashSet::new(),
            next_generation: 1,
            closed: false,
        };
        Self {
            table: Mutex::new(table),
            dirty: Condvar::new(),
            generation: AtomicU64::new(0),
        }
    }
}

impl<H> Directory<H> {
    fn lock(&self) -> MutexGuard<'_, Table<H>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes when a service appears or disappears: what was looked up before is to be looked up
    /// again.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Lets an application in. One with the same uuid of the same owner (nobody known: from the same
    /// address) is its own earlier connection and gives way.
    pub fn register(
        &self,
        app: App,
        services: Vec<Service>,
        link: H,
    ) -> Result<Registered<H>, RegisterError> {
        let mut table = self.lock();
        let earlier = table.by_uuid.get(&app.uuid).cloned();
        if earlier
            .as_ref()
            .is_some_and(|earlier| !earlier.app.is_same_owner(&app))
        {
            return Err(RegisterError::UuidTaken(app.uuid));
        }
        let generation = table.next_generation;
        table.next_generation += 1;
        let mut services = services;
        services.sort();
        services.dedup();
        let instance = Arc::new(Instance::new(generation, app, services, link));
        // The new one first, so that a service both offer never looks like nobody's.
        for service in instance.services() {
            self.add(&mut table, service, &instance);
        }
        if let Some(earlier) = &earlier {
            self.remove(&mut table, earlier);
            table.publish();
        }
        table
            .by_uuid
            .insert(instance.app.uuid.clone(), instance.clone());
        drop(table);
        self.dirty.notify_one();
        Ok(Registered { instance, earlier })
    }

    /// Takes an application out; a later connection of the same uuid stays.
    pub fn withdraw(&self, instance: &Arc<Instance<H>>) {
        self.remove(&mut self.lock(), instance);
        self.dirty.notify_one();
    }

    /// Nothing is picked there any more, though the application stays connected.
    pub fn hide(&self, instance: &Arc<Instance<H>>) {
        instance.leave();
    }

    fn add(&self, table: &mut Table<H>, service: &Service, instance: &Arc<Instance<H>>) {
        let key = service.key().into_owned();
        if !table.slots.contains_key(&key) {
            // The first instance is published at once: whoever waited for the service may call.
            let slot = Arc::new(Slot {
                service: service.clone(),
                id: service.id(),
                candidates: ArcSwap::from_pointee(vec![instance.clone()]),
                turn: AtomicUsize::new(0),
            });
            table.by_id.entry(slot.id).or_default().push(key.clone());
            table.slots.insert(key.clone(), slot);
            self.generation.fetch_add(1, Ordering::Release);
        } else {
            table.dirty.insert(key.clone());
        }
        table.members.entry(key).or_default().push(instance.clone());
    }

    fn remove(&self, table: &mut Table<H>, instance: &Arc<Instance<H>>) {
        instance.leave();
        let held = table.by_uuid.get(&instance.app.uuid);
        if held.is_none_or(|held| held.generation != instance.generation) {
            return;
        }
        table.by_uuid.remove(&instance.app.uuid);
        for service in instance.services() {
            let key = service.key().into_owned();
            let Some(members) = table.members.get_mut(&key) else {
                continue;
            };
            members.retain(|member| member.generation != instance.generation);
            if members.is_empty() {
                table.forget(&key);
                self.generation.fetch_add(1, Ordering::Release);
            } else {
                table.dirty.insert(key);
            }
        }
    }

    /// The slot of a service, if anybody offers it.
    pub fn find(&self, key: &str) -> Option<Arc<Slot<H>>> {
        self.lock().slots.get(key).cloned()
    }

    /// The slot of a service id, if exactly one service has it.
    pub fn find_by_id(&self, id: i32) -> Option<Arc<Slot<H>>> {
        let table = self.lock();
        match table.by_id.get(&id).map(Vec::as_slice) {
            Some([key]) => table.slots.get(key).cloned(),
            _ => None,
        }
    }

    /// One application, if it is connected.
    pub fn app(&self, uuid: &str) -> Option<AppView> {
        let table = self.lock();
        table.by_uuid.get(uuid).map(|instance| instance.view())
    }

    pub fn apps(&self) -> Vec<AppView> {
        let mut apps: Vec<AppView> = self
            .lock()
            .by_uuid
            .values()
            .map(|instance| instance.view())
            .collect();
        apps.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
        apps
    }

    pub fn services(&self) -> Vec<ServiceView> {
        let table = self.lock();
        let view = |(key, slot): (&String, &Arc<Slot<H>>)| ServiceView {
            key: key.clone(),
            group: slot.service.group().to_owned(),
            service: slot.service.service().to_owned(),
            version: slot.service.version().to_owned(),
            id: slot.id,
            instances: table.members.get(key).map_or_else(Vec::new, |members| {
                members
                    .iter()
                    .map(|member| member.app.uuid.clone())
                    .collect()
            }),
        };
        let mut services: Vec<ServiceView> = table.slots.iter().map(view).collect();
        services.sort_by(|a, b| a.key.cmp(&b.key));
        services
    }

    /// The groups and versions in which a service of this name is offered, in their order; at most so many. Looks at
    /// every service there is.
    pub fn offers(&self, name: &str, most: usize) -> Vec<Service> {
        let table = self.lock();
        let named = table.slots.values().map(|slot| &slot.service);
        let mut offers: Vec<Service> = named
            .filter(|service| service.service() == name)
            .cloned()
            .collect();
        drop(table);
        offers.sort();
        offers.truncate(most);
        offers
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
    fn publish(&mut self) -> usize {
        let mut swapped = 0;
        for key in std::mem::take(&mut self.dirty) {
            if let (Some(slot), Some(members)) = (self.slots.get(&key), self.members.get(&key)) {
                slot.candidates.store(Arc::new(members.clone()));
                swapped += 1;
            }
        }
        swapped
    }

    fn forget(&mut self, key: &str) {
        self.members.remove(key);
        self.dirty.remove(key);
        let Some(slot) = self.slots.remove(key) else {
            return;
        };
        slot.candidates.store(Arc::new(Vec::new()));
        if let Some(keys) = self.by_id.get_mut(&slot.id) {
            keys.retain(|held| held != key);
            if keys.is_empty() {
                self.by_id.remove(&slot.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::IpAddr};

    use super::*;
    use crate::directory::{Balance, Endpoint};

    fn app(uuid: &str, ip: &str) -> App {
        App {
            uuid: uuid.into(),
            name: format!("app-{uuid}"),
            ip: ip.into(),
            remote: Some(IpAddr::from([127, 0, 0, 1])),
            transport: "tcp",
            sdk: None,
            power: 1,
            metadata: BTreeMap::from([("zone".into(), format!("z{ip}"))]),
            connected_at_ms: 0,
            owner: None,
        }
    }

    fn service(key: &str) -> Service {
        Service::parse(key).unwrap()
    }

    fn by(endpoint: &str, random: u64) -> Pick<'_> {
        Pick {
            endpoint: Endpoint(endpoint),
            balance: Balance::LeastLoaded,
            random,
        }
    }

    #[test]
    fn registering_offers_and_withdrawing_hides() {
        let directory = Directory::default();
        let one = directory
            .register(app("1", "a"), vec![service("g!s:1")], 1)
            .unwrap()
            .instance;
        let before = directory.generation();
        let slot = directory.find("g!s:1").unwrap();
        assert_eq!(slot.pick(by("", 0), |_| true).unwrap().link, 1);
        assert_eq!(
            directory
                .find_by_id(service("g!s:1").id())
                .unwrap()
                .service(),
            slot.service()
        );

        let two = directory
            .register(app("2", "b"), vec![service("g!s:1")], 2)
            .unwrap()
            .instance;
        assert_eq!(
            (directory.generation(), slot.candidates().len()),
            (before, 1)
        );
        assert_eq!((directory.publish(), directory.publish()), (1, 0));
        assert_eq!(slot.candidates().len(), 2);

        // Gone is not picked, though the slot was not swapped yet.
        directory.withdraw(&one);
        for random in 0..10 {
            assert_eq!(slot.pick(by("", random), |_| true).unwrap().link, 2);
        }
        directory.withdraw(&two);
        assert!(slot.is_empty() && directory.find("g!s:1").is_none());
        assert!(directory.find_by_id(service("g!s:1").id()).is_none());
        assert_ne!(directory.generation(), before);
        assert!(directory.apps().is_empty() && directory.services().is_empty());
    }

    #[test]
    fn a_uuid_gives_way_to_the_same_address_only() {
        let directory = Directory::default();
        let old = directory
            .register(app("1", "a"), vec![service("s")], 1)
            .unwrap()
            .instance;
        let new = directory
            .register(app("1", "a"), vec![service("s")], 2)
            .unwrap()
            .instance;
        assert_eq!(
            directory
                .find("s")
                .unwrap()
                .pick(by("", 0), |_| true)
                .unwrap()
                .link,
            2
        );
        // The late close of the old connection does not take the new one out.
        directory.withdraw(&old);
        assert_eq!(directory.apps().len(), 1);
        assert!(!new.is_gone());

        let stranger = App {
            remote: Some(IpAddr::from([127, 0, 0, 9])),
            ..app("1", "a")
        };
        let refused = directory.register(stranger, vec![], 3).map(|_| ());
        assert_eq!(refused, Err(RegisterError::UuidTaken("1".into())));
    }

    #[test]
    fn endpoints_choose_among_all_that_match() {
        let directory = Directory::default();
        for (uuid, ip) in [("1", "a"), ("2", "b"), ("3", "b")] {
            directory
                .register(app(uuid, ip), vec![service("s")], uuid)
                .unwrap();
        }
        directory.publish();
        let slot = directory.find("s").unwrap();
        let id = format!("id:{}", slot.candidates()[0].id);
        let picks = |endpoint: &str| {
            let mut links: Vec<&str> = (0..20)
                .filter_map(|random| slot.pick(by(endpoint, random), |_| true))
                .map(|instance| instance.link)
                .collect();
            links.sort_unstable();
            links.dedup();
            links.join(" ")
        };
        for (endpoint, expected) in [
            ("", "1 2 3"),
            ("ip:a", "1"),
            ("ip:b", "2 3"),
            ("ip:127.0.0.1", "1 2 3"),
            ("uuid:2", "2"),
            ("id:3", "3"),
            (id.as_str(), "1"),
            ("zone:zb", "2 3"),
            ("zone:zb,uuid:3", "3"),
            ("zone:zb, uuid:1", ""),
            ("zone:zc", ""),
            ("nonsense", ""),
        ] {
            assert_eq!(picks(endpoint), expected, "{endpoint}");
        }
    }

    #[test]
    fn load_and_weight_steer_picks() {
        let directory = Directory::default();
        let light = App {
            power: 1,
            ..app("1", "a")
        };
        let heavy = App {
            power: 3,
            ..app("2", "b")
        };
        directory.register(light, vec![service("s")], 1).unwrap();
        directory.register(heavy, vec![service("s")], 2).unwrap();
        directory.publish();
        let slot = directory.find("s").unwrap();
        let mut loads = Vec::new();
        let mut count = [0, 0, 0];
        for random in 0..40 {
            let picked = slot.pick(by("", random), |_| true).unwrap();
            count[picked.link] += 1;
            loads.push(picked.begin());
        }
        assert_eq!(count, [0, 10, 30]);
        drop(loads);
        assert_eq!(slot.candidates()[0].in_flight(), 0);

        let balance = Balance::RoundRobin;
        let turn = |random| Pick {
            endpoint: Endpoint(""),
            balance,
            random,
        };
        let links: Vec<usize> = (0..4)
            .map(|random| slot.pick(turn(random), |_| true).unwrap().link)
            .collect();
        assert_eq!(links, [1, 2, 1, 2]);

        let balance = Balance::Random;
        let chance = |random| Pick {
            endpoint: Endpoint(""),
            balance,
            random,
        };
        let ones =
            (0..400).filter(|random| slot.pick(chance(*random), |_| true).unwrap().link == 1);
        assert_eq!(ones.count(), 100);
        assert!(
            slot.pick(chance(7), |instance| instance.link == 9)
                .is_none()
        );
    }

    /// Two names with one hash: the number alone finds neither.
    #[test]
    fn colliding_ids_find_nothing() {
        let directory = Directory::default();
        directory
            .register(app("1", "a"), vec![service("s"), service("t")], 1)
            .unwrap();
        let id = service("s").id();
        directory
            .lock()
            .by_id
            .insert(id, vec!["s".into(), "t".into()]);
        assert!(directory.find_by_id(id).is_none());
        assert!(directory.find("s").is_some() && directory.find("t").is_some());
    }
}
