//! `listen.tls`: the files are read and checked as a whole.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use jackfield_rsocket::net::{ClientAuth, TlsError, TlsFault, TlsMaterial, TlsPart, Uri};

use super::keystore::open;
use crate::config::{
    layers::{Contents, digest},
    reader::Section,
};

/// Java's, and the archived broker's.
const PASSWORD: &str = "changeit";

/// What a listener shows its clients and asks of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    pub material: TlsMaterial,
    /// Nobody comes in without a certificate.
    is_mutual: bool,
    /// What it was made of, to be watched.
    files: Contents,
}

pub(super) fn read(section: &Section<'_>, uri: &Uri) -> Option<ListenerTls> {
    match (uri.kind().is_tls(), section.node("tls").is_some()) {
        (false, false) => None,
        (true, true) => read_table(&section.section("tls")),
        (true, false) => {
            let todo = "add tls = { cert = \"broker.pem\", key = \"broker.key\" }";
            section.wrong(
                "tls",
                format!("is missing, and {} needs it", uri.kind()),
                todo,
            );
            None
        }
        (false, true) => {
            let what = format!("is for tls and wss, and this listener is {}", uri.kind());
            section.wrong(
                "tls",
                what,
                "leave it out, or begin the URI with tls or wss",
            );
            None
        }
    }
}

fn read_table(section: &Section<'_>) -> Option<ListenerTls> {
    let mut files = Contents::new();
    let pair = match section.node("pkcs12").is_some() {
        true => read_store(section, &mut files),
        false => {
            let cert = read_file(section, "cert", true, &mut files);
            cert.zip(read_file(section, "key", true, &mut files))
        }
    };
    let authorities = read_file(section, "client-ca", false, &mut files);
    let choices = [("required", true), ("optional", false)];
    let required = section.choice("client-auth", &choices, &[]);
    if required.is_some() && section.node("client-ca").is_none() {
        let todo = "add client-ca = \"FILE\" with the authorities of the clients";
        section.wrong("client-auth", "is set without client-ca", todo);
    }
    let clients = match &authorities {
        None => ClientAuth::None,
        Some(authorities) if required == Some(false) => ClientAuth::Optional(authorities),
        Some(authorities) => ClientAuth::Required(authorities),
    };
    let (cert, key) = pair?;
    match TlsMaterial::new(&cert, &key, clients) {
        Ok(material) => {
            check_dates(section, &material);
            Some(ListenerTls {
                material,
                is_mutual: matches!(clients, ClientAuth::Required(_)),
                files,
            })
        }
        Err(error) => {
            refuse(section, &error);
            None
        }
    }
}

/// The certificates and the key of a key store, in PEM.
fn read_store(section: &Section<'_>, files: &mut Contents) -> Option<(Vec<u8>, Vec<u8>)> {
    for key in ["cert", "key"] {
        if section.node(key).is_some() {
            section.wrong(key, "is set, and pkcs12 too", "keep one of them");
        }
    }
    let store = read_file(section, "pkcs12", true, files)?;
    let password = match section.node("pkcs12-password-file").is_some() {
        true => read_file(section, "pkcs12-password-file", true, files)?,
        false => PASSWORD.into(),
    };
    let password = String::from_utf8_lossy(&password);
    match open(&store, password.trim_end_matches(['\r', '\n'])) {
        Ok(opened) => Some((opened.certificates, opened.key)),
        Err(what) => {
            let todo = "give its password in pkcs12-password-file; without one it is `changeit`";
            section.wrong("pkcs12", what, todo);
            None
        }
    }
}

/// What a file holds; its digest is taken of the same bytes, so that no change since is missed.
fn read_file(
    section: &Section<'_>,
    key: &str,
    required: bool,
    files: &mut Contents,
) -> Option<Vec<u8>> {
    if required && section.node(key).is_none() {
        section.wrong(key, "is missing", format!("add {key} = \"FILE\", in PEM"));
    }
    let path: PathBuf = section.path(key)?.value;
    match fs::read(&path) {
        Ok(bytes) => {
            files.insert(path, digest(&bytes));
            Some(bytes)
        }
        Err(error) => {
            let what = format!("is {}, which cannot be read: {error}", shown(&path));
            section.wrong(key, what, "correct the path, or who may read the file");
            None
        }
    }
}

fn shown(path: &Path) -> String {
    format!("`{}`", path.display())
}

fn refuse(section: &Section<'_>, error: &TlsError) {
    let (key, todo) = match error.part {
        TlsPart::Key if error.fault == TlsFault::Mismatch => {
            ("key", "give the key that the certificate was made for")
        }
        TlsPart::Key => ("key", "give a private key in PEM that is not encrypted"),
        TlsPart::Authorities => ("client-ca", "give the authorities' certificates in PEM"),
        TlsPart::Certificate | TlsPart::ServerName => (
            "cert",
            "give the broker's certificate in PEM, and behind it those of its issuers",
        ),
    };
    section.wrong(key, error.fault.to_string(), todo);
}

/// A certificate out of its time is no mistake of the file: the broker says so, and runs.
fn check_dates(section: &Section<'_>, material: &TlsMaterial) {
    let now = SystemTime::now();
    if let Ok(since) = now.duration_since(material.not_after()) {
        let what = format!("has expired {} ago", days(since));
        section.doubt("cert", what, "put a renewed certificate in its place");
    }
    if let Ok(until) = material.not_before().duration_since(now) {
        let what = format!("is not valid before {} from now", days(until));
        section.doubt(
            "cert",
            what,
            "look at this machine's clock, or at the certificate",
        );
    }
}

fn days(duration: Duration) -> String {
    match duration.as_secs() / (24 * 60 * 60) {
        0 => "less than a day".into(),
        1 => "1 day".into(),
        days => format!("{days} days"),
    }
}

impl ListenerTls {
    /// Whether nobody comes in without a certificate.
    pub(super) const fn is_mutual(&self) -> bool {
        self.is_mutual
    }

    /// What the files held that it was made of.
    pub const fn contents(&self) -> &Contents {
        &self.files
    }

    /// The files it was made of.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.files.keys().map(PathBuf::as_path)
    }
}
