//! Calls that somebody keeps the trace of: for each bucket of a histogram the one that was seen last, more or less.
//!
//! Only calls that are sampled come here, and of a bucket's one in a second is kept, so that a client that samples
//! everything pays a look at a number.

use std::{
    num::NonZeroU128,
    sync::{
        Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use jackfield_rsocket::metadata::{Composite, Mime, Tracing};

use crate::telemetry::Exemplar;

/// Whose trace a call belongs to, when it is sampled.
pub(super) type TraceId = NonZeroU128;

/// Clients write some five entries; further ones are not looked at.
const ENTRIES_MAX: usize = 16;
const PAUSE: Duration = Duration::from_secs(1);

/// The trace of a request with this composite metadata. What cannot be read is nobody's, and is no reason to refuse a
/// request: it is for the responder to read.
pub(super) fn trace_of(metadata: &[u8]) -> Option<TraceId> {
    let mut entries = Composite::new(metadata)
        .map_while(Result::ok)
        .take(ENTRIES_MAX);
    let entry = entries.find(|entry| entry.is(Mime::TRACING_ZIPKIN))?;
    let tracing = Tracing::decode(entry.content).ok()?;
    TraceId::new(tracing.trace_id.filter(|_| tracing.sampled)?)
}

/// One call for each of so many buckets.
#[derive(Debug)]
pub(super) struct Traced<const BUCKETS: usize>(OnceLock<Box<[Slot; BUCKETS]>>);

#[derive(Debug, Default)]
struct Slot {
    /// In milliseconds of the clock: nothing is kept before.
    next: AtomicU64,
    kept: Mutex<Option<Exemplar>>,
}

impl<const BUCKETS: usize> Default for Traced<BUCKETS> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<const BUCKETS: usize> Traced<BUCKETS> {
    pub(super) fn note(&self, bucket: usize, trace: TraceId, after: Duration) {
        self.note_at(bucket, trace, after, SystemTime::now());
    }

    fn note_at(&self, bucket: usize, trace: TraceId, after: Duration, at: SystemTime) {
        let slots = { &self.0 }.get_or_init(|| Box::new(std::array::from_fn(|_| Slot::default())));
        let slot = &slots[bucket];
        let now = millis(at.duration_since(UNIX_EPOCH).unwrap_or_default());
        if now < slot.next.load(Ordering::Relaxed) {
            return;
        }
        slot.next.store(now + millis(PAUSE), Ordering::Relaxed);
        // Whoever holds it reads it, or keeps one of the same moment.
        if let Ok(mut kept) = slot.kept.try_lock() {
            *kept = Some(Exemplar {
                trace_id: trace.get(),
                value: after.as_secs_f64(),
                at,
            });
        }
    }

    /// One for each bucket that has one; none when no call was traced at all.
    pub(super) fn kept(&self) -> Option<Vec<Option<Exemplar>>> {
        let kept = |slot: &Slot| *slot.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Some(self.0.get()?.iter().map(kept).collect())
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use jackfield_rsocket::metadata::CompositeBuilder;

    use super::*;

    fn entry(flags: u8, id: u8) -> Vec<u8> {
        let mut entry = vec![flags];
        entry.extend([0; 7]);
        entry.push(id);
        entry.extend([0; 8]);
        entry
    }

    #[test]
    fn a_trace_is_that_of_a_sampled_call() {
        let metadata = |content: &[u8]| {
            let some = CompositeBuilder::new().push(Mime::TEXT, b"x");
            some.push(Mime::TRACING_ZIPKIN, content).finish().unwrap()
        };
        let id = |content: &[u8]| trace_of(&metadata(content)).map(TraceId::get);
        assert_eq!(id(&entry(0xA0, 7)), Some(7));
        assert_eq!(id(&entry(0xC0, 7)), Some(7));
        assert_eq!(id(&entry(0x90, 7)), None, "not sampled");
        assert_eq!(id(&entry(0x80, 7)), None, "undecided");
        assert_eq!(id(&entry(0xA0, 0)), None, "no id");
        assert_eq!(id(&[0x20]), None, "no ids");
        assert_eq!(id(&entry(0xA0, 7)[..10]), None, "cut off");
        assert_eq!(trace_of(b"\xFD\x00\x00\xFFx"), None);
    }

    #[test]
    fn of_each_bucket_one_call_in_a_second_is_kept() {
        let traced = Traced::<2>::default();
        assert_eq!(traced.kept(), None);
        let began = UNIX_EPOCH + Duration::from_secs(9);
        let note = |bucket, id, millis| {
            let at = began + Duration::from_millis(millis);
            traced.note_at(bucket, TraceId::new(id).unwrap(), PAUSE, at);
        };
        note(1, 1, 0);
        note(1, 2, 999);
        let kept = || traced.kept().unwrap();
        assert_eq!(kept()[0], None);
        assert_eq!(
            kept()[1].map(|it| (it.trace_id, it.value, it.at)),
            Some((1, 1.0, began))
        );
        note(1, 3, 1000);
        note(0, 4, 1000);
        let ids = kept()
            .into_iter()
            .map(|kept| kept.map(|kept| kept.trace_id));
        assert_eq!(ids.collect::<Vec<_>>(), [Some(4), Some(3)]);
    }
}
