//! The whole of what plugins reach in the broker: its log and metrics, who serves what, and calls of their own.
//!
//! A plugin calls over a connection of its own, which joins from inside as principal `plugin:NAME`. The access rules hold
//! for it as for anybody. No plugin is asked about what it asks for (the relay knows it by its principal), so that a call
//! never comes back to who made it by way of the chain; by way of services it ends with the timeout of the hook that waits.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError, Weak},
};

use futures_util::StreamExt;
use jackfield_rsocket::{
    endpoint::{self, CallError, ConnectOptions, Credit, Incoming, Message, Requester},
    metadata::{CompositeBuilder, encode_tags},
    net::memory,
    wire::FRAME_LEN_MAX,
};

use crate::{
    chain::{
        App, AsksFor, CallFailure, Counter, Gauge, GuestCalls, HostCalls, LISTED_MAX, Level,
        OutgoingCall, Payload, Refusal, ServiceName, Waiting, shown_app, shown_service,
    },
    relay::{Directory, Relay},
};

/// What one answer to a plugin may have, all items together.
const ANSWER_MAX: usize = 4 << 20;
const REJECTED: u32 = 0x202;

pub(super) struct Guests {
    own: GuestCalls,
    directory: Arc<Directory>,
    calls: Arc<Calls>,
}

/// The connections of plugins.
#[derive(Default)]
struct Calls {
    /// Plugins are loaded before there is a relay.
    relay: OnceLock<Weak<Relay>>,
    connections: Mutex<HashMap<String, Requester>>,
}

impl Guests {
    pub(super) fn new(own: GuestCalls, directory: Arc<Directory>) -> Self {
        Self {
            own,
            directory,
            calls: Arc::default(),
        }
    }

    /// From now on plugins may call.
    pub(super) fn open(&self, relay: &Arc<Relay>) {
        // The server starts one relay.
        let _ = self.calls.relay.set(Arc::downgrade(relay));
    }
}

impl HostCalls for Guests {
    fn log(&self, plugin: &str, level: Level, message: &str) {
        self.own.log(plugin, level, message);
    }

    fn counter(&self, plugin: &str, name: &str) -> Option<Arc<dyn Counter>> {
        self.own.counter(plugin, name)
    }

    fn gauge(&self, plugin: &str, name: &str) -> Option<Arc<dyn Gauge>> {
        self.own.gauge(plugin, name)
    }

    fn count(&self, service: &ServiceName) -> u32 {
        let slot = self.directory.find(&key_of(service));
        let count = slot.map_or(0, |slot| {
            let candidates = slot.candidates();
            candidates.iter().filter(|it| !it.is_gone()).count()
        });
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn offers(&self, name: &str) -> Vec<ServiceName> {
        let offers = self.directory.offers(name, LISTED_MAX);
        offers.iter().map(shown_service).collect()
    }

    fn providers(&self, service: &ServiceName) -> Vec<App> {
        let slot = self.directory.find(&key_of(service));
        slot.map_or_else(Vec::new, |slot| {
            let candidates = slot.candidates();
            let there = candidates.iter().filter(|it| !it.is_gone());
            there.take(LISTED_MAX).map(|it| shown_app(it)).collect()
        })
    }

    fn call(&self, plugin: &str, request: OutgoingCall) -> Waiting<Vec<Payload>, CallFailure> {
        let (calls, plugin) = (self.calls.clone(), plugin.to_owned());
        Box::pin(async move {
            let asks_for = request.asks_for;
            let message = message(request)?;
            let requester = calls.requester(&plugin).await?;
            match asks_for {
                AsksFor::Nothing => {
                    requester.fire_and_forget(message).await.map_err(failure)?;
                    Ok(Vec::new())
                }
                AsksFor::One => {
                    let reply = requester.request_response(message).await;
                    Ok(vec![payload(reply.map_err(failure)?)])
                }
                AsksFor::Many(0) => Ok(Vec::new()),
                AsksFor::Many(items) => {
                    let credit = Credit::exactly(items);
                    let incoming = requester.request_stream(message, credit).await;
                    collect(incoming.map_err(failure)?, items).await
                }
            }
        })
    }
}

impl Calls {
    async fn requester(&self, plugin: &str) -> Result<Requester, CallFailure> {
        if let Some(requester) = self.held(plugin) {
            return Ok(requester);
        }
        let relay = self.relay.get().and_then(Weak::upgrade);
        let relay = relay.ok_or_else(|| refused("the broker is not ready"))?;
        let (ours, theirs) = memory(FRAME_LEN_MAX);
        let attached = relay.attach_plugin(theirs, plugin).await;
        attached.map_err(|error| refused(&error.to_string()))?;
        let mut options = ConnectOptions::new();
        options.limits.message = ANSWER_MAX;
        let requester =
            endpoint::attach(ours, options).map_err(|error| refused(&error.to_string()))?;
        // Of two that were made at once the later one stays; the other ends with its calls.
        self.lock().insert(plugin.to_owned(), requester.clone());
        Ok(requester)
    }

    fn held(&self, plugin: &str) -> Option<Requester> {
        let mut connections = self.lock();
        connections.retain(|_, requester| !requester.is_closed());
        connections.get(plugin).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Requester>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// At most so many items; the rest is cancelled as the stream is dropped.
async fn collect(mut items: Incoming, most: u32) -> Result<Vec<Payload>, CallFailure> {
    let (mut collected, mut bytes) = (Vec::new(), 0);
    while collected.len() < most as usize
        && let Some(item) = items.next().await
    {
        let item = item.map_err(failure)?;
        bytes += item.data.len() + item.metadata.as_ref().map_or(0, |it| it.len());
        if bytes > ANSWER_MAX {
            return Err(CallFailure::TooLarge);
        }
        collected.push(payload(item));
    }
    Ok(collected)
}

fn message(request: OutgoingCall) -> Result<Message, CallFailure> {
    let tags = request
        .tags
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let tags: Vec<String> = std::iter::once(request.route).chain(tags).collect();
    let routing = encode_tags(tags.iter().map(String::as_str));
    let mut metadata =
        CompositeBuilder::new().try_push(jackfield_rsocket::metadata::Mime::ROUTING, routing);
    for (mime, content) in &request.entries {
        metadata = metadata.push(mime.as_str(), content);
    }
    let metadata = metadata.finish();
    let metadata = metadata.map_err(|error| CallFailure::Denied(error.to_string()))?;
    Ok(Message::new(request.data).with_metadata(metadata))
}

fn payload(message: Message) -> Payload {
    Payload {
        metadata: message.metadata.map(|metadata| metadata.to_vec()),
        data: message.data.to_vec(),
    }
}

fn failure(error: CallError) -> CallFailure {
    match error {
        CallError::TooLarge { .. } => CallFailure::TooLarge,
        CallError::Failed(failure) => CallFailure::Refused(Refusal {
            code: failure.code.0,
            text: failure.text,
        }),
        other => refused(&other.to_string()),
    }
}

fn refused(why: &str) -> CallFailure {
    CallFailure::Refused(Refusal {
        code: REJECTED,
        text: why.to_owned(),
    })
}

fn key_of(service: &ServiceName) -> String {
    let ServiceName {
        group,
        name,
        version,
    } = service;
    let group = match group.is_empty() {
        true => String::new(),
        false => format!("{group}!"),
    };
    match version.is_empty() {
        true => format!("{group}{name}"),
        false => format!("{group}{name}:{version}"),
    }
}
