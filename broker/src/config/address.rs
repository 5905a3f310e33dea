//! Addresses as the configuration and the command line write them.

use std::{fmt, net::IpAddr};

use jackfield_rsocket::net::Uri;

/// A host and a port; IPv6 addresses are written in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
}

const TCP_PORT: u16 = 9999;
const DEFAULT_LISTENERS: [&str; 2] = ["tcp://127.0.0.1:9999", "ws://127.0.0.1:9980/rsocket"];

/// Where RSocket is accepted when the configuration names nothing.
pub(super) fn default_listeners() -> Vec<Uri> {
    DEFAULT_LISTENERS
        .iter()
        .filter_map(|uri| uri.parse().ok())
        .collect()
}

/// Reads the URI of a listener; otherwise what is wrong with it, and what to write.
pub(super) fn parse_listener(text: &str) -> Result<Uri, (String, String)> {
    let todo = || "write tcp://HOST:PORT or ws://HOST:PORT/rsocket".to_owned();
    text.parse()
        .map_err(|error: jackfield_rsocket::net::UriError| {
            let whole = error.to_string();
            // The reader says itself which text it is about.
            let reason = whole.strip_prefix(&format!("{text:?} ")).unwrap_or(&whole);
            match reason.split_once(": ") {
                Some((what, todo)) => (what.to_owned(), todo.to_owned()),
                None => (reason.to_owned(), todo()),
            }
        })
}

impl HostPort {
    /// None for a Unix socket.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        uri.socket_file().is_none().then(|| Self {
            host: uri.host().to_owned(),
            port: uri.port(),
        })
    }

    pub fn loopback(port: u16) -> Self {
        Self {
            host: "127.0.0.1".into(),
            port,
        }
    }

    /// Reads `HOST:PORT`; port 0 lets the system choose.
    pub fn parse_full(text: &str) -> Result<Self, String> {
        let todo = "write HOST:PORT, such as \"127.0.0.1:9998\"";
        let (host, port) = text.rsplit_once(':').ok_or(todo)?;
        let port = port.parse().map_err(|_| todo)?;
        Ok(Self {
            host: checked_host(host)?,
            port,
        })
    }

    pub(super) fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let after_host = text.rfind(']').map_or(0, |bracket| bracket + 1);
        if text[after_host..].contains(':') {
            return Self::parse_full(text);
        }
        Ok(Self {
            host: checked_host(text)?,
            port: default_port,
        })
    }

    /// Whether only this machine can reach it. A name other than localhost may be anything.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

fn checked_host(host: &str) -> Result<String, String> {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Some(inner) = inner {
        let address: Result<std::net::Ipv6Addr, _> = inner.parse();
        return address
            .map(|_| inner.to_owned())
            .map_err(|_| "write an IPv6 address in the brackets".into());
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    match host {
        "" => Err("name the host, such as 127.0.0.1, or 0.0.0.0 for every network".into()),
        _ if host.contains(':') => Err("write an IPv6 address in brackets: [::1]:9999".into()),
        _ if host.chars().all(fits) => Ok(host.to_owned()),
        _ => Err("write a host name or an address".into()),
    }
}

/// A URI that clients are told of: any RSocket transport, because a proxy may stand before the broker.
pub(super) fn check_advertised(text: &str) -> Result<String, String> {
    let todo = "write a URI such as tcp://broker.example:9999";
    let (scheme, rest) = text.split_once("://").ok_or(todo)?;
    let known = matches!(scheme, "tcp" | "tls" | "tcps" | "ws" | "wss");
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("leave user and password out of the URI".into());
    }
    if !known {
        return Err(todo.into());
    }
    HostPort::parse(authority, TCP_PORT).map(|_| text.to_owned())
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_listeners_can_be_read() {
        assert_eq!(default_listeners().len(), DEFAULT_LISTENERS.len());
    }

    #[test]
    fn hosts_and_ports() {
        for (text, shown) in [
            ("127.0.0.1:1", Some("127.0.0.1:1")),
            ("[::1]:1", Some("[::1]:1")),
            ("a.b-c:0", Some("a.b-c:0")),
            ("127.0.0.1", None),
            (":1", None),
            ("::1:1", None),
            ("[::x]:1", None),
            ("a:70000", None),
            ("a b:1", None),
            ("http://a:1", None),
        ] {
            let parsed = HostPort::parse_full(text)
                .ok()
                .map(|address| address.to_string());
            assert_eq!(parsed.as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn only_loopback_is_loopback() {
        for (host, loopback) in [
            ("127.0.0.1", true),
            ("127.8.8.8", true),
            ("::1", true),
            ("localhost", true),
            ("0.0.0.0", false),
            ("::", false),
            ("10.0.0.1", false),
            ("localhost.example", false),
        ] {
            let address = HostPort {
                host: host.into(),
                port: 1,
            };
            assert_eq!(address.is_loopback(), loopback, "{host}");
        }
    }
}
