//! Leases, each end against one that is played by hand. Numbers are those of the conformance list.

use std::time::Duration;

use super::*;
use crate::wire::Interaction;

fn lease(requests: u32, without: WithoutLease) -> LeaseOptions {
    LeaseOptions {
        grant: LeasePolicy {
            requests,
            ttl: Duration::from_secs(10),
        },
        without,
    }
}

fn server(requests: u32) -> Server {
    Server::answering(echo()).with(ServeOptions {
        lease: Some(lease(requests, WithoutLease::Wait)),
        ..ServeOptions::default()
    })
}

/// The body of a LEASE.
fn granted(ttl_ms: u32, requests: u32) -> Vec<u8> {
    [u32_bytes(ttl_ms), u32_bytes(requests)].concat()
}

/// Conformance 28, 100: LEASE comes first, covers so many requests of any kind, and not one more.
#[tokio::test]
async fn a_server_grants_and_keeps_count() {
    for interaction in Interaction::ALL {
        let (mut raw, _served) = Raw::dial(&server(2));
        raw.setup(Flags::LEASE, b"").await;
        raw.expect(0, FrameType::LEASE, Flags::NONE, &granted(10_000, 2))
            .await;
        let body: &[u8] = if interaction.has_credit() {
            b"\0\0\0\x010"
        } else {
            b"q"
        };
        for id in [1, 3] {
            raw.send(id, interaction.frame_type(), Flags::NONE, body)
                .await;
        }
        raw.send(5, FrameType::REQUEST_RESPONSE, Flags::NONE, b"one too many")
            .await;
        // What the two were answered with is of no matter here.
        let text = loop {
            let (frame_type, id, _, body) = raw.next().await;
            if frame_type == FrameType::ERROR && id == 5 {
                assert_eq!(body[..4], u32_bytes(0x202));
                break body.slice(4..);
            }
            assert!(id < 5);
        };
        assert_eq!(text, "no lease for this request");
    }
}

/// Conformance 52, 99: without a lease nothing starts, and nothing comes back on a fire-and-forget;
/// a request in fragments is refused once.
#[tokio::test]
async fn a_server_refuses_what_has_no_lease() {
    let handler = echo().fire_and_forget(async |request| panic!("{request:?} had no lease"));
    let server = Server::answering(handler).with(ServeOptions {
        lease: Some(lease(0, WithoutLease::Wait)),
        ..ServeOptions::default()
    });
    let (mut raw, _served) = Raw::dial(&server);
    raw.setup(Flags::LEASE, b"").await;
    raw.expect(0, FrameType::LEASE, Flags::NONE, &granted(10_000, 0))
        .await;
    raw.send(1, FrameType::REQUEST_FNF, Flags::NONE, b"dropped")
        .await;
    raw.send(3, FrameType::REQUEST_FNF, Flags::FOLLOWS, b"dropped")
        .await;
    raw.send(3, FrameType::PAYLOAD, Flags::NEXT, b"too").await;
    raw.send(5, FrameType::REQUEST_STREAM, Flags::FOLLOWS, b"\0\0\0\x01")
        .await;
    raw.expect_error(5, ErrorCode::REJECTED).await;
    raw.send(5, FrameType::PAYLOAD, Flags::NEXT, b"9").await;
    raw.send(7, FrameType::REQUEST_CHANNEL, Flags::NONE, b"\0\0\0\x01")
        .await;
    raw.expect_error(7, ErrorCode::REJECTED).await;
}

/// Conformance 92, 102: a new lease replaces what was left, and fragments take one together.
#[tokio::test(start_paused = true)]
async fn a_server_renews_in_time() {
    let (mut raw, _served) = Raw::dial(&server(1));
    raw.setup(Flags::LEASE, b"").await;
    let begun = tokio::time::Instant::now();
    for id in [1, 5] {
        raw.expect(0, FrameType::LEASE, Flags::NONE, &granted(10_000, 1))
            .await;
        raw.send(id, FrameType::REQUEST_RESPONSE, Flags::FOLLOWS, b"a")
            .await;
        raw.send(id, FrameType::PAYLOAD, Flags::NEXT, b"b").await;
        raw.expect(id, FrameType::PAYLOAD, next_complete(), b"ab")
            .await;
        raw.send(id + 2, FrameType::REQUEST_RESPONSE, Flags::NONE, b"")
            .await;
        raw.expect_error(id + 2, ErrorCode::REJECTED).await;
    }
    assert_eq!(begun.elapsed().as_secs(), 9);
}

/// Conformance 103, 104, 106: a caller waits for its lease and never exceeds it; its own LEASE
/// comes right behind its SETUP.
#[tokio::test(start_paused = true)]
async fn a_caller_waits_for_its_lease() {
    let options = ConnectOptions::new().lease(lease(7, WithoutLease::Wait));
    let (near, mut raw) = Raw::server(options).await;
    raw.expect(0, FrameType::LEASE, Flags::NONE, &granted(10_000, 7))
        .await;
    for at in 0..3 {
        let message = Message::new(at.to_string());
        near.fire_and_forget(message).await.unwrap();
    }
    let second = Duration::from_secs(1);
    let quiet = tokio::time::timeout(second, raw.next()).await;
    assert!(quiet.is_err(), "nothing before a lease");
    let body = [&granted(1000, 2)[..], b"metadata"].concat();
    raw.send(0, FrameType::LEASE, Flags::METADATA, &body).await;
    raw.expect(1, FrameType::REQUEST_FNF, Flags::NONE, b"0")
        .await;
    raw.expect(3, FrameType::REQUEST_FNF, Flags::NONE, b"1")
        .await;
    // The third has to wait, and still does when the next lease is none.
    for none in [granted(0, 5), granted(5000, 0)] {
        raw.send(0, FrameType::LEASE, Flags::NONE, &none).await;
    }
    let quiet = tokio::time::timeout(second, raw.next()).await;
    assert!(quiet.is_err());
    raw.send(0, FrameType::LEASE, Flags::NONE, &granted(1000, 1))
        .await;
    raw.expect(5, FrameType::REQUEST_FNF, Flags::NONE, b"2")
        .await;
}

