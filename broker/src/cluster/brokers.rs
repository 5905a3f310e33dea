use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwap;

use crate::directory::Client;

/// The brokers that clients are told of, and how this one is called among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lists {
    /// `[cluster] brokers`.
    pub inside: Vec<String>,
    /// `[cluster] brokers-internet`.
    pub outside: Vec<String>,
    /// What this broker's own listeners advertise.
    pub own_inside: Vec<String>,
    pub own_outside: Vec<String>,
}

/// The lists in effect.
#[derive(Debug)]
pub struct Brokers {
    lists: ArcSwap<Lists>,
    version: AtomicU64,
    /// Where this broker listens: told when nothing else is known.
    listens: OnceLock<Vec<String>>,
}

impl Brokers {
    pub fn new(lists: Lists) -> Self {
        Self {
            lists: ArcSwap::from_pointee(lists),
            version: AtomicU64::new(0),
            listens: OnceLock::new(),
        }
    }

    /// For the server, once: where its listeners are.
    pub fn listens(&self, uris: Vec<String>) {
        let _ = self.listens.set(uris);
    }

    pub fn set(&self, lists: Lists) {
        self.lists.store(Arc::new(lists));
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// What a client is told when it asks: the configured list of its network, else the brokers that it was
    /// configured with itself, so that it never loses those it has; else this one.
    pub fn for_client(&self, client: Option<&Client>) -> Vec<String> {
        let told = client.map(|client| self.to_push(client, false));
        let known = client.map(|client| client.brokers.clone());
        let anybody = || self.lists.load().list(false, false);
        [
            told.unwrap_or_else(anybody),
            known.unwrap_or_default(),
            self.listens.get().cloned().unwrap_or_default(),
        ]
        .into_iter()
        .find(|list| !list.is_empty())
        .unwrap_or_default()
    }

    /// What a client is told unasked; nothing, when nothing is configured for its network. `without_us`: this broker is
    /// about to leave.
    pub(super) fn to_push(&self, client: &Client, without_us: bool) -> Vec<String> {
        self.lists.load().list(client.internet, without_us)
    }
}

impl Lists {
    fn list(&self, internet: bool, without_us: bool) -> Vec<String> {
        let (all, own) = match internet {
            true => (&self.outside, &self.own_outside),
            false => (&self.inside, &self.own_inside),
        };
        let mut list = all.clone();
        match without_us {
            true => list.retain(|uri| !own.contains(uri)),
            false => list.extend(own.iter().cloned()),
        }
        list.sort();
        list.dedup();
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &[&str]) -> Vec<String> {
        list.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn who_is_told_what() {
        let lists = Lists {
            inside: texts(&["tcp://b1:9999", "tcp://b2:9999"]),
            outside: texts(&["wss://b.example"]),
            own_inside: texts(&["tcp://b1:9999"]),
            own_outside: texts(&["wss://us.example"]),
        };
        let brokers = Brokers::new(lists);
        brokers.listens(texts(&["tcp://127.0.0.1:9999"]));
        let inside = Client::default();
        let outside = Client {
            internet: true,
            ..Client::default()
        };
        assert_eq!(brokers.for_client(None), ["tcp://b1:9999", "tcp://b2:9999"]);
        assert_eq!(
            brokers.for_client(Some(&inside)),
            ["tcp://b1:9999", "tcp://b2:9999"]
        );
        assert_eq!(
            brokers.for_client(Some(&outside)),
            ["wss://b.example", "wss://us.example"]
        );
        assert_eq!(brokers.to_push(&inside, true), ["tcp://b2:9999"]);
        assert_eq!(brokers.to_push(&outside, true), ["wss://b.example"]);
    }

    /// The archived broker gives clients from outside the addresses inside, and they are lost.
    #[test]
    fn nobody_is_told_of_nothing_or_of_what_it_cannot_reach() {
        let lists = Lists {
            inside: texts(&["tcp://b1:9999"]),
            ..Lists::default()
        };
        let brokers = Brokers::new(lists);
        brokers.listens(texts(&["tcp://127.0.0.1:9999"]));
        let outside = Client {
            internet: true,
            brokers: texts(&["tcp://b.example:9999"]),
            ..Client::default()
        };
        assert_eq!(brokers.for_client(Some(&outside)), ["tcp://b.example:9999"]);
        assert!(brokers.to_push(&outside, false).is_empty());
        brokers.set(Lists::default());
        assert_eq!(brokers.version(), 1);
        assert_eq!(brokers.for_client(None), ["tcp://127.0.0.1:9999"]);
        assert_eq!(
            brokers.for_client(Some(&Client::default())),
            ["tcp://127.0.0.1:9999"]
        );
    }
}
