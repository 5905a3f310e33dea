//! What belongs to the broker alone: its ports, certificates, folders, and the compiler.

use std::{
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::finding::Finding;

/// Certificates that end sooner are told of.
const EXPIRY_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// An address the broker is to listen on.
pub(super) struct Port {
    /// The key of the configuration and what it says.
    pub(super) what: String,
    pub(super) port: u16,
    /// What a trial came to; none when it could be bound.
    pub(super) error: Option<io::ErrorKind>,
    /// A broker of this configuration runs already.
    pub(super) running: bool,
    /// The ports that the kernel gives to outgoing connections.
    pub(super) ephemeral: Option<(u16, u16)>,
}

pub(super) fn port(found: &Port) -> Finding {
    const NAME: &str = "port";
    let Port { what, port, .. } = found;
    match found.error {
        Some(io::ErrorKind::AddrInUse) if found.running => {
            Finding::good(NAME, format!("{what}: in use by the running broker"))
        }
        Some(io::ErrorKind::AddrInUse) => Finding::bad(
            NAME,
            format!("{what}: another program listens there"),
            format!("ss -ltnp 'sport = :{port}' names it; end it, or choose another port"),
        ),
        Some(io::ErrorKind::PermissionDenied) => Finding::bad(
            NAME,
            format!("{what}: not allowed to this user"),
            "choose a port from 1024 up, or AmbientCapabilities=CAP_NET_BIND_SERVICE in the unit, or \
             setcap cap_net_bind_service=+ep \"$(command -v jackfield)\"",
        ),
        Some(io::ErrorKind::AddrNotAvailable) => Finding::bad(
            NAME,
            format!("{what}: no interface of this machine has that address"),
            "ip -brief address shows those there are",
        ),
        Some(other) => Finding::bad(NAME, format!("{what}: {other}"), "correct the address"),
        None => match found.ephemeral {
            Some((first, last)) if (first..=last).contains(port) => Finding::look(
                NAME,
                format!(
                    "{what}: free, and among the ports for outgoing connections ({first} to {last}): one of those may have it at the next start"
                ),
                format!("sysctl -w net.ipv4.ip_local_reserved_ports={port}"),
            ),
            _ => Finding::good(NAME, format!("{what}: free")),
        },
    }
}

pub(super) struct Certificate {
    /// The file, or the listener that shows it.
    pub(super) what: String,
    /// From when to when the chain is valid, if it can be read and the key is its own.
    pub(super) validity: Result<(SystemTime, SystemTime), String>,
}

pub(super) fn certificate(found: &Certificate, now: SystemTime) -> Finding {
    const NAME: &str = "certificate";
    let file = &found.what;
    let (from, to) = match &found.validity {
        Ok(validity) => *validity,
        Err(why) => {
            let todo = "give a certificate and its own key, in PEM, readable by the broker's user";
            return Finding::bad(NAME, format!("{file}: {why}"), todo);
        }
    };
    let days = |span: Duration| span.as_secs() / (24 * 3600);
    if let Ok(ahead) = from.duration_since(now)
        && !ahead.is_zero()
    {
        let what = format!("{file}: valid in {} days only", days(ahead) + 1);
        return Finding::bad(
            NAME,
            what,
            "check the clock, or use the certificate before it",
        );
    }
    match to.duration_since(now) {
        Err(_) => Finding::bad(NAME, format!("{file}: has expired"), "renew it"),
        Ok(left) if left < EXPIRY_SOON => Finding::look(
            NAME,
            format!("{file}: expires in {} days", days(left)),
            "renew it",
        ),
        Ok(left) => Finding::good(NAME, format!("{file}: good for {} days", days(left))),
    }
}

/// A folder or file of the broker's own.
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// Permission bits; none when it does not exist.
    pub(super) mode: Option<u32>,
    /// Why nothing can be written there.
    pub(super) error: Option<String>,
}

pub(super) fn data_dir(found: &Place) -> Finding {
    const NAME: &str = "data-dir";
    let path = found.path.display();
    if let Some(why) = &found.error {
        return Finding::bad(
            NAME,
            format!("{path}: cannot be written to: {why}"),
            format!("install -d -m 700 -o \"$(id -un)\" {path} as root, or set node.data-dir"),
        );
    }
    match found.mode {
        None => Finding::good(NAME, format!("{path}: will be made at the first start")),
        Some(mode) if mode & 0o022 != 0 => Finding::bad(
            NAME,
            format!(
                "{path}: others may write there (mode {:04o}), and compiled plugins are loaded from it",
                mode & 0o7777
            ),
            format!("chmod go-w {path}"),
        ),
        Some(_) => Finding::good(NAME, format!("{path}: writable, by its owner only")),
    }
}

