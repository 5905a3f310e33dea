use super::{
    desk::{Asker, Desk},
    value::Value,
};

/// As the archived broker numbers them. Its clients look at the first byte of the Hessian form, 0x91.
const SERVING: i64 = 1;
const DOWN: i64 = -1;

impl Desk {
    /// Whether a service is there; without a name, whether the broker is.
    pub(super) fn check(&self, asker: &Asker, service: &str) -> Value {
        let directory = &self.parts.directory;
        let known = service.is_empty()
            || (self.shows(asker, service)
                && (directory.is_offered(service) || directory.find(service).is_some()));
        Value::Int(if known { SERVING } else { DOWN })
    }
}
