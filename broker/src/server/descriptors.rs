//! How many files, and so connections, this process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What became of the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptors {
    /// In effect now; none is no limit.
    pub limit: Option<u64>,
    /// For this many connections, and what else the broker opens.
    pub needed: u64,
}

/// Components, caches, listeners, HTTP connections, epoll.
const OTHERS: u64 = 512;

impl Descriptors {
    pub fn suffice(&self) -> bool {
        self.limit.is_none_or(|limit| limit >= self.needed)
    }
}

/// What [`raise_descriptors`] would come to.
pub fn look_at_descriptors(connections: usize) -> Descriptors {
    Descriptors {
        limit: getrlimit(Resource::Nofile).maximum,
        needed: needed(connections),
    }
}

fn needed(connections: usize) -> u64 {
    u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_add(OTHERS)
}

/// Raises the soft limit as far as the hard one allows.
pub fn raise_descriptors(connections: usize) -> Descriptors {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum {
        // A refusal shows in what is read back.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: maximum,
                maximum,
            },
        );
    }
    Descriptors {
        limit: getrlimit(Resource::Nofile).current,
        needed: needed(connections),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_reaches_the_hard_one() {
        let found = raise_descriptors(100);
        assert_eq!(found.limit, getrlimit(Resource::Nofile).maximum);
        assert_eq!(found.needed, 100 + OTHERS);
    }

    #[test]
    fn no_limit_is_enough() {
        for (limit, needed, enough) in [(None, 9, true), (Some(9), 9, true), (Some(8), 9, false)] {
            assert_eq!(Descriptors { limit, needed }.suffice(), enough);
        }
    }
}
