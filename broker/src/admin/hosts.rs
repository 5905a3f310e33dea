//! Which names a face answers to, and whose pages may call it.
//!
//! A web page that rebinds its name to our address still sends its name as Host; a page of another origin sends that
//! as Origin. Programs send neither a foreign Host nor an Origin.

use axum::http::{HeaderMap, HeaderName, StatusCode, header, uri::Authority};

use super::reply::Refusal;

#[derive(Debug)]
pub(super) struct Hosts {
    /// Besides loopback names and bare addresses; in lower case.
    names: Vec<String>,
    /// Whether other names than these are refused.
    closed: bool,
    /// What to do about a name that is not known.
    todo: &'static str,
}

impl Hosts {
    pub(super) const fn new(names: Vec<String>, closed: bool, todo: &'static str) -> Self {
        Self {
            names,
            closed,
            todo,
        }
    }

    pub(super) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let forbidden = |what, todo| Err(Refusal::new(StatusCode::FORBIDDEN, what, todo));
        let host = one(headers, &header::HOST).and_then(|host| host.parse::<Authority>().ok());
        let Some(host) = host.filter(|host| !self.closed || self.is_ours(host)) else {
            return forbidden("this Host is not served here", self.todo);
        };
        if headers.contains_key(header::ORIGIN) && !self.is_own_origin(headers, &host) {
            let todo = "call from a program or from the broker's own pages";
            return forbidden("this Origin may not call here", todo);
        }
        Ok(())
    }

    /// A bare address is no name.
    fn is_ours(&self, authority: &Authority) -> bool {
        let host = authority.host().to_ascii_lowercase();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        bare == "localhost"
            || bare.parse::<std::net::IpAddr>().is_ok()
            || self
                .names
                .iter()
                .any(|known| *known == host || known == authority.as_str())
    }

    fn is_own_origin(&self, headers: &HeaderMap, host: &Authority) -> bool {
        let Some(origin) = one(headers, &header::ORIGIN) else {
            return false;
        };
        let authority = origin
            .strip_prefix("http://")
            .or_else(|| origin.strip_prefix("https://"));
        let Some(Ok(authority)) = authority.map(str::parse::<Authority>) else {
            return false;
        };
        let name = authority.host().to_ascii_lowercase();
        authority == *host || self.names.contains(&name)
    }
}

/// The header's text when it is there once: two could be read differently by two readers.
pub(super) fn one<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    value.to_str().ok()
}
