//! The store behind the import `kv`: bounded, exact across threads, one for each plugin.
//!
//! Time is an argument. What has expired is never seen again; its room is freed in passing, a few entries with each
//! change, so that no operation has to look at all of them.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use foldhash::fast::RandomState;

/// Why the store does not take something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvTrouble {
    Full,
    TooLong,
    NotANumber,
}

/// What must be there for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<'a> {
    Nothing,
    Value(&'a [u8]),
}

/// What all instances of one plugin share, over all its generations.
pub struct Kv {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    keys: AtomicUsize,
    bytes: AtomicUsize,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<Arc<str>, Entry, RandomState>,
    /// When entries may have expired. Each entry that can expire is here; one that was changed may be here twice.
    ends: BinaryHeap<Reverse<(Instant, Arc<str>)>>,
}

struct Entry {
    value: Value,
    expires: Option<Instant>,
}

enum Value {
    Bytes(Box<[u8]>),
    Number(i64),
}

const SHARDS: usize = 16;
const KEYS_MAX: usize = 65_536;
const BYTES_MAX: usize = 16 << 20;
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 65_536;
/// Expired entries that one change removes.
const FREED_AT_ONCE: usize = 4;

impl Kv {
    pub fn new() -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::default(),
            keys: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }

    pub fn get(&self, key: &str, now: Instant) -> Option<Vec<u8>> {
        Some(self.shard(key).live(key, now)?.value.bytes())
    }

    pub fn set(
        &self,
        key: &str,
        value: Vec<u8>,
        expires: Option<Instant>,
        now: Instant,
    ) -> Result<(), KvTrouble> {
        let mut shard = self.changed(key, now)?;
        self.put(&mut shard, key, Value::Bytes(value.into()), expires)
    }

    pub fn remove(&self, key: &str, now: Instant) -> bool {
        let mut shard = self.shard(key);
        let lives = shard.live(key, now).is_some();
        self.take(&mut shard, key);
        lives
    }

    /// `expires` counts for a number that is made by this.
    pub fn increment(
        &self,
        key: &str,
        delta: i64,
        expires: Option<Instant>,
        now: Instant,
    ) -> Result<i64, KvTrouble> {
        let mut shard = self.changed(key, now)?;
        if let Some(entry) = shard.live_mut(key, now) {
            let Value::Number(number) = &mut entry.value else {
                return Err(KvTrouble::NotANumber);
            };
            *number = number.saturating_add(delta);
            return Ok(*number);
        }
        self.put(&mut shard, key, Value::Number(delta), expires)?;
        Ok(delta)
    }

    pub fn compare_and_set(
        &self,
        key: &str,
        expected: Expected<'_>,
        new: Option<Vec<u8>>,
        expires: Option<Instant>,
        now: Instant,
    ) -> Result<bool, KvTrouble> {
        let mut shard = self.changed(key, now)?;
        let holds = match (shard.live(key, now), expected) {
            (None, Expected::Nothing) => true,
            (Some(entry), Expected::Value(value)) => entry.value.bytes() == value,
            _ => false,
        };
        if holds {
            match new {
                Some(value) => {
                    self.put(&mut shard, key, Value::Bytes(value.into()), expires)?;
                }
                None => self.take(&mut shard, key),
            }
        }
        Ok(holds)
    }

    /// Keys, and the bytes of keys and values.
    pub fn used(&self) -> (usize, usize) {
        (
            self.keys.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
        )
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The shard of a key that is about to change, some of what has expired gone.
    fn changed(&self, key: &str, now: Instant) -> Result<MutexGuard<'_, Shard>, KvTrouble> {
        if key.len() > KEY_BYTES_MAX {
            return Err(KvTrouble::TooLong);
        }
        let mut shard = self.shard(key);
        for _ in 0..FREED_AT_ONCE {
            let Some(key) = shard.next_ended(now) else {
                break;
            };
            if shard.live(&key, now).is_none() {
                self.take(&mut shard, &key);
            }
        }
        Ok(shard)
    }

    fn put(
        &self,
        shard: &mut Shard,
        key: &str,
        value: Value,
        expires: Option<Instant>,
    ) -> Result<(), KvTrouble> {
        if value.len() > VALUE_BYTES_MAX {
            return Err(KvTrouble::TooLong);
        }
        let before = shard.entries.get(key).map(|entry| entry.value.len());
        let (keys, freed) = match before {
            Some(len) => (0, len),
            None => (1, 0),
        };
        let bytes = value.len() + keys * key.len();
        reserve(&self.keys, keys, 0, KEYS_MAX)?;
        if let Err(full) = reserve(&self.bytes, bytes, freed, BYTES_MAX) {
            self.keys.fetch_sub(keys, Ordering::Relaxed);
            return Err(full);
        }
        let key: Arc<str> = key.into();
        if let Some(end) = expires {
            shard.note_end(end, &key);
        }
        shard.entries.insert(key, Entry { value, expires });
        Ok(())
    }

    fn take(&self, shard: &mut Shard, key: &str) {
        if let Some(entry) = shard.entries.remove(key) {
            self.keys.fetch_sub(1, Ordering::Relaxed);
            self.bytes
                .fetch_sub(key.len() + entry.value.len(), Ordering::Relaxed);
        }
    }
}

impl Default for Kv {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Kv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (keys, bytes) = self.used();
        f.debug_struct("Kv")
            .field("keys", &keys)
            .field("bytes", &bytes)
            .finish_non_exhaustive()
    }
}

