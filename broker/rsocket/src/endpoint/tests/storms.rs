//! Frames without sense, at both ends: nothing panics, and nobody is left waiting.

use futures_util::FutureExt;
use proptest::prelude::*;

use super::*;

const TOKEN: &[u8] = b"sixteen bytes ok";

fn server() -> Server {
    let lease = LeaseOptions {
        grant: LeasePolicy {
            requests: 20,
            ttl: std::time::Duration::from_secs(1),
        },
        without: WithoutLease::Wait,
    };
    let limits = Limits {
        message: 1000,
        streams: 8,
        mtu: 64,
        ..Limits::default()
    };
    Server::answering(echo()).with(ServeOptions {
        limits,
        resume: Some(ResumeOptions {
            buffer: 500,
            ..ResumeOptions::default()
        }),
        lease: Some(lease),
        ..ServeOptions::default()
    })
}

/// A frame of any type on one of few streams, with a body that often means something.
fn frame() -> impl Strategy<Value = (u32, u8, u16, Vec<u8>)> {
    let id = prop_oneof![4 => 0u32..8, 1 => any::<u32>()];
    let frame_type = prop_oneof![9 => 1u8..0x0F, 1 => 0u8..64];
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..40),
        proptest::collection::vec(0u8..3, 0..40),
        (0u8..4).prop_map(|n| vec![0, 0, 0, n, 0, 0, 1, b'm', b'5']),
        (0u64..300).prop_map(|position| position.to_be_bytes().to_vec()),
    ];
    (id, frame_type, any::<u16>(), body)
}

async fn play(raw: &mut Raw, frames: &[(u32, u8, u16, Vec<u8>)]) {
    for (id, frame_type, flags, body) in frames {
        let id = StreamId::from_wire(*id);
        let header = Header::new(id, FrameType(frame_type & 0x3F), Flags(flags & 0x3FF));
        raw.0.push(&header.encode(), Body::Copy(body));
    }
    // The other side may have closed.
    let _ = raw.0.flush().await;
    while let Some(Some(Ok(_))) = raw.0.next_frame().now_or_never() {}
    tokio::task::yield_now().await;
    while let Some(Some(Ok(_))) = raw.0.next_frame().now_or_never() {}
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_server_bears_anything(
        flags in any::<(bool, bool)>(),
        first in proptest::collection::vec(frame(), 0..40),
        positions in (0u64..400, 0u64..400),
        second in proptest::collection::vec(frame(), 0..40),
    ) {
        block_on(async {
            let server = server();
            let (mut raw, served) = Raw::dial(&server);
            let flags = Flags::NONE
                .with_if(Flags::RESUME, flags.0)
                .with_if(Flags::LEASE, flags.1);
            raw.setup(flags, TOKEN).await;
            play(&mut raw, &first).await;
            drop(raw);
            let (mut raw, resumed) = Raw::dial(&server);
            let (received, available) = positions;
            let positions = [received.to_be_bytes(), available.to_be_bytes()].concat();
            let body = [&b"\0\x01\0\0\0\x10"[..], TOKEN, &positions].concat();
            raw.send(0, FrameType::RESUME, Flags::NONE, &body).await;
            play(&mut raw, &second).await;
            drop(raw);
            // The clock runs on to the end of every window.
            resumed.await.expect("it did not panic");
            served.await.expect("it did not panic");
        });
    }

    #[test]
    fn a_client_bears_anything(
        first in proptest::collection::vec(frame(), 0..40),
        second in proptest::collection::vec(frame(), 0..40),
        options in any::<(bool, bool)>(),
    ) {
        block_on(async {
            let (hand_over, mut transports) = tokio::sync::mpsc::channel(100);
            let dial = move || {
                let (near, far) = memory(FRAME_MAX);
                let _ = hand_over.try_send(Raw(far));
                std::future::ready(Ok(near))
            };
            let backoff = Backoff { attempts: Some(3), ..Backoff::default() };
            let mut client = ConnectOptions::new().reconnect(backoff).serve(echo());
            client.resume = options.0.then(ResumeOptions::default);
            client.lease = options.1.then_some(LeaseOptions {
                grant: LeasePolicy { requests: 9, ttl: std::time::Duration::from_secs(9) },
                without: WithoutLease::Fail,
            });
            client.limits.message = 1000;
            let near = connect_with(dial, client).unwrap();
            let calls: Vec<_> = (0..3).map(|_| {
                let near = near.clone();
                tokio::spawn(async move {
                    let _ = near.request_response(Message::new("q")).await;
                    let items = near.request_stream(Message::new("q"), Credit::window(2)).await;
                    if let Ok(items) = items {
                        let _ = collect(items).await;
                    }
                })
            }).collect();
            for frames in [&first, &second] {
                if let Some(mut raw) = transports.recv().await {
                    play(&mut raw, frames).await;
                }
            }
            drop(transports);
            near.close();
            near.closed().await;
            for call in calls {
                call.await.expect("every call ends, and nothing panics");
            }
        });
    }
}
