//! A small store that all instances of the plugin share. Needs `allow = ["kv"]`.
//!
//! In a test it is a store of the test's own thread, and time is [`crate::testing::set_clock`]'s.

pub use crate::bindings::kv::jackfield::plugin::kv::Trouble;
use crate::{bindings::kv::jackfield::plugin::kv as host, names::IN_A_TEST};

pub fn get(key: &str) -> Option<Vec<u8>> {
    match IN_A_TEST {
        true => test::read(key).map(|entry| entry.bytes()),
        false => host::get(key),
    }
}

/// Expires after so many milliseconds; 0: never.
pub fn set(key: &str, value: &[u8], expires_ms: u64) -> Result<(), Trouble> {
    match IN_A_TEST {
        true => test::write(key, test::Value::Bytes(value.to_vec()), expires_ms),
        false => host::set(key, value, expires_ms),
    }
}

/// Whether there was one.
pub fn remove(key: &str) -> bool {
    match IN_A_TEST {
        true => test::remove(key),
        false => host::remove(key),
    }
}

/// Adds to a number and gives the sum. One that is not there begins at 0 and expires so many
/// milliseconds from then; one that is there keeps its time.
pub fn increment(key: &str, delta: i64, expires_ms: u64) -> Result<i64, Trouble> {
    match IN_A_TEST {
        true => test::increment(key, delta, expires_ms),
        false => host::increment(key, delta, expires_ms),
    }
}

/// Replaces a value if it still is what was expected (none: not there), and says whether it did.
pub fn compare_and_set(
    key: &str,
    expected: Option<&[u8]>,
    new: Option<&[u8]>,
    expires_ms: u64,
) -> Result<bool, Trouble> {
    if !IN_A_TEST {
        return host::compare_and_set(key, expected, new, expires_ms);
    }
    let holds = test::read(key).map(|entry| entry.bytes()).as_deref() == expected;
    if holds {
        match new {
            Some(value) => test::write(key, test::Value::Bytes(value.to_vec()), expires_ms)?,
            None => drop(test::remove(key)),
        }
    }
    Ok(holds)
}

/// In a test there is no host to ask.
mod test {
    use std::{cell::RefCell, collections::HashMap};

    use super::Trouble;
    use crate::clock::unix_ms;

    thread_local! {
        static ENTRIES: RefCell<HashMap<String, Entry>> = RefCell::default();
    }

    #[derive(Clone)]
    pub(super) struct Entry {
        value: Value,
        /// 0: never.
        end: u64,
    }

    #[derive(Clone)]
    pub(super) enum Value {
        Bytes(Vec<u8>),
        Number(i64),
    }

    impl Entry {
        pub(super) fn bytes(self) -> Vec<u8> {
            match self.value {
                Value::Bytes(bytes) => bytes,
                Value::Number(number) => number.to_le_bytes().to_vec(),
            }
        }
    }

    pub(super) fn read(key: &str) -> Option<Entry> {
        let entry = ENTRIES.with_borrow(|entries| entries.get(key).cloned())?;
        (entry.end == 0 || unix_ms() < entry.end).then_some(entry)
    }

    pub(super) fn write(key: &str, value: Value, expires_ms: u64) -> Result<(), Trouble> {
        let end = match expires_ms {
            0 => 0,
            ms => unix_ms() + ms,
        };
        put(key, Entry { value, end });
        Ok(())
    }

    pub(super) fn remove(key: &str) -> bool {
        let lives = read(key).is_some();
        ENTRIES.with_borrow_mut(|entries| entries.remove(key));
        lives
    }

    pub(super) fn increment(key: &str, delta: i64, expires_ms: u64) -> Result<i64, Trouble> {
        let Some(Entry { value, end }) = read(key) else {
            write(key, Value::Number(delta), expires_ms)?;
            return Ok(delta);
        };
        let Value::Number(number) = value else {
            return Err(Trouble::NotANumber);
        };
        let sum = number.saturating_add(delta);
        let value = Value::Number(sum);
        put(key, Entry { value, end });
        Ok(sum)
    }

    fn put(key: &str, entry: Entry) {
        ENTRIES.with_borrow_mut(|entries| entries.insert(key.into(), entry));
    }
}
