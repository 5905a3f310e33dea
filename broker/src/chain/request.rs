//! A request as the chain sees it, and the route as plugins have changed it so far.

use jackfield_plugin_host::{Call, Interaction, Rewrite, Tags};

use super::{tags, verdict};

/// What the relay knows when the first frame of a request is whole. Empty text: has none.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Which data-plane thread asks, from 0.
    pub thread: usize,
    pub interaction: Interaction,
    pub group: &'a str,
    pub service: &'a str,
    pub method: &'a str,
    pub version: &'a str,
    pub endpoint: &'a str,
    pub sticky: bool,
    /// The raw composite metadata.
    pub metadata: &'a [u8],
    pub source_app: &'a str,
    pub principal: &'a str,
}

/// The request under all rewrites so far.
pub(super) struct Route<'a> {
    request: &'a Request<'a>,
    pub(super) change: Rewrite,
}

impl<'a> Route<'a> {
    pub(super) fn new(request: &'a Request<'a>) -> Self {
        Self {
            request,
            change: Rewrite::default(),
        }
    }

    pub(super) fn service(&self) -> &str {
        self.change
            .service
            .as_deref()
            .unwrap_or(self.request.service)
    }

    pub(super) fn apply(&mut self, rewrite: Rewrite) {
        verdict::add(&mut self.change, rewrite);
    }

    /// As the next plugin sees it.
    pub(super) fn call(&self) -> Call<'_> {
        let Self { request, change } = self;
        Call {
            interaction: request.interaction,
            sticky: request.sticky,
            group: change.group.as_deref().unwrap_or(request.group),
            service: self.service(),
            method: change.method.as_deref().unwrap_or(request.method),
            version: change.version.as_deref().unwrap_or(request.version),
            endpoint: change.endpoint.as_deref().unwrap_or(request.endpoint),
            tags: self,
            app: request.source_app,
            principal: request.principal,
            metadata: request.metadata,
        }
    }
}

impl Tags for Route<'_> {
    fn value(&self, key: &str) -> Option<&str> {
        match self.change.tags.iter().find(|(known, _)| known == key) {
            Some((_, value)) => Some(value.as_str()).filter(|value| !value.is_empty()),
            None => tags::find(self.request.metadata, key),
        }
    }
}

/// A copy of a call, for a probe after the request is long gone.
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
            app: call.app.to_owned(),
            principal: call.principal.to_owned(),
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
            tags: self,
            app: &self.app,
            principal: &self.principal,
            metadata: &self.metadata,
        }
    }
}

impl Tags for OwnedCall {
    fn value(&self, key: &str) -> Option<&str> {
        tags::find(&self.metadata, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rewritten_tag_hides_the_callers() {
        let metadata = tags::tests::metadata(&["route", "zone=eu", "user=alice"]);
        let request = Request {
            thread: 0,
            interaction: Interaction::Stream,
            group: "g",
            service: "s",
            method: "m",
            version: "1",
            endpoint: "",
            sticky: false,
            metadata: &metadata,
            source_app: "",
            principal: "",
        };
        let mut route = Route::new(&request);
        assert_eq!(route.value("zone"), Some("eu"));
        route.apply(Rewrite {
            version: Some("2".into()),
            tags: vec![("zone".into(), "us".into()), ("user".into(), String::new())],
            ..Rewrite::default()
        });
        assert_eq!(
            (route.value("zone"), route.value("user")),
            (Some("us"), None)
        );
        let call = route.call();
        assert_eq!((call.group, call.version, call.service), ("g", "2", "s"));
        let copy = OwnedCall::of(&call);
        assert_eq!((copy.call().version, copy.call().method), ("2", "m"));
    }
}
