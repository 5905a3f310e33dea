//! Addresses as the configuration and the command line write them.

use std::{fmt, net::IpAddr};

/// Where RSocket is spoken: `tcp://HOST:PORT` or `ws://HOST:PORT/PATH`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenUri {
    pub transport: Transport,
    pub address: HostPort,
    /// Of a WebSocket, with its leading slash; empty for TCP.
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    WebSocket,
}

/// A host and a port; IPv6 addresses are written in brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// A name or an address, without brackets.
    pub host: String,
    pub port: u16,
}

const TCP_PORT: u16 = 9999;
const WEBSOCKET_PORT: u16 = 9980;
const WEBSOCKET_PATH: &str = "/rsocket";
const EXAMPLE: &str = "write tcp://HOST:PORT or ws://HOST:PORT/rsocket";

impl ListenUri {
    /// The error says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or(EXAMPLE)?;
        let transport = match scheme {
            "tcp" => Transport::Tcp,
            "ws" => Transport::WebSocket,
            "tls" | "wss" | "unix" => {
                return Err(format!(
                    "{scheme}:// is not supported by this version, {EXAMPLE}"
                ));
            }
            _ => return Err(EXAMPLE.into()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("leave user and password out of the URI".into());
        }
        let path = match (transport, path) {
            (Transport::Tcp, "" | "/") => "",
            (Transport::Tcp, _) => return Err("a tcp:// URI has no path, leave it out".into()),
            (Transport::WebSocket, "" | "/") => WEBSOCKET_PATH,
            (Transport::WebSocket, path) => path,
        };
        let address = HostPort::parse(authority, transport.default_port())?;
        Ok(Self {
            transport,
            address,
            path: path.into(),
        })
    }

    pub(super) fn defaults() -> [Self; 2] {
        let on = |transport: Transport, path: &str| Self {
            transport,
            address: HostPort::loopback(transport.default_port()),
            path: path.into(),
        };
        [
            on(Transport::Tcp, ""),
            on(Transport::WebSocket, WEBSOCKET_PATH),
        ]
    }
}

impl Transport {
    fn default_port(self) -> u16 {
        match self {
            Self::Tcp => TCP_PORT,
            Self::WebSocket => WEBSOCKET_PORT,
        }
    }

    pub fn scheme(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::WebSocket => "ws",
        }
    }
}

impl HostPort {
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

    fn parse(text: &str, default_port: u16) -> Result<Self, String> {
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

impl fmt::Display for ListenUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}{}",
            self.transport.scheme(),
            self.address,
            self.path
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_uris() {
        for (text, shown) in [
            ("tcp://127.0.0.1:1", Some("tcp://127.0.0.1:1")),
            ("tcp://[::1]:1/", Some("tcp://[::1]:1")),
            ("tcp://[::1]", Some("tcp://[::1]:9999")),
            ("tcp://localhost", Some("tcp://localhost:9999")),
            ("ws://0.0.0.0:0", Some("ws://0.0.0.0:0/rsocket")),
            ("ws://a.b/x/y", Some("ws://a.b:9980/x/y")),
            ("127.0.0.1:1", None),
            ("http://a:1", None),
            ("tls://a:1", None),
            ("tcp://:1", None),
            ("tcp://a:b", None),
            ("tcp://a:70000", None),
            ("tcp://::1:1", None),
            ("tcp://u:p@a:1", None),
            ("tcp://a:1/path", None),
        ] {
            let parsed = ListenUri::parse(text).ok().map(|uri| uri.to_string());
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
