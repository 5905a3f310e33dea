//! `[[listen]]` and `[socket]`: where RSocket is accepted, and with what.
//!
//! Certificates are read and checked here, so that `check` and a reload find what is wrong with them before
//! anything changes.

mod keystore;
mod socket;
mod tls;

#[cfg(test)]
mod tests;

use jackfield_rsocket::net::Uri;

pub use socket::Socket;
pub use tls::ListenerTls;

pub(super) use socket::socket;

use super::{
    address::{HostPort, check_advertised, default_listeners, parse_listener},
    checked::Public,
    reader::{Reader, Section},
    source::mask_user,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    pub uri: Uri,
    /// Where clients find it, if they are told.
    pub advertise: Option<String>,
    /// What applications are called that say nothing of themselves here and can be scraped.
    pub scrape_only: Option<String>,
    /// The same, for those outside the brokers' network.
    pub advertise_internet: Option<String>,
    /// The permissions of a Unix socket.
    pub mode: u32,
    /// There is one for `tls` and `wss`.
    pub tls: Option<ListenerTls>,
}

/// Who may open a Unix socket unless it says otherwise: the broker's own user.
const MODE: u32 = 0o600;

pub(super) fn listeners(reader: &Reader<'_>, public: &Public) -> Vec<Listener> {
    let mut listeners: Vec<Listener> = Vec::new();
    let sections = reader.sections("listen");
    for section in &sections {
        let Some(listener) = listener(section) else {
            continue;
        };
        let uri = &listener.uri;
        let strict = listener.tls.as_ref().is_some_and(ListenerTls::is_mutual);
        if let Some(address) = HostPort::of(uri).filter(|_| !strict && !public.authenticated) {
            public.check_bind(section, "uri", &address);
        }
        if listeners.iter().any(|other| collide(&other.uri, uri)) {
            let what = format!("binds {}, and so does a listener before it", place(uri));
            section.wrong(
                "uri",
                what,
                "give each listener a port or a file of its own",
            );
        }
        listeners.push(listener);
    }
    if sections.is_empty() {
        let listener = |uri| Listener {
            uri,
            advertise: None,
            scrape_only: None,
            advertise_internet: None,
            mode: MODE,
            tls: None,
        };
        listeners.extend(default_listeners().into_iter().map(listener));
    }
    listeners
}

fn listener(section: &Section<'_>) -> Option<Listener> {
    let uri = uri(section);
    let advertise = |key| {
        let read = section.read(key, check_advertised);
        read.map(|placed| placed.value)
    };
    let (advertise, advertise_internet) = (advertise("advertise"), advertise("advertise-internet"));
    let mode = section.read("mode", permissions);
    let scrape_only = section.read("scrape-only", job);
    let uri = uri?;
    if mode.is_some() && uri.socket_file().is_none() {
        let what = "is for Unix sockets, and this is none";
        section.wrong("mode", what, "leave it out");
    }
    Some(Listener {
        advertise,
        advertise_internet,
        scrape_only: scrape_only.map(|placed| placed.value),
        mode: mode.map_or(MODE, |placed| placed.value),
        tls: tls::read(section, &uri),
        uri,
    })
}

fn uri(section: &Section<'_>) -> Option<Uri> {
    if section.node("uri").is_none() {
        section.wrong("uri", "is missing", "add uri = \"tcp://127.0.0.1:9999\"");
    }
    let text = section.text("uri")?.value;
    let wrong = |(what, todo): (String, String)| {
        section.wrong("uri", format!("`{}` {what}", mask_user(text)), todo);
    };
    parse_listener(text).map_err(wrong).ok()
}

/// Whether two listeners want the same port or file.
fn collide(one: &Uri, other: &Uri) -> bool {
    one.socket_file() == other.socket_file()
        && HostPort::of(one) == HostPort::of(other)
        && (one.port() != 0 || one.socket_file().is_some())
}

fn place(uri: &Uri) -> String {
    HostPort::of(uri).map_or_else(|| uri.path().to_owned(), |address| address.to_string())
}

fn permissions(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| *mode <= 0o777)
        .ok_or_else(|| "write permissions as octal digits, such as \"0660\"".into())
}

/// What Prometheus will have as `job`.
fn job(text: &str) -> Result<String, String> {
    match text {
        "" => {
            Err("write the name that such applications are to have, such as \"micrometer\"".into())
        }
        name => Ok(name.to_owned()),
    }
}

/// The listeners that run, with the certificates of those in `new` that have the same URI.
pub(super) fn renew(mut running: Vec<Listener>, new: &[Listener]) -> Vec<Listener> {
    for (index, listener) in running.iter_mut().enumerate() {
        let same = |other: &&Listener| other.uri == listener.uri;
        let at_place = new.get(index).filter(same);
        if let Some(renewed) = at_place.or_else(|| new.iter().find(same)) {
            listener.tls.clone_from(&renewed.tls);
        }
    }
    running
}
