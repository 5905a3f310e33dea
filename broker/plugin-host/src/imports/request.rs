//! `request`: the call on loan, read one thing at a time. Outside of a hot hook there is none, and all is empty.

use crate::{
    bindings::shared::jackfield::plugin::{apps, message, request},
    call::{Lent, lent, stable_hash},
    state::State,
};

impl message::Host for State {}
impl apps::Host for State {}

impl request::Host for State {
    fn service(&mut self) -> String {
        ask(|lent| lent.call.service.to_owned())
    }

    fn method(&mut self) -> String {
        ask(|lent| lent.call.method.to_owned())
    }

    fn group(&mut self) -> String {
        ask(|lent| lent.call.group.to_owned())
    }

    fn version(&mut self) -> String {
        ask(|lent| lent.call.version.to_owned())
    }

    fn endpoint(&mut self) -> String {
        ask(|lent| lent.call.endpoint.to_owned())
    }

    fn version_is(&mut self, value: String) -> bool {
        ask(|lent| lent.call.version == value)
    }

    fn tag_is(&mut self, key: String, value: String) -> bool {
        ask(|lent| lent.call.entries.tag(&key) == Some(&value))
    }

    fn tag(&mut self, key: String) -> Option<String> {
        ask(|lent| lent.call.entries.tag(&key).map(str::to_owned))
    }

    fn app(&mut self) -> String {
        ask(|lent| lent.call.caller.app.to_owned())
    }

    fn app_is(&mut self, name: String) -> bool {
        ask(|lent| lent.call.caller.app == name)
    }

    fn app_metadata(&mut self, key: String) -> Option<String> {
        ask(|lent| lent.call.caller.facts.metadata(&key).map(str::to_owned))
    }

    fn instance(&mut self) -> String {
        ask(|lent| lent.call.caller.instance.to_owned())
    }

    fn address(&mut self) -> String {
        ask(|lent| lent.call.caller.address.to_owned())
    }

    fn principal(&mut self) -> String {
        ask(|lent| lent.call.caller.principal.to_owned())
    }

    fn principal_is(&mut self, name: String) -> bool {
        ask(|lent| lent.call.caller.principal == name)
    }

    fn principal_has(&mut self, key: String, value: String) -> bool {
        ask(|lent| lent.call.caller.facts.has(&key, &value))
    }

    fn principal_attribute(&mut self, key: String) -> Option<String> {
        ask(|lent| lent.call.caller.facts.attribute(&key).map(str::to_owned))
    }

    fn stable_hash(&mut self, by: request::HashKey) -> u64 {
        ask(|Lent { call, .. }| {
            let caller = call.caller;
            stable_hash(match by {
                request::HashKey::App => caller.app,
                request::HashKey::Instance => caller.instance,
                request::HashKey::Principal => caller.principal,
                request::HashKey::Address => caller.address,
            })
        })
    }

    fn stable_hash_of_tag(&mut self, key: String) -> u64 {
        ask(|lent| lent.call.entries.tag(&key).map_or(0, stable_hash))
    }

    fn entry(&mut self, mime: String) -> Option<Vec<u8>> {
        self.read_outside();
        ask(|lent| lent.call.entries.entry(&mime).map(<[u8]>::to_vec))
    }

    fn metadata(&mut self) -> Vec<u8> {
        self.read_outside();
        ask(|lent| lent.call.metadata.to_vec())
    }
}

fn ask<R: Default>(read: impl FnOnce(Lent<'_>) -> R) -> R {
    lent(read).unwrap_or_default()
}
