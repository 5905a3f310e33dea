//! The archived broker's paths that only read, for the tools that use them.
//!
//! The archived broker asks nobody who they are. Here credentials are asked for where `auth.required` says so, and
//! a service is shown to those who may observe it.

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{ConnectInfo, Path, State},
    http::{HeaderMap, StatusCode},
    routing::get,
};
use jackfield_rsocket::{metadata::Service, net::Uri};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use super::{
    fault::Fault,
    question::{Named, Question, credentials},
    routes::{Busy, Desk},
};
use crate::{
    directory::{AppView, ServiceView},
    identity::Principal,
    relay::Asker,
};

type Seen<T> = Result<Json<T>, Fault>;

/// What applications are asked about a service of theirs.
pub(super) const INTROSPECTION: &str = "com.alibaba.rsocket.rpc.ReactiveServiceDiscovery";
const FIND: &str = "findServiceByFullName";
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) fn routes(router: Router<Arc<Desk>>) -> Router<Arc<Desk>> {
    router
        .route("/app/{name}", get(app))
        .route("/service/{name}", get(service))
        .route("/service/definition/{name}", get(definition))
        .route("/ops/services", get(services))
        .route("/ops/connections", get(connections))
        .route("/ops/brokers", get(brokers))
}

/// Who looks, and a place among the calls that are being made: a plugin may have to be asked who it is.
async fn eyes(
    desk: &Desk,
    headers: &HeaderMap,
    remote: SocketAddr,
) -> Result<(Arc<Principal>, Busy), Fault> {
    let busy = desk.enter()?;
    let auth = credentials(headers)?;
    Ok((desk.admit(auth.as_deref(), remote).await?, busy))
}

/// `[{ip, uuid, startedAt}]`, the last in milliseconds since 1970.
async fn app(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Seen<Vec<Value>> {
    let (who, _busy) = eyes(&desk, &headers, remote).await?;
    let apps = desk.apps(&who).into_iter().filter(|app| app.name == name);
    let shown =
        |app: AppView| json!({ "ip": app.ip, "uuid": app.uuid, "startedAt": app.connected_at_ms });
    Ok(Json(apps.map(shown).collect()))
}

/// `[{count, group?, version?}]`.
async fn service(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Seen<Vec<Value>> {
    let (who, _busy) = eyes(&desk, &headers, remote).await?;
    let mut services = desk.services(&who);
    services.retain(|service| service.service == name);
    let shown = |service: ServiceView| {
        let mut shown = Map::new();
        shown.insert("count".into(), service.instances.len().into());
        for (key, value) in [("group", service.group), ("version", service.version)] {
            if !value.is_empty() {
                shown.insert(key.into(), value.into());
            }
        }
        Value::Object(shown)
    };
    Ok(Json(services.into_iter().map(shown).collect()))
}

/// What one of the applications that publish the service says of it.
async fn definition(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    Path(name): Path<String>,
    mut headers: HeaderMap,
) -> Seen<Value> {
    let (who, _busy) = eyes(&desk, &headers, remote).await?;
    let mut found = desk.services(&who).into_iter();
    let instance = found.find_map(|it| match it.service == name {
        true => it.instances.into_iter().next(),
        false => None,
    });
    let unknown = || Fault::not_found(&format!("RST-900404: service not found: {name}"));
    let instance = instance.ok_or_else(unknown)?;
    let responder = desk.directory.instance(&instance).ok_or_else(unknown)?;
    if !desk.may_call(&who, (INTROSPECTION, FIND), &responder.link.principal) {
        return Err(Fault::not_allowed(INTROSPECTION));
    }
    headers.clear();
    let named = Named {
        service: INTROSPECTION,
        method: FIND,
        query: "",
    };
    let header = Question::read(named, &headers)?.metadata;
    let request = Asker::request(&instance, &header, json!([name]).to_string());
    let requester = desk.asker.requester().await;
    let requester = requester.map_err(|error| Fault::full(&error.to_string()))?;
    let reply = timeout(TIMEOUT, requester.request_response(request)).await;
    let reply = reply.map_err(|_| Fault::late())??;
    serde_json::from_slice(&reply.data).map(Json).map_err(|_| {
        let text = "the application does not describe its services: its answer is no JSON";
        Fault::new(StatusCode::BAD_GATEWAY, text)
    })
}

/// Service locators, as they are registered.
async fn services(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Seen<Vec<Value>> {
    let (who, _busy) = eyes(&desk, &headers, remote).await?;
    let shown = |service: ServiceView| {
        json!({
            "group": service.group, "service": service.service, "version": service.version,
            "tags": [], "gsv": service.key, "id": service.id,
        })
    };
    Ok(Json(desk.services(&who).into_iter().map(shown).collect()))
}

/// The addresses of each application.
async fn connections(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Seen<BTreeMap<String, Vec<String>>> {
    let (who, _busy) = eyes(&desk, &headers, remote).await?;
    let mut connections = BTreeMap::<String, Vec<String>>::new();
    for app in desk.apps(&who) {
        connections.entry(app.name).or_default().push(app.ip);
    }
    Ok(Json(connections))
}

async fn brokers(
    State(desk): State<Arc<Desk>>,
    ConnectInfo(remote): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Seen<Vec<Value>> {
    let _looks = eyes(&desk, &headers, remote).await?;
    Ok(Json(
        { (desk.brokers)().into_iter() }
            .filter_map(|uri| broker(&uri))
            .collect(),
    ))
}

/// Of a broker the others are known by nothing but their address.
fn broker(text: &str) -> Option<Value> {
    let uri: Uri = text.parse().ok()?;
    let (schema, rest) = text.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (host, port) = authority.rsplit_once(':')?;
    Some(json!({
        "id": uri.to_string(), "schema": schema, "ip": host, "externalDomain": null,
        "port": port.parse::<u16>().ok()?, "status": 1, "active": true, "url": text, "aliasUrl": text,
    }))
}

impl Desk {
    /// An application is shown to who may observe any of its services, or if it has none.
    fn apps(&self, who: &Principal) -> Vec<AppView> {
        let mut apps = self.directory.apps();
        let visible = |key: &String| {
            Service::parse(key).is_ok_and(|service| self.may_observe(who, service.service()))
        };
        apps.retain(|app| app.services.is_empty() || app.services.iter().any(visible));
        apps
    }

    fn services(&self, who: &Principal) -> Vec<ServiceView> {
        let mut services = self.directory.services();
        services.retain(|service| self.may_observe(who, &service.service));
        services
    }
}
