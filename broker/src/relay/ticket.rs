//! A request on its way from the link it came in by (near) to the link it goes out by (far).
//!
//! ```text
//!   WAITING ──stamp──► STAMPED      far has given it a stream id
//!      └────withdraw─► WITHDRAWN    near took it back: nothing is sent
//! ```
//!
//! Later frames name the ticket, never the far stream id. Credit for either side is a sum in the
//! ticket, so it always fits, however slowly the other side takes it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering},
};

use jackfield_rsocket::wire::StreamId;

use super::handle::Handle;

const WAITING: u8 = 0;
const STAMPED: u8 = 1;
const WITHDRAWN: u8 = 2;

#[derive(Debug)]
pub(super) struct Ticket {
    pub(super) near: Arc<Handle>,
    pub(super) near_id: StreamId,
    pub(super) far: Arc<Handle>,
    state: AtomicU8,
    far_id: AtomicU32,
    credit_to_far: Sum,
    credit_to_near: Sum,
    cut: AtomicBool,
}

/// Which of a ticket's two links.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Near,
    Far,
}

impl Ticket {
    pub(super) fn new(near: Arc<Handle>, near_id: StreamId, far: Arc<Handle>) -> Arc<Self> {
        Arc::new(Self {
            near,
            near_id,
            far,
            state: AtomicU8::new(WAITING),
            far_id: AtomicU32::new(0),
            credit_to_far: Sum::default(),
            credit_to_near: Sum::default(),
            cut: AtomicBool::new(false),
        })
    }

    /// Far has numbered it. False when near withdrew it meanwhile.
    pub(super) fn stamp(&self, id: StreamId) -> bool {
        self.far_id.store(id.get(), Ordering::Relaxed);
        self.change(STAMPED)
    }

    /// Near takes it back. False when it is stamped already.
    pub(super) fn withdraw(&self) -> bool {
        self.change(WITHDRAWN)
    }

    fn change(&self, to: u8) -> bool {
        self.state
            .compare_exchange(WAITING, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    pub(super) fn is_withdrawn(&self) -> bool {
        self.state.load(Ordering::Acquire) == WITHDRAWN
    }

    /// One of the links ends in the middle of the call. True for the first of them, so that each call
    /// is counted once.
    pub(super) fn cut(&self) -> bool {
        !self.cut.swap(true, Ordering::Relaxed)
    }

    /// Whether the far link ever took it.
    pub(super) fn is_stamped(&self) -> bool {
        self.state.load(Ordering::Acquire) == STAMPED
    }

    pub(super) fn link(&self, end: End) -> &Arc<Handle> {
        match end {
            End::Near => &self.near,
            End::Far => &self.far,
        }
    }

    /// The stream's number at one end; none at the far end before the stamp.
    pub(super) fn stream_id(&self, end: End) -> Option<StreamId> {
        match end {
            End::Near => Some(self.near_id),
            End::Far if self.is_stamped() => {
                Some(StreamId::from_wire(self.far_id.load(Ordering::Relaxed)))
            }
            End::Far => None,
        }
    }

    fn credit(&self, to: End) -> &Sum {
        match to {
            End::Near => &self.credit_to_near,
            End::Far => &self.credit_to_far,
        }
    }

    /// Adds credit for `to` to send on. True when it must be told, because nothing was waiting.
    pub(super) fn add_credit(&self, to: End, n: u32) -> bool {
        self.credit(to).add(n)
    }

    pub(super) fn take_credit(&self, to: End) -> u64 {
        self.credit(to).take()
    }
}

#[derive(Debug, Default)]
struct Sum(AtomicU64);

impl Sum {
    fn add(&self, n: u32) -> bool {
        // Grants are bounded by the shaper, so the sum stays far below 2^64.
        self.0.fetch_add(u64::from(n), Ordering::AcqRel) == 0
    }

    fn take(&self) -> u64 {
        self.0.swap(0, Ordering::AcqRel)
    }
}
