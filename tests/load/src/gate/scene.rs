//! What is played, and the bars.

/// One arrangement of callers and responders.
#[derive(Debug, PartialEq)]
pub(super) struct Scene {
    pub(super) name: &'static str,
    pub(super) connections: usize,
    /// Calls under way on each connection.
    pub(super) window: usize,
    pub(super) responders: usize,
    pub(super) size: usize,
    /// All processes and the caller on one core: no wake-up across cores blurs the latency.
    pub(super) pinned: bool,
    pub(super) bars: &'static [Bar],
}

/// What `jackfield` must reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bar {
    /// Its rate is at least so many times the rate of the other.
    Rate { of: &'static str, at_least: f64 },
    /// It adds to the median of a direct call at most so many times what the other adds.
    Added { of: &'static str, at_most: f64 },
}

pub(super) const SCENES: [Scene; 3] = [
    Scene {
        name: "callers",
        connections: 64,
        window: 1,
        responders: 4,
        size: 100,
        pinned: false,
        bars: &[
            Bar::Rate {
                of: "haproxy",
                at_least: 0.8,
            },
            Bar::Rate {
                of: "nats",
                at_least: 1.0,
            },
        ],
    },
    Scene {
        name: "serial",
        connections: 1,
        window: 1,
        responders: 1,
        size: 100,
        pinned: true,
        bars: &[Bar::Added {
            of: "haproxy",
            at_most: 1.25,
        }],
    },
    Scene {
        name: "window",
        connections: 16,
        window: 16,
        responders: 4,
        size: 100,
        pinned: false,
        bars: &[],
    },
];