pub(super) fn token_file(found: &Place) -> Finding {
    const NAME: &str = "admin token";
    let path = found.path.display();
    match (&found.error, found.mode) {
        (Some(why), Some(_)) => Finding::bad(
            NAME,
            format!("{path}: cannot be read: {why}"),
            format!("chown \"$(id -un)\" {path} as root"),
        ),
        (_, None) => Finding::good(NAME, format!("{path}: will be made at the first start")),
        // The broker refuses it.
        (None, Some(mode)) if mode & 0o007 != 0 => Finding::bad(
            NAME,
            format!("{path}: everyone may read it (mode {:04o})", mode & 0o7777),
            format!("chmod 600 {path}"),
        ),
        (None, Some(mode)) if mode & 0o070 != 0 => Finding::look(
            NAME,
            format!("{path}: its group may read it (mode {:04o})", mode & 0o7777),
            format!("chmod 600 {path}, unless that is meant"),
        ),
        (None, Some(_)) => Finding::good(NAME, format!("{path}: readable by its owner only")),
    }
}

/// How long the child took that compiles plugins, or why it failed.
pub(super) fn compiler(found: &Result<Duration, String>) -> Finding {
    const NAME: &str = "compiler";
    match found {
        Ok(took) => Finding::good(
            NAME,
            format!("a child process compiled a component in {took:.0?}"),
        ),
        Err(why) => Finding::bad(
            NAME,
            format!("the child process that compiles plugins fails: {why}"),
            "allow the service to start processes and 8 GiB of address space (LimitNPROC, LimitAS, seccomp)",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict::{self, Bad, Look, Ok as Good};
    use super::*;

    fn verdict(finding: &Finding) -> Verdict {
        assert_eq!(
            finding.todo.is_some(),
            finding.verdict != Good,
            "{finding:?}"
        );
        finding.verdict
    }

    #[test]
    fn a_port_is_free_and_allowed_or_says_why_not() {
        for (error, running, ephemeral, expected) in [
            (None, false, Some((32_768, 60_999)), Good),
            (None, false, Some((1024, 65_535)), Look),
            (None, false, None, Good),
            (Some(io::ErrorKind::AddrInUse), true, None, Good),
            (Some(io::ErrorKind::AddrInUse), false, None, Bad),
            (Some(io::ErrorKind::PermissionDenied), false, None, Bad),
            (Some(io::ErrorKind::AddrNotAvailable), false, None, Bad),
            (Some(io::ErrorKind::OutOfMemory), false, None, Bad),
        ] {
            let finding = port(&Port {
                what: "http.listen".into(),
                port: 9998,
                error,
                running,
                ephemeral,
            });
            assert_eq!(verdict(&finding), expected, "{finding:?}");
        }
    }

    #[test]
    fn a_certificate_is_readable_matching_and_valid() {
        let day = Duration::from_secs(24 * 3600);
        let now = SystemTime::UNIX_EPOCH + 20_000 * day;
        for (validity, expected) in [
            (Ok((now - day, now + 90 * day)), Good),
            (Ok((now - day, now + 3 * day)), Look),
            (Ok((now - 9 * day, now - day)), Bad),
            (Ok((now + day, now + 90 * day)), Bad),
            (Err("the key is another one's".to_owned()), Bad),
        ] {
            let what = "tls.crt".into();
            let finding = certificate(&Certificate { what, validity }, now);
            assert_eq!(verdict(&finding), expected, "{finding:?}");
        }
    }

    #[test]
    fn places_are_writable_and_private() {
        let place = |mode, error: Option<&str>| Place {
            path: "state".into(),
            mode,
            error: error.map(str::to_owned),
        };
        for (found, folder, token) in [
            (place(None, None), Good, Good),
            (place(Some(0o600), None), Good, Good),
            (place(Some(0o640), None), Good, Look),
            (place(Some(0o755), None), Good, Bad),
            (place(Some(0o777), None), Bad, Bad),
            (place(Some(0o600), Some("no")), Bad, Bad),
        ] {
            assert_eq!(verdict(&data_dir(&found)), folder, "{:?}", found.mode);
            assert_eq!(verdict(&token_file(&found)), token, "{:?}", found.mode);
        }
    }

    #[test]
    fn the_compiler_works_or_says_why_not() {
        assert_eq!(verdict(&compiler(&Ok(Duration::from_millis(9)))), Good);
        assert_eq!(verdict(&compiler(&Err("killed".into()))), Bad);
    }
}
