//! `request`: the call on loan, read one thing at a time.

use wasmtime::component::Resource;

use crate::{
    bindings::{
        CallHandle,
        shared::jackfield::plugin::{apps, message, request},
    },
    call::{Lent, lent, stable_hash},
    state::State,
};

impl message::Host for State {}
impl apps::Host for State {}
impl request::Host for State {}

type Handle = Resource<CallHandle>;

impl request::HostCall for State {
    fn service(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.service.to_owned())
    }

    fn method(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.method.to_owned())
    }

    fn group(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.group.to_owned())
    }

    fn version(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.version.to_owned())
    }

    fn endpoint(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.endpoint.to_owned())
    }

    fn version_is(&mut self, _: Handle, value: String) -> wasmtime::Result<bool> {
        ask(|lent| lent.call.version == value)
    }

    fn tag_is(&mut self, _: Handle, key: String, value: String) -> wasmtime::Result<bool> {
        ask(|lent| lent.call.entries.tag(&key) == Some(&value))
    }

    fn tag(&mut self, _: Handle, key: String) -> wasmtime::Result<Option<String>> {
        ask(|lent| lent.call.entries.tag(&key).map(str::to_owned))
    }

    fn app(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.caller.app.to_owned())
    }

    fn app_is(&mut self, _: Handle, name: String) -> wasmtime::Result<bool> {
        ask(|lent| lent.call.caller.app == name)
    }

    fn app_metadata(&mut self, _: Handle, key: String) -> wasmtime::Result<Option<String>> {
        ask(|lent| lent.call.caller.facts.metadata(&key).map(str::to_owned))
    }

    fn instance(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.caller.instance.to_owned())
    }

    fn address(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.caller.address.to_owned())
    }

    fn principal(&mut self, _: Handle) -> wasmtime::Result<String> {
        ask(|lent| lent.call.caller.principal.to_owned())
    }

    fn principal_is(&mut self, _: Handle, name: String) -> wasmtime::Result<bool> {
        ask(|lent| lent.call.caller.principal == name)
    }

    fn principal_has(&mut self, _: Handle, key: String, value: String) -> wasmtime::Result<bool> {
        ask(|lent| lent.call.caller.facts.has(&key, &value))
    }

    fn principal_attribute(&mut self, _: Handle, key: String) -> wasmtime::Result<Option<String>> {
        ask(|lent| lent.call.caller.facts.attribute(&key).map(str::to_owned))
    }

    fn stable_hash(&mut self, _: Handle, by: request::HashKey) -> wasmtime::Result<Option<u64>> {
        ask(|Lent { call, .. }| {
            let key = match &by {
                request::HashKey::App => Some(call.caller.app),
                request::HashKey::Instance => Some(call.caller.instance),
                request::HashKey::Principal => Some(call.caller.principal),
                request::HashKey::Address => Some(call.caller.address),
                request::HashKey::Tag(key) => call.entries.tag(key),
            };
            key.filter(|key| !key.is_empty()).map(stable_hash)
        })
    }

    fn entry(&mut self, _: Handle, mime: String) -> wasmtime::Result<Option<Vec<u8>>> {
        self.read_outside();
        ask(|lent| lent.call.entries.entry(&mime).map(<[u8]>::to_vec))
    }

    fn metadata(&mut self, _: Handle) -> wasmtime::Result<Vec<u8>> {
        self.read_outside();
        ask(|lent| lent.call.metadata.to_vec())
    }

    fn drop(&mut self, _: Handle) -> wasmtime::Result<()> {
        Ok(())
    }
}

fn ask<R>(read: impl FnOnce(Lent<'_>) -> R) -> wasmtime::Result<R> {
    lent(read).ok_or_else(|| wasmtime::format_err!("no request is at hand"))
}
