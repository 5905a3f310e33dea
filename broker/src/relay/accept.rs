//! From a socket to a link: admission, handshake, SETUP, registration.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use jackfield_rsocket::{
    engine::{First, Offer, judge_first},
    net::{Accepted, Body, FrameIo, Listener, Peer},
    wire::{ErrorCode, ErrorFrame, Frame, StreamId},
};
use tokio::{
    sync::{Semaphore, mpsc},
    time::{Instant, timeout_at},
};

use super::{
    ending::{Ending, close_gently},
    handle::{Handle, Order},
    introduction::{Entries, Introduced, Seen, introduce},
    link::Link,
    links::{Admission, Full},
    plane::Plane,
    refusal::Refusal,
    resume::{Claim, Returning, come_back},
};
use crate::{
    directory::{Instance, RegisterError, Registered},
    identity::{Credentials, Principal},
};

/// Refused connections that are told why at the same time; the others are just closed.
const TURNED_AWAY_MAX: usize = 64;
const TURNED_AWAY_TIME: Duration = Duration::from_secs(2);
/// What is read of them: an ordinary SETUP, so that closing does not reset the connection.
const TURNED_AWAY_FRAME: usize = 64 * 1024;

/// The longest first frame, in bytes: SETUP with all the metadata that is taken, and room for its data.
/// Whoever has not said who it is makes the broker hold no more.
const FIRST_FRAME: usize = 1 << 20;

/// A connection on its way to the thread that will own it.
pub(super) enum Arrival {
    /// With the name of those who say nothing of themselves, where they are applications to be scraped.
    Socket(Accepted, Admission, Option<Arc<str>>),
    /// Of somebody in this process, who is known already or has to say who it is.
    Memory(FrameIo, Admission, Option<Arc<Principal>>),
}

