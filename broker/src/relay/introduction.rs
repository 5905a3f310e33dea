//! Who connects: what a SETUP says about its sender.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use jackfield_rsocket::{
    engine::{KeepaliveTimer, resume::Token},
    metadata::{AppMetadata, Composite, Mime, Service, ServiceRegistry},
    wire::Setup,
};

use super::{deadline::now, direct::DIRECT, refusal::Refusal, vouching::Vouched};
use crate::{
    directory::{App, Client, SCRAPE_ONLY},
    identity::{Kind, Principal},
};

const COMPOSITE: &[u8] = b"message/x.rsocket.composite-metadata.v0";
/// Metadata of one SETUP, in bytes.
const SETUP_METADATA_MAX: usize = 256 * 1024;
/// What some clients send when they have no uuid.
const NIL_UUID: &str = "00000000-0000-0000-0000-000000000000";
/// As the archived broker has it: the length is the one thing about a uuid that is looked at.
const UUID_MIN: usize = 32;
const ROUTING: &[u8] = b"message/x.rsocket.routing.v0";

/// How the metadata of a connection's requests is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetadataKind {
    Composite,
    /// Routing tags and nothing else.
    Routing,
    /// Which application is meant, by its uuid: a part of the broker asks (`direct.rs`).
    Direct,
    /// Something the broker does not know, so nothing can be routed.
    Other,
}

impl MetadataKind {
    fn of(mime: &[u8], principal: &Principal) -> Self {
        match mime {
            COMPOSITE => Self::Composite,
            ROUTING => Self::Routing,
            DIRECT if principal.kind == Kind::Broker => Self::Direct,
            _ => Self::Other,
        }
    }
}

/// What the broker keeps of a SETUP.
pub(super) struct Introduced {
    pub(super) keepalive: KeepaliveTimer,
    pub(super) metadata_kind: MetadataKind,
    pub(super) app_name: Arc<str>,
    /// None: anonymous, and cannot register.
    pub(super) app: Option<App>,
    pub(super) services: Vec<Service>,
    /// Both sides keep to leases.
    pub(super) lease: bool,
    /// The session may be resumed.
    pub(super) token: Option<Token>,
    pub(super) principal: Arc<Principal>,
    /// How data is encoded when a request does not say.
    pub(super) encoding: Option<Mime>,
    /// How to ask again who it is, if a plugin said so.
    pub(super) vouched: Option<Vouched>,
}

/// The entries of a SETUP that are for the broker. They are found before it is known who sends
/// them, and read after that: strangers are told nothing about what is wrong with theirs.
#[derive(Debug, Default)]
pub(super) struct Entries {
    pub(super) app: Option<Bytes>,
    pub(super) registry: Option<Bytes>,
    pub(super) auth: Option<Bytes>,
}

impl Entries {
    pub(super) fn of(setup: &Setup<'_>) -> Result<Self, Refusal> {
        let block = match setup.metadata_mime {
            COMPOSITE => setup.metadata.unwrap_or_default(),
            _ => b"",
        };
        if block.len() > SETUP_METADATA_MAX {
            let what = format!(
                "SETUP metadata of {} bytes, at most {SETUP_METADATA_MAX}",
                block.len()
            );
            return Err(Refusal::BadApplication(what));
        }
        let mut found = Self::default();
        for entry in Composite::new(block) {
            let entry = entry.map_err(|error| Refusal::BadMetadata(error.to_string()))?;
            let content = || Bytes::copy_from_slice(entry.content);
            if entry.is(Mime::APPLICATION) {
                found.app = Some(content());
            } else if entry.is(Mime::SERVICE_REGISTRY) {
                found.registry = Some(content());
            } else if entry.is(Mime::AUTHENTICATION) && found.auth.replace(content()).is_some() {
                let what = "two authentication entries (0x7C)".to_owned();
                return Err(Refusal::BadMetadata(what));
            }
        }
        Ok(found)
    }
}

/// Where a connection came in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'l> {
    pub(super) remote: Option<IpAddr>,
    pub(super) transport: &'static str,
    /// What who says nothing of himself is called there, as an application that can be scraped; none: he is nobody.
    pub(super) scrape_only: Option<&'l str>,
}

/// Reads the entries that introduce an application. The order of the refusals is the archived
/// broker's.
pub(super) fn introduce(
    setup: &Setup<'_>,
    token: Option<Token>,
    entries: &Entries,
    principal: Arc<Principal>,
    seen: Seen<'_>,
) -> Result<Introduced, Refusal> {
    let claimed = entries
        .app
        .as_deref()
        .map(AppMetadata::decode)
        .transpose()
        .map_err(bad_application)?;
    let registry = entries
        .registry
        .as_deref()
        .map(ServiceRegistry::decode)
        .transpose()
        .map_err(bad_application)?;
    let services = registry
        .map(|registry| registry.published)
        .unwrap_or_default();
    // A lone registry registers: a person with any client needs no more than that.
    let app = match (claimed, services.is_empty(), seen.scrape_only) {
        (None, true, None) => None,
        (None, true, Some(name)) => {
            let mut app = app_of(AppMetadata::named(name), &principal, seen)?;
            app.metadata.insert(SCRAPE_ONLY.into(), "1".into());
            Some(app)
        }
        (claimed, ..) => Some(app_of(claimed.unwrap_or_default(), &principal, seen)?),
    };
    let lifetime = Duration::from_millis(setup.lifetime_ms.into());
    Ok(Introduced {
        keepalive: KeepaliveTimer::server(lifetime, now()),
        metadata_kind: MetadataKind::of(setup.metadata_mime, &principal),
        app_name: app.as_ref().map_or("", |app| app.name.as_str()).into(),
        app,
        services,
        lease: setup.lease,
        token,
        encoding: std::str::from_utf8(setup.data_mime)
            .ok()
            .and_then(Mime::from_name),
        principal,
        vouched: None,
    })
}

