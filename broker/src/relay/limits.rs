use std::time::Duration;

use jackfield_rsocket::engine::lease::LeasePolicy;

/// The checked form of `[limits]`: every bound of the data plane. Sizes are bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Open connections, all listeners together.
    pub connections: usize,
    /// One frame, without the TCP length prefix; at most 16,777,215.
    pub frame: usize,
    /// High mark of one link's outbox.
    pub outbox: usize,
    /// Above it the stream that produces is cancelled on both sides.
    pub outbox_hard: usize,
    /// Payload on the way to one reader, per stream and direction.
    pub credit_window: usize,
    /// One message, all fragments together.
    pub message: usize,
    /// From a message's first fragment to its last.
    pub assembly_timeout: Duration,
    /// What requests hold whose metadata arrives in fragments, all those of one connection together.
    pub metadata: usize,
    /// Fragments behind the first that such a request may take.
    pub metadata_fragments: usize,
    /// From its first fragment to the last of its metadata.
    pub metadata_timeout: Duration,
    /// How long a source of bytes that nobody granted credit for is not read.
    pub pause: Duration,
    /// Connections that have not finished SETUP.
    pub pending: usize,
    /// The same, from one address.
    pub pending_per_address: usize,
    pub setup_timeout: Duration,
    /// No progress on a socket that owes some: close.
    pub stall: Duration,
    /// Open streams of one connection, per direction.
    pub streams: usize,
    /// Fire-and-forget requests of one connection, per second; more are dropped and counted.
    pub fire_and_forget: usize,
    /// What the broker grants to a client that asks for leases.
    pub lease: LeasePolicy,
    /// Requests that the broker holds on purpose, such as delayed ones, all connections together.
    pub held_requests: usize,
    /// What they hold, in bytes.
    pub held_bytes: usize,
    /// How long one may be held.
    pub held_time: Duration,
    /// How long a session is kept without a transport.
    pub resume_window: Duration,
    /// What one session keeps of what it sent, in bytes.
    pub resume_bytes: usize,
    /// Sessions without a transport; zero: none can be resumed.
    pub parked_sessions: usize,
    /// What they hold all together, in bytes.
    pub parked_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 65_536,
            frame: 16_777_215,
            outbox: 4 << 20,
            outbox_hard: 64 << 20,
            credit_window: 1 << 20,
            message: 64 << 20,
            assembly_timeout: Duration::from_secs(60),
            metadata: 64 << 10,
            metadata_fragments: 16,
            metadata_timeout: Duration::from_secs(5),
            pause: Duration::from_millis(50),
            pending: 1024,
            pending_per_address: 128,
            setup_timeout: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            streams: 65_536,
            fire_and_forget: 100_000,
            lease: LeasePolicy {
                requests: 10_000,
                ttl: Duration::from_secs(10),
            },
            held_requests: 10_000,
            held_bytes: 64 << 20,
            held_time: Duration::from_secs(60),
            resume_window: Duration::from_secs(60),
            resume_bytes: 1 << 20,
            parked_sessions: 4096,
            parked_bytes: 256 << 20,
        }
    }
}
