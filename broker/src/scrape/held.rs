//! What the scraper remembers: who is being asked, and the pages of the last moment.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{Scraped, Unscraped};
use crate::directory::Instance;

pub(super) type Outcome = Result<Arc<Scraped>, Unscraped>;
/// Where the outcome of a flight will be.
pub(super) type Flight = watch::Receiver<Option<Outcome>>;

#[derive(Debug, Default)]
pub(super) struct Held {
    flights: HashMap<String, Flight>,
    pages: HashMap<String, Entry>,
    /// When pages were put in, oldest first; one that was replaced since has another time.
    order: VecDeque<(Instant, String)>,
    bytes: usize,
    /// Which connections somebody knows how to ask, under this generation of plugins.
    known: HashMap<u64, bool>,
    generation: u64,
}

#[derive(Debug)]
struct Entry {
    since: Instant,
    /// The connection it was read over.
    connected_at_ms: u64,
    scraped: Arc<Scraped>,
}

impl Held {
    /// A page that is not older than `age`, of this connection of the application.
    pub(super) fn page(
        &self,
        uuid: &str,
        connected_at_ms: u64,
        age: Duration,
    ) -> Option<Arc<Scraped>> {
        let entry = self.pages.get(uuid)?;
        let fresh = entry.since.elapsed() < age && entry.connected_at_ms == connected_at_ms;
        fresh.then(|| Arc::clone(&entry.scraped))
    }

    pub(super) fn flight(&self, uuid: &str) -> Option<Flight> {
        self.flights.get(uuid).cloned()
    }

    pub(super) fn took_off(&mut self, uuid: &str, flight: Flight) {
        self.flights.insert(uuid.to_owned(), flight);
    }

    pub(super) fn landed(&mut self, uuid: &str) {
        self.flights.remove(uuid);
    }

    /// Whether somebody knows how to ask this connection, if that is remembered.
    pub(super) fn known<H>(&self, instance: &Instance<H>, generation: u64) -> Option<bool> {
        let same = self.generation == generation;
        self.known
            .get(&instance.generation)
            .copied()
            .filter(|_| same)
    }

    pub(super) fn learned<H>(&mut self, instance: &Instance<H>, generation: u64, known: bool) {
        if self.generation != generation {
            self.generation = generation;
            self.known.clear();
        }
        self.known.insert(instance.generation, known);
    }

    /// Forgets what was remembered of connections other than these.
    pub(super) fn gone<H>(&mut self, connected: &[Arc<Instance<H>>]) {
        // Most often nobody has gone.
        if self.known.len() > connected.len() {
            let connected: HashSet<u64> = connected.iter().map(|it| it.generation).collect();
            self.known.retain(|known, _| connected.contains(known));
        }
    }

    /// Keeps a page; what is too old goes, and what is oldest when there is too much.
    pub(super) fn keep(
        &mut self,
        uuid: &str,
        connected_at_ms: u64,
        scraped: Arc<Scraped>,
        age: Duration,
        bytes_max: usize,
    ) {
        let since = Instant::now();
        self.bytes += scraped.page.len();
        let entry = Entry {
            since,
            connected_at_ms,
            scraped,
        };
        if let Some(replaced) = self.pages.insert(uuid.to_owned(), entry) {
            self.bytes -= replaced.scraped.page.len();
        }
        self.order.push_back((since, uuid.to_owned()));
        while let Some((at, _)) = self.order.front()
            && (at.elapsed() >= age || self.bytes > bytes_max)
        {
            let Some((at, uuid)) = self.order.pop_front() else {
                break;
            };
            if self.pages.get(&uuid).is_some_and(|entry| entry.since == at)
                && let Some(entry) = self.pages.remove(&uuid)
            {
                self.bytes -= entry.scraped.page.len();
            }
        }
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        (self.flights.len(), self.pages.len(), self.bytes)
    }
}
