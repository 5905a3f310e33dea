//! Who connects: what a SETUP says about its sender.

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use jackfield_rsocket::{
    engine::{KeepaliveTimer, resume::Token},
    metadata::{AppMetadata, Composite, Mime, Service, ServiceRegistry},
    wire::Setup,
};

use super::{deadline::now, refusal::Refusal};
use crate::directory::App;

const COMPOSITE: &[u8] = b"message/x.rsocket.composite-metadata.v0";
/// Services of one application. Registering takes the directory's lock, so it must stay short.
const SERVICES_MAX: usize = 1024;
/// Metadata of one SETUP, in bytes.
const SETUP_METADATA_MAX: usize = 256 * 1024;
/// What some clients send when they have no uuid.
const NIL_UUID: &str = "00000000-0000-0000-0000-000000000000";
const ROUTING: &[u8] = b"message/x.rsocket.routing.v0";

/// How the metadata of a connection's requests is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetadataKind {
    Composite,
    /// Routing tags and nothing else.
    Routing,
    /// Something the broker does not know, so nothing can be routed.
    Other,
}

impl MetadataKind {
    fn of(mime: &[u8]) -> Self {
        match mime {
            COMPOSITE => Self::Composite,
            ROUTING => Self::Routing,
            _ => Self::Other,
        }
    }
}

/// What the broker keeps of a SETUP.
#[derive(Debug)]
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
}

/// Reads the entries that introduce an application. The order of the refusals is the archived
/// broker's.
pub(super) fn introduce(
    setup: &Setup<'_>,
    token: Option<Token>,
    remote: Option<IpAddr>,
    transport: &'static str,
) -> Result<Introduced, Refusal> {
    let kind = MetadataKind::of(setup.metadata_mime);
    let block = match kind {
        MetadataKind::Composite => setup.metadata.unwrap_or_default(),
        MetadataKind::Routing | MetadataKind::Other => b"",
    };
    if block.len() > SETUP_METADATA_MAX {
        let what = format!(
            "SETUP metadata of {} bytes, at most {SETUP_METADATA_MAX}",
            block.len()
        );
        return Err(Refusal::BadApplication(what));
    }
    let mut claimed = None;
    let mut registry = None;
    for entry in Composite::new(block) {
        let entry = entry.map_err(|error| Refusal::BadMetadata(error.to_string()))?;
        if entry.is(Mime::APPLICATION) {
            claimed = Some(AppMetadata::decode(entry.content).map_err(bad_application)?);
        } else if entry.is(Mime::SERVICE_REGISTRY) {
            registry = Some(ServiceRegistry::decode(entry.content).map_err(bad_application)?);
        }
    }
    let services = registry
        .map(|registry| registry.published)
        .unwrap_or_default();
    if services.len() > SERVICES_MAX {
        let what = format!(
            "{} services, at most {SERVICES_MAX} are taken",
            services.len()
        );
        return Err(Refusal::BadApplication(what));
    }
    // A lone registry registers: a person with any client needs no more than that.
    let app = match (claimed, services.is_empty()) {
        (None, true) => None,
        (claimed, _) => Some(app_of(claimed.unwrap_or_default(), remote, transport)?),
    };
    let lifetime = Duration::from_millis(setup.lifetime_ms.into());
    Ok(Introduced {
        keepalive: KeepaliveTimer::server(lifetime, now()),
        metadata_kind: kind,
        app_name: app.as_ref().map_or("", |app| app.name.as_str()).into(),
        app,
        services,
        lease: setup.lease,
        token,
    })
}

fn bad_application(error: impl std::fmt::Display) -> Refusal {
    Refusal::BadApplication(error.to_string())
}

/// Fills in what an application left out: uuid and ip, and a name.
fn app_of(
    claimed: AppMetadata,
    remote: Option<IpAddr>,
    transport: &'static str,
) -> Result<App, Refusal> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let uuid = given(claimed.uuid).filter(|uuid| uuid != NIL_UUID);
    let uuid = uuid.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
    if uuid.len() > 128 || uuid.chars().any(char::is_control) {
        return Err(Refusal::BadApplication(
            "uuid is too long or has control characters".into(),
        ));
    }
    let ip = given(claimed.ip).or_else(|| remote.map(|remote| remote.to_string()));
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
        metadata: metadata.collect(),
        connected_at_ms: connected_at.as_millis() as u64,
    })
}
