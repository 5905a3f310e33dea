//! Names that a guest interned: from then on the host compares, and hands the guest a number.

use std::collections::HashMap;

use foldhash::fast::RandomState;

type Numbers = HashMap<Box<str>, u32, RandomState>;

/// The names of one instance. Services and handlers share one bound, not one numbering.
#[derive(Default)]
pub(crate) struct Names {
    services: Numbers,
    /// By service; a handler can be interned for a service that is not.
    handlers: HashMap<Box<str>, Numbers, RandomState>,
    handlers_len: u32,
}

const NAMES_MAX: usize = 4096;
const NAME_BYTES_MAX: usize = 1024;

impl Names {
    pub(crate) fn intern_service(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.services.get(name) {
            return number;
        }
        if self.full() || name.len() > NAME_BYTES_MAX {
            return 0;
        }
        let number = self.services.len() as u32 + 1;
        self.services.insert(name.into(), number);
        number
    }

    pub(crate) fn intern_handler(&mut self, service: &str, method: &str) -> u32 {
        if let Some(number) = self
            .handlers
            .get(service)
            .and_then(|methods| methods.get(method))
        {
            return *number;
        }
        if self.full() || service.len().max(method.len()) > NAME_BYTES_MAX {
            return 0;
        }
        self.handlers_len += 1;
        let methods = self.handlers.entry(service.into()).or_default();
        methods.insert(method.into(), self.handlers_len);
        self.handlers_len
    }

    /// The number of a service, 0 when it was never interned.
    pub(crate) fn service(&self, name: &str) -> u32 {
        self.services.get(name).copied().unwrap_or_default()
    }

    /// The number of a handler, 0 when it was never interned.
    pub(crate) fn handler(&self, service: &str, method: &str) -> u32 {
        let methods = self.handlers.get(service);
        methods
            .and_then(|methods| methods.get(method))
            .copied()
            .unwrap_or_default()
    }

    fn full(&self) -> bool {
        self.services.len() + self.handlers_len as usize >= NAMES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_stay() {
        let mut names = Names::default();
        assert_eq!(names.service("a"), 0);
        assert_eq!(names.intern_service("a"), 1);
        assert_eq!(names.intern_service("b"), 2);
        assert_eq!(names.intern_service("a"), 1);
        assert_eq!(names.intern_handler("a", "get"), 1);
        assert_eq!(names.intern_handler("c", "get"), 2);
        assert_eq!((names.service("b"), names.service("c")), (2, 0));
        assert_eq!(
            (names.handler("c", "get"), names.handler("b", "get")),
            (2, 0)
        );
    }

    #[test]
    fn a_greedy_guest_gets_nothing_more() {
        let mut names = Names::default();
        for n in 0..NAMES_MAX {
            assert_eq!(names.intern_service(&n.to_string()), n as u32 + 1);
        }
        assert_eq!(names.intern_service("one more"), 0);
        assert_eq!(names.intern_handler("one", "more"), 0);
        assert_eq!(names.intern_service("7"), 8);
        assert_eq!(
            Names::default().intern_service(&"x".repeat(NAME_BYTES_MAX + 1)),
            0
        );
    }
}