/// Takes connections off a listener and spreads them over the threads. Ends with its task.
pub(super) async fn accept(
    listener: Listener,
    plane: Arc<Plane>,
    threads: Vec<mpsc::Sender<Arrival>>,
    scrape_only: Option<Arc<str>>,
) {
    let mut turn = 0;
    let turned_away = Arc::new(Semaphore::new(TURNED_AWAY_MAX));
    loop {
        let accepted = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Too many open files, most often: they will be fewer in a moment.
                tracing::warn!(code = "RST-100500", %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let admission = match plane.links.admit(address(accepted.peer())) {
            Ok(admission) => admission,
            Err(full) => {
                plane.metrics.refused_connection(full.as_str());
                if plane.links.may_log("RST-500400") {
                    tracing::warn!(code = "RST-500400", limit = full.as_str(), peer = %accepted.peer(), "connection refused");
                }
                turn_away(accepted, full, &turned_away);
                continue;
            }
        };
        turn = (turn + 1) % threads.len();
        // A thread that is behind by a whole queue of arrivals makes the listener wait.
        if threads[turn]
            .send(Arrival::Socket(accepted, admission, scrape_only.clone()))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// Tells a refused connection why, unless many are being told already: a flood gets silence.
fn turn_away(accepted: Accepted, full: Full, room: &Arc<Semaphore>) {
    let Ok(permit) = room.clone().try_acquire_owned() else {
        return;
    };
    tokio::spawn(async move {
        let told = async {
            if let Ok(mut io) = accepted.open(TURNED_AWAY_FRAME).await {
                say_no(&mut io, ErrorCode::REJECTED_SETUP, full.text()).await;
            }
        };
        let _ = tokio::time::timeout(TURNED_AWAY_TIME, told).await;
        drop(permit);
    });
}

pub(super) fn address(peer: Peer) -> Option<IpAddr> {
    match peer {
        Peer::Address(address) => Some(address.ip()),
        // Of this machine, like everybody at loopback.
        Peer::Unix => Some(Ipv4Addr::LOCALHOST.into()),
        _ => None,
    }
}

/// A connection's whole life on its thread.
pub(super) async fn serve(arrival: Arrival, plane: Arc<Plane>) {
    // In a box of its own: what opening takes is not owned for the rest of the connection's life.
    let Some(mut link) = Box::pin(open(arrival, &plane)).await else {
        return;
    };
    let (id, transport, plane) = (link.me.id, link.me.transport, link.plane.clone());
    let connections = plane.metrics.connections.with_label_values(&[transport]);
    connections.inc();
    let app = link.instance.clone();
    let ended = link.run().await;
    drop(link);
    if let Some(app) = app {
        plane.tell_gone(&app, &ended.ending);
    }
    connections.dec();
    plane.links.leave(id, ended.cut);
    match ended.ending {
        Ending::Error { code, text } if code != ErrorCode::CONNECTION_CLOSE => {
            if plane.links.may_log("RST-500407") {
                tracing::warn!(code = "RST-500407", link = %id, cut = ended.cut, "connection ended by us: {text}");
            }
        }
        Ending::Error { text, .. } | Ending::Peer(text) | Ending::Lost(text) => {
            if plane.links.may_log("RST-400202") {
                tracing::info!(code = "RST-400202", link = %id, cut = ended.cut, "disconnected: {text}");
            }
        }
    }
}

async fn open(arrival: Arrival, plane: &Arc<Plane>) -> Option<Link> {
    let deadline = Instant::now() + plane.limits.setup_timeout;
    let (mut io, admission, known, scrape_only) = match arrival {
        Arrival::Memory(io, admission, known) => (io, admission, known, None),
        Arrival::Socket(accepted, admission, scrape_only) => {
            let peer = accepted.peer();
            let opening = accepted.open(FIRST_FRAME.min(plane.limits.frame));
            match timeout_at(deadline, opening).await {
                Ok(Ok(io)) => (io, admission, None, scrape_only),
                Ok(Err(error)) => {
                    handshake_failed(plane, &peer.to_string(), &error.to_string());
                    return None;
                }
                Err(_) => {
                    handshake_failed(plane, &peer.to_string(), "not in time");
                    return None;
                }
            }
        }
    };
    let peer = io.peer();
    let first = timeout_at(
        deadline,
        first_frame(&mut io, plane, known, scrape_only.as_deref()),
    )
    .await;
    io.set_frame_max(plane.limits.frame);
    let late = "RST-500402: no SETUP within limits.setup-timeout; is this an RSocket client?";
    match first.unwrap_or_else(|_| Err(Some((ErrorCode::INVALID_SETUP, late.to_owned())))) {
        // It counts as half-open until it counts as a link, or has been told why it is none.
        Ok(Arrived::New(introduced)) => {
            let link = register(io, *introduced, plane).await;
            drop(admission);
            link
        }
        Ok(Arrived::Back(resume)) => {
            come_back(Returning::new(io, resume, admission), plane).await;
            None
        }
        Err(Some((code, text))) => {
            if plane.links.may_log("RST-500406") {
                tracing::warn!(code = "RST-500406", %peer, "SETUP refused: {text}");
            }
            plane.metrics.refused_connection("setup");
            let address = address(peer).map_or_else(String::new, |ip| ip.to_string());
            plane.tell_refused("", &address, &text);
            say_no(&mut io, code, &text).await;
            None
        }
        Err(None) => None,
    }
}

fn handshake_failed(plane: &Plane, peer: &str, error: &str) {
    plane.metrics.refused_connection("handshake");
    if plane.links.may_log("RST-500402") {
        tracing::info!(code = "RST-500402", %peer, error, "handshake failed");
    }
}

/// Reads and judges the first frame. The error is what to answer, if anything.
async fn first_frame(
    io: &mut FrameIo,
    plane: &Plane,
    known: Option<Arc<Principal>>,
    scrape_only: Option<&str>,
) -> Result<Arrived, Option<(ErrorCode, String)>> {
    let bytes = match io.next_frame().await {
        Some(Ok(bytes)) => bytes,
        Some(Err(error)) => {
            return Err(match Ending::of(&error) {
                Ending::Error { code, text } => Some((code, text)),
                Ending::Peer(_) | Ending::Lost(_) => None,
            });
        }
        None => return Err(None),
    };
    let offer = Offer {
        resume: plane.limits.parked_sessions > 0,
        lease: true,
    };
    let first = judge_first(Frame::decode(&bytes), offer)
        .map_err(|refused| Some((refused.code, format!("RST-500402: {}", refused.text))))?;
    match first {
        First::Resume(resume) => Ok(Arrived::Back(Claim::of(&resume))),
        First::Setup { setup, token } => {
            let shown = Credentials {
                auth: None,
                certificate: io.tls_identity().map(AsRef::as_ref),
                peer: io.peer(),
            };
            let (remote, transport) = (address(io.peer()), io.kind().as_str());
            let seen = Seen {
                remote,
                transport,
                scrape_only,
            };
            let (entries, principal, vouched) = match known {
                Some(known) => (Entries::of(&setup).map_err(setup_refused)?, known, None),
                None => plane
                    .admit(&setup, shown, transport)
                    .await
                    .map_err(setup_refused)?,
            };
            let mut introduced =
                introduce(&setup, token, &entries, principal, seen).map_err(setup_refused)?;
            introduced.vouched = vouched;
            plane
                .check_publish(&introduced.principal, &introduced.services)
                .map_err(setup_refused)?;
            Ok(Arrived::New(Box::new(introduced)))
        }
    }
}

/// What a first frame wants.
enum Arrived {
    New(Box<Introduced>),
    /// A session that is known goes on.
    Back(Claim),
}

fn setup_refused(refusal: Refusal) -> Option<(ErrorCode, String)> {
    let code = match refusal {
        Refusal::BadMetadata(_) => ErrorCode::INVALID_SETUP,
        ref other => other.code(),
    };
    Some((code, refusal.text()))
}

/// Makes the link, and the application known.
async fn register(mut io: FrameIo, mut introduced: Introduced, plane: &Arc<Plane>) -> Option<Link> {
    let transport = io.kind().as_str();
    let me = Handle::new(
        plane.links.next_id(),
        &io,
        introduced.principal.clone(),
        &plane.limits,
    );
    if let Some(token) = &introduced.token
        && plane.sessions.enter(token, &me).is_err()
    {
        plane.refused(&Refusal::TokenInUse, &me);
        say_no(
            &mut io,
            ErrorCode::REJECTED_SETUP,
            &Refusal::TokenInUse.text(),
        )
        .await;
        return None;
    }
    let services = std::mem::take(&mut introduced.services);
    let instance = match introduced.app.take() {
        None => None,
        Some(app) => match plane.directory.register(app, services, me.clone()) {
            Ok(Registered { instance, earlier }) => {
                if let Some(earlier) = earlier {
                    give_way(&earlier, &instance);
                }
                Some(instance)
            }
            Err(error) => {
                let refusal = match error {
                    RegisterError::UuidTaken(uuid) => Refusal::DuplicateUuid(uuid),
                    RegisterError::TooManyServices(_) => Refusal::BadApplication(error.to_string()),
                };
                if let Some(token) = &introduced.token {
                    plane.sessions.leave(token, me.id);
                }
                plane.refused(&refusal, &me);
                plane.tell_refused(&introduced.app_name, &me.address(), &refusal.text());
                say_no(&mut io, refusal.code(), &refusal.text()).await;
                return None;
            }
        },
    };
    plane.links.enter(&me);
    if let Some(app) = &instance {
        plane.tell_connected(app);
        plane.news.came(app);
    }
    // What was taken back between admission and here was looked for among the links without this one.
    if plane.identity.takes_back(&me.principal) {
        me.give_order(Order::TakeBack);
    }
    let peer = io.peer();
    if plane.links.may_log("RST-500200") {
        let app = instance
            .as_ref()
            .map_or("anonymous", |instance| instance.app.name.as_str());
        let services = instance
            .as_ref()
            .map_or(0, |instance| instance.services().len());
        let (kind, subject) = (me.principal.kind.as_str(), &me.principal.subject);
        tracing::info!(code = "RST-500200", link = %me.id, %peer, transport, app, services, kind, subject, "connected");
    }
    let vouched = introduced.vouched.take();
    let renewal = vouched.and_then(|vouched| vouched.renewal(&me, plane));
    let mut link = Link::new(io, me, plane.clone(), introduced);
    link.renewal = renewal;
    link.instance = instance;
    Some(link)
}

/// Ends the connection that a newer one of the same application has replaced: left open, it would
/// serve nobody and not know it.
fn give_way(earlier: &Instance<Arc<Handle>>, newer: &Instance<Arc<Handle>>) {
    tracing::warn!(
        code = "RST-500409",
        uuid = earlier.app.uuid,
        earlier = earlier.app.name,
        newer = newer.app.name,
        "a newer connection of the same uuid and principal or address takes over; the earlier one is closed"
    );
    earlier.link.give_order(Order::GiveWay);
}

pub(super) async fn say_no(io: &mut FrameIo, code: ErrorCode, text: &str) {
    let mut frame = bytes::BytesMut::new();
    ErrorFrame::new(code, text.as_bytes()).encode(StreamId::CONNECTION, &mut frame);
    io.push(&frame, Body::Copy(b""));
    close_gently(io).await;
}
