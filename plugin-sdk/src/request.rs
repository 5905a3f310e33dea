//! The request that a hot hook is asked about.

use serde::Deserialize;

use crate::{
    bindings::shared::jackfield::plugin::request::{self, HashKey, Traits},
    testing::TestRequest,
};

/// One request. Each getter is a call into the host (40 to 100 ns): ask for what you need, prefer
/// the ones that end in `_is`, and compare names as numbers (see [`crate::names`]).
pub struct Request<'a> {
    asked: Asked<'a>,
    interaction: Interaction,
    traits: Traits,
    service: u32,
    handler: u32,
}

/// The broker, or a test in its place.
enum Asked<'a> {
    Host,
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

/// What tells callers apart for [`Request::stable_hash`] and [`Request::key`]. In settings: `"app"`, `"instance"`,
/// `"principal"`, `"address"` or `"tag:NAME"`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Key {
    /// The name of the app.
    App,
    /// The uuid of the app.
    Instance,
    Principal,
    Address,
    Tag(String),
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident -> $type:ty;)+) => {
        $($(#[$doc])*
        pub fn $name(&self) -> $type {
            match self.asked {
                Asked::Host => request::$name(),
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
        self.traits.contains(Traits::STICKY)
    }

    /// The caller proved who it is. Free.
    pub const fn is_authenticated(&self) -> bool {
        self.traits.contains(Traits::AUTHENTICATED)
    }

    /// The route names a group. Free.
    pub const fn has_group(&self) -> bool {
        self.traits.contains(Traits::HAS_GROUP)
    }

    /// The route names a version. Free.
    pub const fn has_version(&self) -> bool {
        self.traits.contains(Traits::HAS_VERSION)
    }

    /// The route names an endpoint. Free.
    pub const fn has_endpoint(&self) -> bool {
        self.traits.contains(Traits::HAS_ENDPOINT)
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
        /// The uuid of the app that calls; empty when anonymous.
        instance -> String;
        /// The IP address the caller is seen under; empty when it has none.
        address -> String;
        /// Whom the caller proved to be; empty when anonymous.
        principal -> String;
        /// The raw composite metadata. A decision that read it is never remembered.
        metadata -> Vec<u8>;
    }

    pub fn version_is(&self, version: &str) -> bool {
        match self.asked {
            Asked::Host => request::version_is(version),
            Asked::Test(test) => test.version == version,
        }
    }

    pub fn tag_is(&self, key: &str, value: &str) -> bool {
        match self.asked {
            Asked::Host => request::tag_is(key, value),
            Asked::Test(test) => test.tag_value(key) == Some(value),
        }
    }

    /// The value of a tag of the route.
    pub fn tag(&self, key: &str) -> Option<String> {
        match self.asked {
            Asked::Host => request::tag(key),
            Asked::Test(test) => test.tag_value(key).map(str::to_owned),
        }
    }

    pub fn principal_is(&self, name: &str) -> bool {
        match self.asked {
            Asked::Host => request::principal_is(name),
            Asked::Test(test) => test.principal == name,
        }
    }

    pub fn app_is(&self, name: &str) -> bool {
        match self.asked {
            Asked::Host => request::app_is(name),
            Asked::Test(test) => test.app == name,
        }
    }

    /// What the app that calls says about itself.
    pub fn app_metadata(&self, key: &str) -> Option<String> {
        match self.asked {
            Asked::Host => request::app_metadata(key),
            Asked::Test(test) => test.app_metadata_value(key).map(str::to_owned),
        }
    }

    /// Whether the caller's principal has an attribute with this value.
    pub fn principal_has(&self, key: &str, value: &str) -> bool {
        match self.asked {
            Asked::Host => request::principal_has(key, value),
            Asked::Test(test) => test.attributes(key).any(|held| held == value),
        }
    }

    /// The first value of an attribute of the caller's principal.
    pub fn principal_attribute(&self, key: &str) -> Option<String> {
        match self.asked {
            Asked::Host => request::principal_attribute(key),
            Asked::Test(test) => test.attributes(key).next().map(str::to_owned),
        }
    }

    /// The first entry of the metadata with this MIME type. A decision that read it is never remembered.
    pub fn entry(&self, mime: &str) -> Option<Vec<u8>> {
        match self.asked {
            Asked::Host => request::entry(mime),
            Asked::Test(test) => test.entry_value(mime).map(<[u8]>::to_vec),
        }
    }

    /// The caller's key itself; none when there is no such key.
    pub fn key(&self, by: &Key) -> Option<String> {
        let key = match by {
            Key::App => self.app(),
            Key::Instance => self.instance(),
            Key::Principal => self.principal(),
            Key::Address => self.address(),
            Key::Tag(key) => self.tag(key)?,
        };
        (!key.is_empty()).then_some(key)
    }

    /// The same number for the same key, everywhere and always; none when there is no such key.
    pub fn stable_hash(&self, by: &Key) -> Option<u64> {
        if let Asked::Test(test) = self.asked {
            return test.stable_hash(by);
        }
        let known = |hash| (hash != 0).then_some(hash);
        // One call for all that are not tags, so that the guest needs no table of jumps.
        let of_caller = match by {
            Key::Tag(key) => return known(request::stable_hash_of_tag(key)),
            Key::App => HashKey::App,
            Key::Instance => HashKey::Instance,
            Key::Principal => HashKey::Principal,
            Key::Address => HashKey::Address,
        };
        known(request::stable_hash(of_caller))
    }
}

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "app" => Ok(Self::App),
            None if text == "instance" => Ok(Self::Instance),
            None if text == "principal" => Ok(Self::Principal),
            None if text == "address" => Ok(Self::Address),
            Some(("tag", key)) if !key.is_empty() => Ok(Self::Tag(key.to_owned())),
            _ => Err(format!(
                "`{text}` is no key; use `app`, `instance`, `principal`, `address` or `tag:NAME`"
            )),
        }
    }
}

/// A request of the host.
#[doc(hidden)]
pub const fn guest_request(service: u32, handler: u32, traits: Traits) -> Request<'static> {
    let interaction = if traits.contains(Traits::REQUEST_RESPONSE) {
        Interaction::RequestResponse
    } else if traits.contains(Traits::FIRE_AND_FORGET) {
        Interaction::FireAndForget
    } else if traits.contains(Traits::REQUEST_STREAM) {
        Interaction::Stream
    } else {
        Interaction::Channel
    };
    Request {
        asked: Asked::Host,
        interaction,
        traits,
        service,
        handler,
    }
}

/// A request of a test.
pub(crate) fn test_request(test: &TestRequest) -> Request<'_> {
    let mut traits = Traits::empty();
    for (holds, flag) in [
        (test.sticky, Traits::STICKY),
        (!test.principal.is_empty(), Traits::AUTHENTICATED),
        (!test.group.is_empty(), Traits::HAS_GROUP),
        (!test.version.is_empty(), Traits::HAS_VERSION),
        (!test.endpoint.is_empty(), Traits::HAS_ENDPOINT),
    ] {
        if holds {
            traits |= flag;
        }
    }
    Request {
        asked: Asked::Test(test),
        interaction: test.interaction,
        traits,
        service: crate::names::known_service(&test.service),
        handler: crate::names::known_handler(&test.service, &test.method),
    }
}
