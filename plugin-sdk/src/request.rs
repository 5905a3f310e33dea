//! The request that a hot hook is asked about.

use serde::Deserialize;

use crate::{
    bindings::routing_filter::jackfield::plugin::request::{Call, HashKey, Traits},
    testing::TestRequest,
};

/// One request. Each getter is a call into the host (50 to 120 ns): ask for what you need, prefer
/// the ones that end in `_is`, and compare names as numbers (see [`crate::names`]).
pub struct Request<'a> {
    asked: Asked<'a>,
    interaction: Interaction,
    sticky: bool,
    service: u32,
    handler: u32,
}

/// The broker, or a test in its place.
enum Asked<'a> {
    Host(&'a Call),
    Test(&'a TestRequest),
}

/// How a request talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interaction {
    RequestResponse,
    FireAndForget,
    Stream,
    Channel,
}

/// What tells callers apart for [`Request::stable_hash`]. In settings: `"app"`, `"principal"` or
/// `"tag:NAME"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Key {
    App,
    Principal,
    Tag(String),
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident -> $type:ty;)+) => {
        $($(#[$doc])*
        pub fn $name(&self) -> $type {
            match self.asked {
                Asked::Host(call) => call.$name(),
                Asked::Test(test) => test.$name.clone(),
            }
        })+
    };
}

impl Request<'_> {
    /// The number that [`crate::names::service`] gave for this service; 0 when it was not asked.
    pub const fn service_number(&self) -> u32 {
        self.service
    }

    /// The number that [`crate::names::handler`] gave for this method; 0 when it was not asked.
    pub const fn handler_number(&self) -> u32 {
        self.handler
    }

    pub const fn interaction(&self) -> Interaction {
        self.interaction
    }

    /// The caller wants to stay with one instance of the service.
    pub const fn sticky(&self) -> bool {
        self.sticky
    }

    getters! {
        service -> String;
        method -> String;
        /// Empty when the route has none.
        group -> String;
        /// Empty when the route has none.
        version -> String;
        /// A rule such as `id:7`; empty when the route has none.
        endpoint -> String;
        /// The app that calls; empty when anonymous.
        app -> String;
        /// Whom the caller proved to be; empty when anonymous.
        principal -> String;
        /// The raw composite metadata. A decision that read it is never remembered.
        metadata -> Vec<u8>;
    }

    pub fn version_is(&self, version: &str) -> bool {
        match self.asked {
            Asked::Host(call) => call.version_is(version),
            Asked::Test(test) => test.version == version,
        }
    }

    pub fn tag_is(&self, key: &str, value: &str) -> bool {
        match self.asked {
            Asked::Host(call) => call.tag_is(key, value),
            Asked::Test(test) => test.tag_value(key) == Some(value),
        }
    }

    /// The value of a tag of the route.
    pub fn tag(&self, key: &str) -> Option<String> {
        match self.asked {
            Asked::Host(call) => call.tag(key),
            Asked::Test(test) => test.tag_value(key).map(str::to_owned),
        }
    }

    pub fn principal_is(&self, name: &str) -> bool {
        match self.asked {
            Asked::Host(call) => call.principal_is(name),
            Asked::Test(test) => test.principal == name,
        }
    }

    /// The same number for the same key, everywhere and always; none when there is no such key.
    pub fn stable_hash(&self, by: &Key) -> Option<u64> {
        match self.asked {
            Asked::Host(call) => call.stable_hash(&match by {
                Key::App => HashKey::App,
                Key::Principal => HashKey::Principal,
                Key::Tag(key) => HashKey::Tag(key.clone()),
            }),
            Asked::Test(test) => test.stable_hash(by),
        }
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "app" => Ok(Self::App),
            None if text == "principal" => Ok(Self::Principal),
            Some(("tag", key)) if !key.is_empty() => Ok(Self::Tag(key.to_owned())),
            _ => Err(format!(
                "`{text}` is no key; use `app`, `principal` or `tag:NAME`"
            )),
        }
    }
}

/// A request of the host.
#[doc(hidden)]
pub const fn guest_request(service: u32, handler: u32, traits: Traits, call: &Call) -> Request<'_> {
    let interaction = if traits.contains(Traits::REQUEST_RESPONSE) {
        Interaction::RequestResponse
    } else if traits.contains(Traits::FIRE_AND_FORGET) {
        Interaction::FireAndForget
    } else if traits.contains(Traits::REQUEST_STREAM) {
        Interaction::Stream
    } else {
        Interaction::Channel
    };
    let sticky = traits.contains(Traits::STICKY);
    Request {
        asked: Asked::Host(call),
        interaction,
        sticky,
        service,
        handler,
    }
}

/// A request of a test.
pub(crate) fn test_request(test: &TestRequest) -> Request<'_> {
    Request {
        asked: Asked::Test(test),
        interaction: test.interaction,
        sticky: test.sticky,
        service: crate::names::known_service(&test.service),
        handler: crate::names::known_handler(&test.service, &test.method),
    }
}