fn bad_application(error: impl std::fmt::Display) -> Refusal {
    Refusal::BadApplication(error.to_string())
}

/// Fills in what an application left out: uuid and ip, and a name.
fn app_of(claimed: AppMetadata, principal: &Principal, seen: Seen<'_>) -> Result<App, Refusal> {
    let Seen {
        remote, transport, ..
    } = seen;
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let client = client_of(&claimed, principal);
    let uuid = given(claimed.uuid).filter(|uuid| uuid != NIL_UUID);
    let uuid = uuid.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    if uuid.len() > 128 || uuid.chars().any(char::is_control) {
        return Err(Refusal::BadApplication(
            "uuid is too long or has control characters".into(),
        ));
    }
    // Only who is known has a uuid that is worth guessing.
    if !principal.is_anonymous() && uuid.len() < UUID_MIN {
        return Err(Refusal::BadUuid(uuid));
    }
    let claimed_ip = given(claimed.ip);
    let own = own_metadata(principal, claimed_ip.as_deref(), remote);
    let ip = claimed_ip.or_else(|| remote.map(|remote| remote.to_string()));
    // What begins with `_` is the broker's own to say.
    let metadata = claimed
        .metadata
        .into_iter()
        .filter(|(key, _)| !key.starts_with('_'));
    let connected_at = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Ok(App {
        name: given(claimed.name).unwrap_or_else(|| "unnamed".into()),
        uuid,
        ip: ip.unwrap_or_default(),
        remote,
        transport,
        sdk: claimed.sdk,
        power: claimed.power_rating,
        metadata: metadata.chain(own).collect(),
        owner: principal.key(),
        connected_at_ms: connected_at.as_millis() as u64,
        client,
    })
}

/// What is known of the client library.
fn client_of(claimed: &AppMetadata, principal: &Principal) -> Client {
    let sdk = claimed.sdk.as_deref().unwrap_or_default();
    let alibaba = sdk.starts_with("Alibaba-RSocket");
    let asks = claimed.metadata.get("push").is_some_and(|push| push == "1");
    let port = |(port, scheme): (&String, &String)| Some((port.parse().ok()?, scheme.clone()));
    let service = |text: &String| Service::parse(text).ok();
    Client {
        builtin: principal.is_broker(),
        bears_push: alibaba || sdk.starts_with("Kin-RSocket") || asks,
        wants_encoding: alibaba,
        internet: claimed.topology.as_deref() == Some("internet"),
        brokers: claimed.brokers.clone(),
        p2p: claimed.p2p_services.iter().filter_map(service).collect(),
        ports: claimed.rsocket_ports.iter().filter_map(port).collect(),
    }
}

/// What the broker itself says of an application, where it can be asked for as an endpoint: the
/// archived broker's names, and which of the two addresses that `ip:` means is which.
fn own_metadata(
    principal: &Principal,
    claimed: Option<&str>,
    remote: Option<IpAddr>,
) -> impl Iterator<Item = (String, String)> + use<> {
    let joined = |names: &[Box<str>]| (!names.is_empty()).then(|| names.join(","));
    [
        ("_ip", claimed.map(str::to_owned)),
        ("_remote", remote.map(|remote| remote.to_string())),
        ("_orgs", joined(&principal.organisations)),
        ("_roles", joined(&principal.roles)),
        ("_serviceAccounts", joined(&principal.service_accounts)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some((key.to_owned(), value?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::{Directory, Endpoint, Registered};

    fn app(claimed: &str, remote: &str) -> App {
        let claimed = AppMetadata::decode(claimed.as_bytes()).unwrap();
        let remote = Some(remote.parse().unwrap());
        let seen = Seen {
            remote,
            transport: "tcp",
            scrape_only: None,
        };
        app_of(claimed, &Principal::anonymous(), seen).unwrap()
    }

    /// What begins with `_` is the broker's own to say.
    #[test]
    fn what_the_broker_says_cannot_be_claimed() {
        let claimed = r#"{"name":"a","ip":"10.0.0.1","metadata":{"zone":"a","_orgs":"9","_roles":"admin",
            "_serviceAccounts":"x","_ip":"1.1.1.1","_remote":"1.1.1.1","_":"x","__x":"y"}}"#;
        let app = app(claimed, "127.0.0.9");
        let entries: Vec<(&str, &str)> = app
            .metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            entries,
            [("_ip", "10.0.0.1"), ("_remote", "127.0.0.9"), ("zone", "a")]
        );
    }

    /// `ip:` is either address; which of them is which can be asked for.
    #[test]
    fn claimed_and_observed_addresses_are_told_apart() {
        let directory = Directory::<()>::default();
        let app = app(r#"{"name":"a","ip":"10.0.0.1"}"#, "127.0.0.9");
        let Registered { instance, .. } = directory.register(app, Vec::new(), ()).unwrap();
        for (rule, admits) in [
            ("ip:10.0.0.1", true),
            ("ip:127.0.0.9", true),
            ("ip:10.0.0.2", false),
            ("_ip:10.0.0.1", true),
            ("_ip:127.0.0.9", false),
            ("_remote:127.0.0.9", true),
            ("_remote:10.0.0.1", false),
        ] {
            assert_eq!(Endpoint(rule).admits(&instance), admits, "{rule}");
        }
    }
}
