use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use super::TransportKind;

/// Where to connect or to listen: `tcp://host:port` or `ws://host:port/path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uri {
    kind: TransportKind,
    /// Without the brackets of an IPv6 address.
    host: String,
    port: u16,
    /// With its slash, and a query if there is one; empty for TCP.
    path: String,
}

impl Uri {
    pub const fn kind(&self) -> TransportKind {
        self.kind
    }

    pub fn host(&self) -> &str {
        &self.host
    }

    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The path without a query; empty for TCP.
    pub fn path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    #[must_use]
    pub(super) fn with_port(&self, port: u16) -> Self {
        Self {
            port,
            ..self.clone()
        }
    }
}

impl FromStr for Uri {
    type Err = UriError;

    fn from_str(uri: &str) -> Result<Self, UriError> {
        let fault = |reason| UriError {
            uri: uri.to_owned(),
            reason,
        };
        let (scheme, rest) = uri
            .split_once("://")
            .ok_or_else(|| fault(Reason::NoScheme))?;
        let kind = match scheme {
            "tcp" => TransportKind::Tcp,
            "ws" => TransportKind::WebSocket,
            "tls" | "tcps" | "tcp+tls" | "wss" | "unix" => return Err(fault(Reason::NotYet)),
            _ => return Err(fault(Reason::UnknownScheme)),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = match (kind, path) {
            (TransportKind::Tcp, "" | "/") => String::new(),
            (TransportKind::Tcp, _) => return Err(fault(Reason::Path)),
            (_, path) if path.starts_with('/') => path.to_owned(),
            (_, path) => format!("/{path}"),
        };
        let path_fits = path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b'#');
        if !path_fits {
            return Err(fault(Reason::Path));
        }
        let (host, port) = split_authority(authority).map_err(fault)?;
        Ok(Self {
            kind,
            host: host.to_owned(),
            port,
            path,
        })
    }
}

impl fmt::Display for Uri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            host,
            port,
            path,
        } = self;
        if host.contains(':') {
            write!(f, "{kind}://[{host}]:{port}{path}")
        } else {
            write!(f, "{kind}://{host}:{port}{path}")
        }
    }
}

/// Why a text is not a URI we can use.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{uri:?} {reason}")]
pub struct UriError {
    uri: String,
    reason: Reason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
enum Reason {
    #[error("names no transport: write tcp://host:port or ws://host:port/path")]
    NoScheme,
    #[error("names a transport that is not supported yet: use tcp or ws")]
    NotYet,
    #[error("names an unknown transport: use tcp or ws")]
    UnknownScheme,
    #[error("has no host")]
    NoHost,
    #[error("has an unusable host: write a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    #[error("has no port, or none between 0 and 65535")]
    Port,
    #[error("has a path that cannot be used: tcp has none, ws has plain ASCII without a fragment")]
    Path,
}

fn split_authority(authority: &str) -> Result<(&str, u16), Reason> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or(Reason::Host)?;
            host.parse::<std::net::Ipv6Addr>()
                .map_err(|_| Reason::Host)?;
            (host, port.strip_prefix(':').ok_or(Reason::Port)?)
        }
        None => {
            let (host, port) = authority.rsplit_once(':').ok_or(match authority {
                "" => Reason::NoHost,
                _ => Reason::Port,
            })?;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            if !host.bytes().all(plain) {
                return Err(Reason::Host);
            }
            (host, port)
        }
    };
    if host.is_empty() {
        return Err(Reason::NoHost);
    }
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits).ok_or(Reason::Port)?;
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_read_back() {
        for (text, kind, host, port, path) in [
            (
                "tcp://127.0.0.1:9999",
                TransportKind::Tcp,
                "127.0.0.1",
                9999,
                "",
            ),
            ("tcp://[::1]:0", TransportKind::Tcp, "::1", 0, ""),
            (
                "ws://broker-1.example:80/rsocket",
                TransportKind::WebSocket,
                "broker-1.example",
                80,
                "/rsocket",
            ),
            ("ws://h:1/a?token=b", TransportKind::WebSocket, "h", 1, "/a"),
        ] {
            let uri: Uri = text.parse().unwrap();
            assert_eq!(
                (uri.kind(), uri.host(), uri.port(), uri.path()),
                (kind, host, port, path)
            );
            assert_eq!(uri.to_string(), text);
        }
        assert_eq!(
            "tcp://h:1/".parse::<Uri>().unwrap().to_string(),
            "tcp://h:1"
        );
        assert_eq!("ws://h:1".parse::<Uri>().unwrap().to_string(), "ws://h:1/");
        assert_eq!(
            "ws://h:1?a".parse::<Uri>().unwrap().to_string(),
            "ws://h:1/?a"
        );
    }

    #[test]
    fn bad_ones_say_why() {
        for (text, reason) in [
            ("localhost:9999", Reason::NoScheme),
            ("", Reason::NoScheme),
            ("tls://h:1", Reason::NotYet),
            ("wss://h:1/", Reason::NotYet),
            ("unix:///run/x", Reason::NotYet),
            ("http://h:1", Reason::UnknownScheme),
            ("tcp://", Reason::NoHost),
            ("tcp://:1", Reason::NoHost),
            ("tcp://h", Reason::Port),
            ("tcp://h:", Reason::Port),
            ("tcp://h:+1", Reason::Port),
            ("tcp://h:65536", Reason::Port),
            ("tcp://[::1]", Reason::Port),
            ("tcp://[h]:1", Reason::Host),
            ("tcp://[::1:1", Reason::Host),
            ("tcp://::1:1", Reason::Host),
            ("tcp://me:pw@h:1", Reason::Host),
            ("tcp://h h:1", Reason::Host),
            ("tcp://h:1/path", Reason::Path),
            ("ws://h:1/a b", Reason::Path),
            ("ws://h:1/a#b", Reason::Path),
        ] {
            assert_eq!(text.parse::<Uri>().unwrap_err().reason, reason, "{text}");
        }
        let said = "tls://h:1".parse::<Uri>().unwrap_err().to_string();
        assert!(
            said.contains("tls://h:1") && said.contains("not supported yet"),
            "{said}"
        );
    }
}