impl Shard {
    fn live(&self, key: &str, now: Instant) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.lives(now))
    }

    fn live_mut(&mut self, key: &str, now: Instant) -> Option<&mut Entry> {
        self.entries.get_mut(key).filter(|entry| entry.lives(now))
    }

    /// A key whose time was up, unless it was changed since.
    fn next_ended(&mut self, now: Instant) -> Option<Arc<str>> {
        let Reverse((end, _)) = self.ends.peek()?;
        (*end <= now).then(|| self.ends.pop().expect("it was just seen").0.1)
    }

    /// A guest that changes one key again and again must not make the heap grow.
    fn note_end(&mut self, end: Instant, key: &Arc<str>) {
        if self.ends.len() > 2 * self.entries.len() + 16 {
            let ends = self.entries.iter();
            let ends = ends.filter_map(|(key, entry)| Some(Reverse((entry.expires?, key.clone()))));
            self.ends = ends.collect();
        }
        self.ends.push(Reverse((end, Arc::clone(key))));
    }
}

impl Entry {
    fn lives(&self, now: Instant) -> bool {
        self.expires.is_none_or(|end| now < end)
    }
}

impl Value {
    fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Number(_) => size_of::<i64>(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Number(number) => number.to_le_bytes().to_vec(),
        }
    }
}

/// Adds `more` and subtracts `less`, unless that goes beyond `max`.
fn reserve(used: &AtomicUsize, more: usize, less: usize, max: usize) -> Result<(), KvTrouble> {
    let fits = |used: usize| {
        let after = (used + more).saturating_sub(less);
        (after <= max || after <= used).then_some(after)
    };
    used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
        .map_or(Err(KvTrouble::Full), |_| Ok(()))
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;

    const NEVER: Option<Instant> = None;

    fn after(now: Instant, ms: u64) -> Instant {
        now + Duration::from_millis(ms)
    }

    #[test]
    fn what_was_set_is_there_until_it_expires() {
        let (kv, now) = (Kv::new(), Instant::now());
        kv.set("a", vec![1, 2], Some(after(now, 100)), now).unwrap();
        assert_eq!(kv.get("a", after(now, 99)), Some(vec![1, 2]));
        assert_eq!(kv.get("a", after(now, 100)), None);
        assert!(!kv.remove("a", after(now, 100)), "it was gone already");
        assert_eq!(kv.used(), (0, 0));
    }

    #[test]
    fn counting_is_exact_across_threads() {
        let (kv, now) = (Kv::new(), Instant::now());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        kv.increment("n", 1, NEVER, now).unwrap();
                    }
                });
            }
        });
        assert_eq!(kv.increment("n", 0, NEVER, now), Ok(40_000));
    }

    #[test]
    fn a_window_opens_with_its_first_count_and_does_not_move() {
        let (kv, now) = (Kv::new(), Instant::now());
        let count = |at| kv.increment("n", 1, Some(after(at, 1_000)), at).unwrap();
        assert_eq!(count(now), 1);
        assert_eq!(count(after(now, 999)), 2);
        assert_eq!(count(after(now, 1_000)), 1);
    }

    #[test]
    fn a_sum_stays_within_its_bounds() {
        let (kv, now) = (Kv::new(), Instant::now());
        kv.increment("n", i64::MAX, NEVER, now).unwrap();
        assert_eq!(kv.increment("n", 1, NEVER, now), Ok(i64::MAX));
        kv.set("text", b"x".to_vec(), NEVER, now).unwrap();
        assert_eq!(
            kv.increment("text", 1, NEVER, now),
            Err(KvTrouble::NotANumber)
        );
    }

    #[test]
    fn only_what_is_expected_is_replaced() {
        let (kv, now) = (Kv::new(), Instant::now());
        let swap = |expected, new: Option<&[u8]>| {
            kv.compare_and_set("a", expected, new.map(<[u8]>::to_vec), NEVER, now)
                .unwrap()
        };
        assert!(!swap(Expected::Value(b"1"), Some(b"2")));
        assert!(swap(Expected::Nothing, Some(b"1")));
        assert!(!swap(Expected::Nothing, Some(b"2")));
        assert!(swap(Expected::Value(b"1"), Some(b"2")));
        assert!(swap(Expected::Value(b"2"), None));
        assert_eq!(kv.used(), (0, 0));
        kv.increment("a", 3, NEVER, now).unwrap();
        assert!(swap(Expected::Value(&3_i64.to_le_bytes()), None));
    }

    #[test]
    fn it_is_bounded_and_room_comes_back() {
        let (kv, now) = (Kv::new(), Instant::now());
        assert_eq!(
            kv.set(&"k".repeat(257), vec![], NEVER, now),
            Err(KvTrouble::TooLong)
        );
        assert_eq!(
            kv.set("k", vec![0; 65_537], NEVER, now),
            Err(KvTrouble::TooLong)
        );
        let end = after(now, 10);
        let mut fit = 0;
        while kv
            .set(&format!("big-{fit}"), vec![0; 65_536], Some(end), now)
            .is_ok()
        {
            fit += 1;
        }
        assert_eq!(fit, 255);
        // A smaller value in the place of a larger one always fits.
        assert!(kv.set("big-0", vec![0; 10], Some(end), now).is_ok());
        for n in 0..255 {
            kv.set(&format!("small-{n}"), vec![0; 10], NEVER, end)
                .unwrap();
        }
        let (keys, bytes) = kv.used();
        assert!(keys <= 260 && bytes < 400_000, "{keys} {bytes}");
    }

    #[test]
    fn one_key_that_changes_for_ever_takes_no_more_room() {
        let (kv, now) = (Kv::new(), Instant::now());
        for n in 0..10_000 {
            kv.set("a", vec![0], Some(after(now, 1_000 + n)), now)
                .unwrap();
        }
        let longest = kv
            .shards
            .iter()
            .map(|shard| shard.lock().unwrap().ends.len());
        assert!(longest.max().unwrap() < 32);
        assert_eq!(kv.used(), (1, 2));
    }
}
