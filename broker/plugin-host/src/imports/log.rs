//! `log` and `names`: the two that every language's plugin uses first.

use super::Level;
use crate::{
    bindings::{log::jackfield::plugin::log, names::jackfield::plugin::names},
    state::State,
};

/// Bytes of one log line.
const MESSAGE_BYTES_MAX: usize = 2048;

impl log::Host for State {
    fn write(&mut self, level: log::Level, mut message: String) {
        message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.host.log(&self.plugin, level, &message);
    }
}

impl names::Host for State {
    fn service(&mut self, name: String) -> u32 {
        self.names.get_or_insert_default().intern_service(&name)
    }

    fn handler(&mut self, service: String, method: String) -> u32 {
        let names = self.names.get_or_insert_default();
        names.intern_handler(&service, &method)
    }
}