/// The other choice of a caller: what had no lease was not sent.
#[tokio::test]
async fn a_caller_may_rather_fail() {
    let options = ConnectOptions::new().lease(lease(1, WithoutLease::Fail));
    let (near, mut raw) = Raw::server(options).await;
    assert_eq!(raw.next().await.0, FrameType::LEASE);
    let error = near.request_response(Message::new("")).await.unwrap_err();
    assert!(matches!(error, CallError::NoLease));
    raw.send(0, FrameType::LEASE, Flags::NONE, &granted(60_000, 1))
        .await;
    raw.send(0, FrameType::KEEPALIVE, Flags::RESPOND, &[0; 8])
        .await;
    assert_eq!(raw.next().await.0, FrameType::KEEPALIVE);
    let answered = async {
        assert_eq!(raw.next().await.0, FrameType::REQUEST_RESPONSE);
        raw.send(1, FrameType::PAYLOAD, next_complete(), b"a").await;
    };
    let (reply, ()) = tokio::join!(near.request_response(Message::new("")), answered);
    assert_eq!(reply.unwrap().data, "a");
    let items = near
        .request_stream(Message::new(""), Credit::default())
        .await;
    let error = collect(items.unwrap()).await.unwrap_err();
    assert!(matches!(error, CallError::NoLease));
}

/// Conformance 104, 105: a server that calls back waits for its client's lease, and on a stream
/// LEASE says nothing.
#[tokio::test]
async fn a_server_that_calls_waits_as_well() {
    let (hand_over, mut requesters) = tokio::sync::mpsc::channel(1);
    let server = Server::new(move |_, requester| {
        hand_over.try_send(requester).unwrap();
        Ok(Arc::new(echo()))
    })
    .with(ServeOptions {
        lease: Some(lease(1, WithoutLease::Wait)),
        ..ServeOptions::default()
    });
    let (mut raw, _served) = Raw::dial(&server);
    raw.setup(Flags::LEASE, b"").await;
    assert_eq!(raw.next().await.0, FrameType::LEASE);
    let far = requesters.recv().await.unwrap();
    far.fire_and_forget(Message::new("f")).await.unwrap();
    raw.send(2, FrameType::LEASE, Flags::NONE, &granted(9999, 9))
        .await;
    raw.send(0, FrameType::KEEPALIVE, Flags::RESPOND, &[0; 8])
        .await;
    assert_eq!(raw.next().await.0, FrameType::KEEPALIVE);
    raw.send(0, FrameType::LEASE, Flags::NONE, &granted(9999, 9))
        .await;
    raw.expect(2, FrameType::REQUEST_FNF, Flags::NONE, b"f")
        .await;
}

/// Conformance 27, 105: where leases are not offered they are refused, and where they were not
/// asked for they say nothing.
#[tokio::test]
async fn leases_are_agreed_on_or_not_there() {
    let (mut raw, _served) = Raw::dial(&Server::answering(echo()));
    raw.setup(Flags::LEASE, b"").await;
    raw.expect_error(0, ErrorCode::UNSUPPORTED_SETUP).await;
    raw.expect_end().await;

    let (mut raw, _served) = Raw::dial(&server(0));
    raw.setup(Flags::NONE, b"").await;
    raw.send(0, FrameType::LEASE, Flags::NONE, &granted(0, 0))
        .await;
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"q")
        .await;
    raw.expect(1, FrameType::PAYLOAD, next_complete(), b"q")
        .await;
}

/// Conformance 115: after a resume the old lease is void, and a new one is sent.
#[tokio::test]
async fn leases_do_not_outlive_a_transport() {
    let server = server(1).with(ServeOptions {
        lease: Some(lease(1, WithoutLease::Wait)),
        resume: Some(ResumeOptions::default()),
        ..ServeOptions::default()
    });
    let (mut raw, _served) = Raw::dial(&server);
    let token = b"sixteen bytes ok";
    raw.setup(Flags::LEASE.with(Flags::RESUME), token).await;
    assert_eq!(raw.next().await.0, FrameType::LEASE);
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"q")
        .await;
    raw.expect(1, FrameType::PAYLOAD, next_complete(), b"q")
        .await;
    raw.send(3, FrameType::REQUEST_RESPONSE, Flags::NONE, b"q")
        .await;
    raw.expect_error(3, ErrorCode::REJECTED).await;
    drop(raw);
    let (mut raw, _) = Raw::dial(&server);
    // 7 bytes of the reply and 35 of the ERROR; 14 of the two requests.
    let positions = [42u64.to_be_bytes(), 14u64.to_be_bytes()].concat();
    let body = [&b"\0\x01\0\0\0\x10"[..], token, &positions].concat();
    raw.send(0, FrameType::RESUME, Flags::NONE, &body).await;
    raw.expect(0, FrameType::RESUME_OK, Flags::NONE, &14u64.to_be_bytes())
        .await;
    raw.expect(0, FrameType::LEASE, Flags::NONE, &granted(10_000, 1))
        .await;
    raw.send(5, FrameType::REQUEST_RESPONSE, Flags::NONE, b"again")
        .await;
    raw.expect(5, FrameType::PAYLOAD, next_complete(), b"again")
        .await;
}
