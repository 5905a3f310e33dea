//! What the metadata of a frame means: composite entries, routing, authentication, registration.
//!
//! ```text
//! composite ── entries of one metadata block, by id or by full MIME text
//!   ├─ routing (0x7E) ─┐
//!   ├─ binary_routing ─┴─ target: what a request asks for; edit: the same, rewritten
//!   ├─ auth (0x7C), mime_type (0x7A, 0x7B), tracing (0x7D)
//!   └─ application (0x51), registry (0x54): who an app is, what it publishes
//! cloud_event ── what METADATA_PUSH carries between the archived broker and its clients
//! pattern ── service names with `*` in them, as rules are written with
//! ```
//!
//! Invariants
//! - Views borrow the bytes they were made from; nothing is copied until something is built.
//! - Nothing here panics, whatever the bytes: every length is checked, every fault is a
//!   [`MetadataError`].
//! - An entry named by its well-known id and one named by its full MIME text are the same entry.
//! - Service and handler ids are computed here from names; the `id` and `gsv` fields of the wire
//!   are not read.
//!
//! Looks down at nothing but the bytes. Looked at by: engine, net, endpoint, and the broker.

mod application;
mod auth;
mod binary_routing;
mod cloud_event;
mod composite;
mod cursor;
mod edit;
mod error;
mod hash;
mod mime;
mod mime_type;
mod pattern;
mod registry;
mod routing;
mod service;
mod tags;
mod target;
mod tracing;

pub use application::AppMetadata;
pub use auth::{Auth, AuthKind};
pub use binary_routing::BinaryRouting;
pub use cloud_event::{AppEvent, CloudEvent};
pub use composite::{Composite, CompositeBuilder, Entry, EntryMime};
pub use edit::{Edit, RouteEdit, TagEdit};
pub use error::MetadataError;
pub use hash::murmur3;
pub use mime::Mime;
pub use mime_type::{
    AcceptMimeTypes, decode_mime_type, encode_accept_mime_types, encode_mime_type,
};
pub use pattern::ServicePattern;
pub use registry::ServiceRegistry;
pub use routing::Route;
pub use service::Service;
pub use tags::{Tags, encode_tags};
pub use target::{RoutingEntries, Scan, Target};
pub use tracing::Tracing;
