//! A request as the chain sees it, and the route as plugins have changed it so far.

use std::sync::Arc;

use jackfield_plugin_host::{Call, Caller, Entries, Interaction, NoFacts, Rewrite};

use super::{tags, verdict};

/// What the relay knows when the first frame of a request is whole. Empty text: has none.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// A number of the connection, by which versions of a plugin are told apart.
    pub link: u64,
    pub interaction: Interaction,
    pub group: &'a str,
    pub service: &'a str,
    pub method: &'a str,
    pub version: &'a str,
    pub endpoint: &'a str,
    pub sticky: bool,
    /// The raw composite metadata.
    pub metadata: &'a [u8],
    pub caller: Caller<'a>,
}

/// The request under all rewrites so far.
pub(super) struct Route<'a> {
    request: &'a Request<'a>,
    pub(super) change: Option<Arc<Rewrite>>,
}

impl<'a> Route<'a> {
    pub(super) fn new(request: &'a Request<'a>) -> Self {
        Self {
            request,
            change: None,
        }
    }

    /// As the routing filters left it.
    pub(super) fn changed(request: &'a Request<'a>, change: Option<&Arc<Rewrite>>) -> Self {
        Self {
            request,
            change: change.cloned(),
        }
    }

    pub(super) fn service(&self) -> &str {
        let change = self.change.as_ref();
        change
            .and_then(|change| change.service.as_deref())
            .unwrap_or(self.request.service)
    }

    pub(super) fn apply(&mut self, rewrite: Rewrite) {
        let change = self.change.get_or_insert_default();
        verdict::add(Arc::make_mut(change), rewrite);
    }

    /// As the next plugin sees it.
    pub(super) fn call(&self) -> Call<'_> {
        let request = self.request;
        let mut call = Call {
            interaction: request.interaction,
            sticky: request.sticky,
            group: request.group,
            service: request.service,
            method: request.method,
            version: request.version,
            endpoint: request.endpoint,
            entries: self,
            caller: request.caller,
            metadata: request.metadata,
        };
        let Some(change) = self.change.as_deref() else {
            return call;
        };
        for (part, changed) in [
            (&mut call.group, &change.group),
            (&mut call.service, &change.service),
            (&mut call.method, &change.method),
            (&mut call.version, &change.version),
            (&mut call.endpoint, &change.endpoint),
        ] {
            if let Some(changed) = changed {
                *part = changed;
            }
        }
        call.sticky = change.sticky.unwrap_or(call.sticky);
        call
    }
}

impl Entries for Route<'_> {
    fn tag(&self, key: &str) -> Option<&str> {
        let tags = self.change.as_ref().map_or(&[][..], |change| &change.tags);
        match tags.iter().find(|(known, _)| known == key) {
            Some((_, value)) => Some(value.as_str()).filter(|value| !value.is_empty()),
            None => tags::find(self.request.metadata, key),
        }
    }

    fn entry(&self, mime: &str) -> Option<&[u8]> {
        tags::entry(self.request.metadata, mime)
    }
}

/// A copy of a call, for a probe after the request is long gone. What is known of the caller beside its names is not
/// copied.
#[derive(Clone, Debug)]
pub(super) struct OwnedCall {
    interaction: Interaction,
    sticky: bool,
    group: String,
    service: String,
    method: String,
    version: String,
    endpoint: String,
    app: String,
    instance: String,
    address: String,
    principal: String,
    metadata: Vec<u8>,
}

impl OwnedCall {
    pub(super) fn of(call: &Call<'_>) -> Self {
        Self {
            interaction: call.interaction,
            sticky: call.sticky,
            group: call.group.to_owned(),
            service: call.service.to_owned(),
            method: call.method.to_owned(),
            version: call.version.to_owned(),
            endpoint: call.endpoint.to_owned(),
            app: call.caller.app.to_owned(),
            instance: call.caller.instance.to_owned(),
            address: call.caller.address.to_owned(),
            principal: call.caller.principal.to_owned(),
            metadata: call.metadata.to_vec(),
        }
    }

    pub(super) fn call(&self) -> Call<'_> {
        Call {
            interaction: self.interaction,
            sticky: self.sticky,
            group: &self.group,
            service: &self.service,
            method: &self.method,
            version: &self.version,
            endpoint: &self.endpoint,
            entries: self,
            caller: Caller {
                app: &self.app,
                instance: &self.instance,
                address: &self.address,
                principal: &self.principal,
                facts: &NoFacts,
            },
            metadata: &self.metadata,
        }
    }
}

impl Entries for OwnedCall {
    fn tag(&self, key: &str) -> Option<&str> {
        tags::find(&self.metadata, key)
    }

    fn entry(&self, mime: &str) -> Option<&[u8]> {
        tags::entry(&self.metadata, mime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_tag_hides_the_callers() {
        let metadata = tags::tests::metadata(&["route", "zone=eu", "user=alice"]);
        let request = Request {
            link: 0,
            interaction: Interaction::Stream,
            group: "g",
            service: "s",
            method: "m",
            version: "1",
            endpoint: "",
            sticky: false,
            metadata: &metadata,
            caller: Caller::ANONYMOUS,
        };
        let mut route = Route::new(&request);
        assert_eq!(route.tag("zone"), Some("eu"));
        route.apply(Rewrite {
            version: Some("2".into()),
            tags: vec![("zone".into(), "us".into()), ("user".into(), String::new())],
            ..Rewrite::default()
        });
        assert_eq!((route.tag("zone"), route.tag("user")), (Some("us"), None));
        let call = route.call();
        assert_eq!((call.group, call.version, call.service), ("g", "2", "s"));
        let copy = OwnedCall::of(&call);
        assert_eq!((copy.call().version, copy.call().method), ("2", "m"));
    }
}
