//! `[socket]`.

use jackfield_rsocket::net::{SocketOptions, TcpProbes};

use crate::config::reader::{Reader, Section};

/// How every accepted connection's socket behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    pub options: SocketOptions,
    pub backlog: u32,
}

const BACKLOG: u32 = 4096;
/// No system takes larger socket buffers.
const BUFFER_MAX: u64 = 1 << 30;

pub(in crate::config) fn socket(reader: &Reader<'_>) -> Socket {
    let section = reader.section("socket");
    let default = SocketOptions::default();
    let probes = TcpProbes::default();
    let given = |key: &str| {
        let size = section.size(key, 0..=BUFFER_MAX);
        size.and_then(|size| usize::try_from(size).ok())
    };
    let buffer = |key: &str| given(key).unwrap_or(0);
    let idle = section.duration_or_off("keepalive-idle", Some(probes.idle));
    let keepalive = TcpProbes {
        idle: idle.unwrap_or(probes.idle),
        interval: section
            .duration("keepalive-interval")
            .unwrap_or(probes.interval),
        count: small(&section, "keepalive-count", 127).unwrap_or(probes.count),
    };
    for (key, given) in [
        ("keepalive-idle", idle),
        ("keepalive-interval", Some(keepalive.interval)),
    ] {
        if given.is_some_and(|given| given.subsec_nanos() > 0 || given.as_secs() > 32_767) {
            section.wrong(
                key,
                "cannot be told to the system",
                "write whole seconds, at most 32767",
            );
        }
    }
    Socket {
        options: SocketOptions {
            nodelay: section.boolean("nodelay").unwrap_or(default.nodelay),
            user_timeout: section.duration_or_off("user-timeout", default.user_timeout),
            keepalive: idle.map(|_| keepalive),
            send_buffer: buffer("send-buffer"),
            receive_buffer: buffer("receive-buffer"),
            unsent: given("unsent").unwrap_or(default.unsent),
        },
        backlog: small(&section, "backlog", 1 << 20).unwrap_or(BACKLOG),
    }
}

fn small(section: &Section<'_>, key: &str, most: i64) -> Option<u32> {
    let count = section.count(key, most)?;
    u32::try_from(count).ok()
}
