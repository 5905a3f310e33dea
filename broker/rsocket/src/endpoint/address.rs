//! Whom a message is for, and who sends it: the usual metadata, a line each.

use bytes::{Bytes, BytesMut};

use super::Message;
use crate::metadata::{
    Auth, Composite, CompositeBuilder, EntryMime, MetadataError, Mime, Service, Tags, encode_tags,
};

/// Composite metadata, appended entry by entry.
///
/// ```
/// # fn main() -> Result<(), jackfield_rsocket::metadata::MetadataError> {
/// use jackfield_rsocket::endpoint::Message;
/// use jackfield_rsocket::metadata::{Mime, Service};
///
/// // By its route alone.
/// let request = Message::new("Ada").to("com.example.Greeter.greet")?;
/// assert_eq!(request.route(), Some("com.example.Greeter.greet"));
///
/// // One instance of it, always the same one for this caller.
/// let greet = "com.example.Greeter.greet";
/// let request = Message::new("Ada").to_tagged(greet, ["e=zone:eu", "sticky=1"])?;
/// assert_eq!(request.tags().collect::<Vec<_>>(), [greet, "e=zone:eu", "sticky=1"]);
///
/// // A service with group and version, and who asks.
/// let greeter = Service::parse("lab!com.example.Greeter:v2")?;
/// let request = Message::new("Ada").to_service(&greeter, "greet")?.bearer("eyJhbGc")?;
/// assert_eq!(request.route(), Some("lab!com.example.Greeter.greet:v2"));
///
/// // Anything else.
/// let request = Message::new("{}").entry(Mime::MIME_TYPE, &[0x80 | Mime::JSON.id()])?;
/// assert!(request.find(Mime::MIME_TYPE).is_some());
/// # Ok(())
/// # }
/// ```
impl Message {
    /// For `[group!]service[.method][:version]`.
    pub fn to(self, route: &str) -> Result<Self, MetadataError> {
        self.to_tagged(route, [])
    }

    /// The same with more tags behind the route, such as `e=key:value`, which picks the instances,
    /// or `sticky=1`.
    pub fn to_tagged<'t>(
        self,
        route: &'t str,
        tags: impl IntoIterator<Item = &'t str>,
    ) -> Result<Self, MetadataError> {
        let content = encode_tags([route].into_iter().chain(tags))?;
        self.entry(Mime::ROUTING, &content)
    }

    /// For a method of a service.
    pub fn to_service(self, service: &Service, method: &str) -> Result<Self, MetadataError> {
        let part = |text: &str, before: &str, after: &str| match text {
            "" => String::new(),
            text => format!("{before}{text}{after}"),
        };
        let group = part(service.group(), "", "!");
        let method = part(method, ".", "");
        let version = part(service.version(), ":", "");
        self.to(&format!("{group}{}{method}{version}", service.service()))
    }

    /// With a token of whoever asks.
    pub fn bearer(self, token: &str) -> Result<Self, MetadataError> {
        self.entry(Mime::AUTHENTICATION, &Auth::Bearer(token).encode()?)
    }

    /// With the name and password of whoever asks.
    pub fn simple_auth(self, username: &str, password: &str) -> Result<Self, MetadataError> {
        let auth = Auth::Simple { username, password };
        self.entry(Mime::AUTHENTICATION, &auth.encode()?)
    }

    /// With an entry of any type, behind those that are there.
    pub fn entry<'m>(
        self,
        mime: impl Into<EntryMime<'m>>,
        content: &[u8],
    ) -> Result<Self, MetadataError> {
        let entry = CompositeBuilder::new().push(mime, content).finish()?;
        let metadata = match self.metadata {
            None => entry,
            Some(before) => joined(&before, &entry),
        };
        Ok(Self {
            metadata: Some(metadata),
            ..self
        })
    }

    /// The content of the first entry of a type; none if there is none, or the metadata is
    /// malformed.
    pub fn find(&self, mime: Mime) -> Option<&[u8]> {
        let metadata = self.metadata.as_ref()?;
        let entry = Composite::new(metadata).find_mime(mime).ok()??;
        Some(entry.content)
    }

    /// The token it came with.
    pub fn bearer_token(&self) -> Option<&str> {
        match Auth::decode(self.find(Mime::AUTHENTICATION)?).ok()? {
            Auth::Bearer(token) => Some(token),
            _ => None,
        }
    }

    /// The tags of the routing entry, the route first.
    pub fn tags(&self) -> impl Iterator<Item = &str> {
        let content = self.find(Mime::ROUTING).unwrap_or_default();
        Tags::new(content).map_while(Result::ok)
    }

    /// Whom the message is for.
    pub fn route(&self) -> Option<&str> {
        self.tags().next()
    }
}

fn joined(before: &Bytes, entry: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(before.len() + entry.len());
    out.extend_from_slice(before);
    out.extend_from_slice(entry);
    out.freeze()
}
