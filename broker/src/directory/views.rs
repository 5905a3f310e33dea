use std::collections::BTreeMap;

use serde::Serialize;

use super::Status;

/// One connected application, as the admin API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct AppView {
    pub id: i32,
    pub uuid: String,
    pub name: String,
    /// The address the application claims.
    pub ip: String,
    /// The address the broker sees.
    pub remote: String,
    pub transport: &'static str,
    pub sdk: Option<String>,
    pub connected_at_ms: u64,
    pub status: Status,
    /// Weight against other instances of a service.
    pub power: u32,
    /// `[group!]service[:version]`, sorted.
    pub services: Vec<String>,
    pub metadata: BTreeMap<String, String>,
    /// Calls in flight towards the application.
    pub in_flight: u32,
}

/// One service and who offers it.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceView {
    /// `[group!]service[:version]`.
    pub key: String,
    pub group: String,
    pub service: String,
    pub version: String,
    /// Murmur3 of the key, as the archived broker computes it.
    pub id: i32,
    /// Whether another service has the same number, so that neither can be called by it alone.
    pub shares_id: bool,
    /// The uuids of the instances.
    pub instances: Vec<String>,
}
