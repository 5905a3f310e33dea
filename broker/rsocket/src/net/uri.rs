use std::fmt;
use std::path::Path;
use std::str::FromStr;

use thiserror::Error;

use super::TransportKind;

/// Where to connect or to listen: `tcp://host:port`, `tls://host:port`, `ws://host:port/path`,
/// `wss://host:port/path` or `unix:/path`.
///
/// A WebSocket without a path is at `/rsocket`, for clients and listeners alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Uri {
    kind: TransportKind,
    /// Without the brackets of an IPv6 address; empty for Unix sockets.
    host: String,
    port: u16,
    /// With its slash, and a query if there is one; empty for TCP and TLS. The file of a Unix
    /// socket.
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

    /// The path without a query; empty for TCP and TLS.
    pub fn path(&self) -> &str {
        match self.kind {
            TransportKind::Unix => &self.path,
            _ => self.path.split('?').next().unwrap_or_default(),
        }
    }

    /// The file of a Unix socket.
    pub fn socket_file(&self) -> Option<&Path> {
        (self.kind == TransportKind::Unix).then(|| Path::new(&self.path))
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
        if let Some(file) = uri.strip_prefix("unix:") {
            let path = socket_path(file).map_err(fault)?;
            return Ok(Self {
                kind: TransportKind::Unix,
                host: String::new(),
                port: 0,
                path: path.to_owned(),
            });
        }
        let (scheme, rest) = uri
            .split_once("://")
            .ok_or_else(|| fault(Reason::NoScheme))?;
        let kind = match scheme {
            "tcp" => TransportKind::Tcp,
            "tls" => TransportKind::Tls,
            "ws" => TransportKind::WebSocket,
            "wss" => TransportKind::WebSocketTls,
            "tcps" | "tcp+tls" => return Err(fault(Reason::OtherTls)),
            _ => return Err(fault(Reason::UnknownScheme)),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = match (kind.is_websocket(), path) {
            (false, "" | "/") => String::new(),
            (false, _) => return Err(fault(Reason::Path)),
            (true, path) if path.starts_with('/') => path.to_owned(),
            (true, path) => format!("{WEBSOCKET_PATH}{path}"),
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
        if *kind == TransportKind::Unix {
            write!(f, "{kind}:{path}")
        } else if host.contains(':') {
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
    #[error("names an unknown transport: use tcp, tls, ws, wss or unix")]
    UnknownScheme,
    #[error("names TLS in another way: write tls://host:port")]
    OtherTls,
    #[error("has no host")]
    NoHost,
    #[error("has an unusable host: write a name, an IPv4 address, or an IPv6 address in brackets")]
    Host,
    #[error("has no port, or none between 0 and 65535")]
    Port,
    #[error(
        "has a path that cannot be used: tcp and tls have none, \
         ws and wss have plain ASCII without a fragment"
    )]
    Path,
    #[error("has no absolute path: write unix:/run/jackfield.sock")]
    NoFile,
    #[error("has a path that is too long for a socket: at most 107 bytes")]
    LongFile,
}

/// Where a WebSocket is when its URI has no path.
const WEBSOCKET_PATH: &str = "/rsocket";

/// What the kernel has room for, less the zero at the end.
const SOCKET_PATH_MAX: usize = 107;

/// The file of `unix:/path` or `unix:///path`.
fn socket_path(file: &str) -> Result<&str, Reason> {
    let path = file.strip_prefix("//").unwrap_or(file);
    if !path.starts_with('/') || path.ends_with('/') || path.contains('\0') {
        return Err(Reason::NoFile);
    }
    if path.len() > SOCKET_PATH_MAX {
        return Err(Reason::LongFile);
    }
    Ok(path)
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
            ("ws://h:1/", TransportKind::WebSocket, "h", 1, "/"),
            ("tls://h:1", TransportKind::Tls, "h", 1, ""),
            ("wss://h:1/a", TransportKind::WebSocketTls, "h", 1, "/a"),
            (
                "unix:/run/a b?c.sock",
                TransportKind::Unix,
                "",
                0,
                "/run/a b?c.sock",
            ),
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
        for (text, shown) in [
            ("ws://h:1", "ws://h:1/rsocket"),
            ("wss://h:1?a", "wss://h:1/rsocket?a"),
            ("unix:///run/x", "unix:/run/x"),
        ] {
            assert_eq!(text.parse::<Uri>().unwrap().to_string(), shown);
        }
        let unix: Uri = "unix:///run/x".parse().unwrap();
        assert_eq!(unix.socket_file(), Some(Path::new("/run/x")));
    }

    #[test]
    fn bad_ones_say_why() {
        for (text, reason) in [
            ("localhost:9999", Reason::NoScheme),
            ("", Reason::NoScheme),
            ("tcps://h:1", Reason::OtherTls),
            ("unix://run/x", Reason::NoFile),
            ("unix:x", Reason::NoFile),
            ("unix:/run/", Reason::NoFile),
            ("tls://h:1/path", Reason::Path),
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
        let long = format!("unix:/{}", "x".repeat(SOCKET_PATH_MAX));
        assert_eq!(long.parse::<Uri>().unwrap_err().reason, Reason::LongFile);
        let said = "http://h:1".parse::<Uri>().unwrap_err().to_string();
        assert!(
            said.contains("http://h:1") && said.contains("tcp, tls, ws, wss or unix"),
            "{said}"
        );
    }
}
