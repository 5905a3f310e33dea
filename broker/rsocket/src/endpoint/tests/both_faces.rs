use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt, stream};
use tokio::sync::{mpsc, oneshot};

use super::*;
use crate::metadata::{AppMetadata, Auth, Composite, Mime, ServiceRegistry};
use crate::net::{Listener, Uri};
use crate::wire::ErrorCode;

fn numbers(count: u32) -> impl Stream<Item = Result<Message, Failure>> + Send + 'static {
    stream::iter((0..count).map(|at| Ok(Message::new(at.to_string()))))
}

/// Signals when it is dropped.
struct Dropped(Option<oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

fn dropped() -> (Dropped, oneshot::Receiver<()>) {
    let (sender, receiver) = oneshot::channel();
    (Dropped(Some(sender)), receiver)
}

/// Conformance 13, 86: metadata that is there and empty comes back so.
#[tokio::test]
async fn a_message_comes_back_whatever_its_size() {
    let limits = Limits {
        mtu: 4096,
        ..Limits::default()
    };
    let options = ConnectOptions::new().limits(limits);
    let Pair {
        near,
        far: _far,
        server: _server,
    } = pair(options, limits, echo()).await;
    for (metadata, data) in [
        (0, 0),
        (0, 10),
        (10, 0),
        (3000, 3000),
        (0, 4083),
        (1, 4083),
        (0, 1 << 20),
        (9000, 9000),
    ] {
        let message = match metadata {
            0 => Message::new(bytes(data)),
            _ => Message::new(bytes(data)).with_metadata(bytes(metadata)),
        };
        let answer = near.request_response(message.clone()).await.unwrap();
        assert!(answer == message, "{metadata} {data}");
    }
    let empty = Message::new("").with_metadata("");
    assert_eq!(near.request_response(empty.clone()).await.unwrap(), empty);
}

#[tokio::test]
async fn all_interactions_cross_tcp_and_websocket() {
    for uri in ["tcp://127.0.0.1:0", "ws://127.0.0.1:0/rsocket"] {
        let listener = Listener::bind(&uri.parse().unwrap()).await.unwrap();
        let uri: Uri = listener.uri().clone();
        let (told, mut tell) = mpsc::channel(4);
        let (pushed, mut push) = mpsc::channel(4);
        let handler: Arc<dyn Handler> = Arc::new(
            echo()
                .fire_and_forget(move |request| {
                    let told = told.clone();
                    async move { told.send(request.data).await.unwrap() }
                })
                .metadata_push(move |metadata| pushed.try_send(metadata).unwrap()),
        );
        let server = tokio::spawn(serve(listener, Limits::default(), move |_, _| {
            Ok(Arc::clone(&handler))
        }));
        let near = connect(&uri, ConnectOptions::new()).await.unwrap();
        assert_eq!(
            near.request_response(Message::new("hi"))
                .await
                .unwrap()
                .data,
            "hi"
        );
        let items = near
            .request_stream(Message::new("1000"), Credit::default())
            .await
            .unwrap();
        assert_eq!(collect(items).await.unwrap().len(), 1000);
        let first = Message::new("first");
        let items = near
            .request_channel(first, numbers(500), Credit::default())
            .await
            .unwrap();
        assert_eq!(collect(items).await.unwrap().len(), 501);
        near.fire_and_forget(Message::new("told")).await.unwrap();
        assert_eq!(tell.recv().await.unwrap(), "told");
        near.metadata_push("pushed").await.unwrap();
        assert_eq!(push.recv().await.unwrap(), "pushed");
        // Stopping the server ends its connections.
        server.abort();
        assert!(matches!(near.closed().await, Closed::Peer | Closed::Net(_)));
    }
}

#[tokio::test]
async fn a_long_stream_arrives_in_order_under_any_credit() {
    let near = served_by(echo()).await;
    for credit in [
        Credit::window(1),
        Credit::window(7),
        Credit::default(),
        Credit::endless(),
    ] {
        let items = near
            .request_stream(Message::new("20000"), credit)
            .await
            .unwrap();
        let items = collect(items).await.unwrap();
        assert_eq!(items.len(), 20_000, "{credit:?}");
        assert!(
            items
                .iter()
                .enumerate()
                .all(|(at, item)| *item == at.to_string())
        );
    }
}

#[tokio::test]
async fn a_stream_that_ends_with_its_credit_says_so() {
    let near = served_by(echo()).await;
    let items = near
        .request_stream(Message::new("3"), Credit::exactly(3))
        .await
        .unwrap();
    assert_eq!(collect(items).await.unwrap().len(), 3);
    let items = near
        .request_stream(Message::new("0"), Credit::exactly(1))
        .await
        .unwrap();
    assert!(collect(items).await.unwrap().is_empty());
}

#[tokio::test]
async fn credit_by_hand() {
    let near = served_by(echo()).await;
    let mut items = near
        .request_stream(Message::new("10"), Credit::exactly(2))
        .await
        .unwrap();
    assert!(items.next().await.unwrap().is_ok() && items.next().await.unwrap().is_ok());
    // A round trip later there is still no third.
    near.request_response(Message::new("")).await.unwrap();
    assert!(items.next().now_or_never().is_none());
    items.request_n(1);
    assert_eq!(items.next().await.unwrap().unwrap().data, "2");
}

/// Credit counts from the moment it is granted, sent or not.
#[tokio::test]
async fn credit_before_the_request_is_sent_goes_with_it() {
    let near = served_by(echo()).await;
    let mut items = near
        .request_stream(Message::new("10"), Credit::exactly(1))
        .await
        .unwrap();
    items.request_n(2);
    for expected in ["0", "1", "2"] {
        assert_eq!(items.next().await.unwrap().unwrap().data, expected);
    }
}

/// Conformance 58: both sides number their own streams.
#[tokio::test]
async fn either_end_calls_the_other() {
    let options = ConnectOptions::new().serve(echo());
    let Pair { near, far, .. } = pair(options, Limits::default(), echo()).await;
    let (a, b) = tokio::join!(
        near.request_response(Message::new("there")),
        far.request_response(Message::new("back")),
    );
    assert_eq!(
        (a.unwrap().data, b.unwrap().data),
        (Bytes::from("there"), Bytes::from("back"))
    );
    let items = far
        .request_stream(Message::new("5"), Credit::default())
        .await
        .unwrap();
    assert_eq!(collect(items).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_failure_arrives_unchanged() {
    let failing = Responder::new()
        .response(async |_| Err(Failure::new(ErrorCode(0x1234), "as it is")))
        .stream(|_| numbers(2).chain(stream::iter([Err(Failure::application("later"))])));
    let near = served_by(failing).await;
    let error = near.request_response(Message::new("")).await.unwrap_err();
    let CallError::Failed(failure) = error else {
        panic!("{error}")
    };
    assert_eq!(failure, Failure::new(ErrorCode(0x1234), "as it is"));

    let mut items = near
        .request_stream(Message::new(""), Credit::default())
        .await
        .unwrap();
    assert!(items.next().await.unwrap().is_ok() && items.next().await.unwrap().is_ok());
    let error = items.next().await.unwrap().unwrap_err();
    assert!(matches!(error, CallError::Failed(failure) if failure.text == "later"));
    assert!(items.next().await.is_none());
}

#[tokio::test]
async fn what_nobody_serves_is_refused() {
    let near = served_by(Responder::new()).await;
    let error = near.request_response(Message::new("")).await.unwrap_err();
    let CallError::Failed(failure) = error else {
        panic!("{error}")
    };
    assert_eq!(failure.code, ErrorCode::REJECTED);
    for items in [
        near.request_stream(Message::new(""), Credit::default())
            .await
            .unwrap(),
        near.request_channel(Message::new(""), numbers(3), Credit::default())
            .await
            .unwrap(),
    ] {
        assert!(matches!(collect(items).await, Err(CallError::Failed(_))));
    }
    near.fire_and_forget(Message::new("")).await.unwrap();
}

#[tokio::test]
async fn dropping_a_call_stops_the_handler() {
    let (started, mut starts) = mpsc::channel(4);
    let handler = {
        let (stream_started, response_started) = (started.clone(), started);
        Responder::new()
            .response(move |_| {
                let (guard, stopped) = dropped();
                response_started.try_send(stopped).unwrap();
                async move {
                    std::future::pending::<()>().await;
                    drop(guard);
                    Ok(Message::default())
                }
            })
            .stream(move |_| {
                let (guard, stopped) = dropped();
                stream_started.try_send(stopped).unwrap();
                numbers(1).chain(stream::pending()).map(move |item| {
                    let _ = &guard;
                    item
                })
            })
    };
    let near = served_by(handler).await;
    let mut call = Box::pin(near.request_response(Message::new("")));
    let stopped = tokio::select! {
        _ = &mut call => panic!("no answer comes"),
        stopped = starts.recv() => stopped.unwrap(),
    };
    drop(call);
    stopped.await.unwrap();
    let mut items = near
        .request_stream(Message::new(""), Credit::default())
        .await
        .unwrap();
    items.next().await.unwrap().unwrap();
    let stopped = starts.recv().await.unwrap();
    drop(items);
    stopped.await.unwrap();
}

#[tokio::test]
async fn a_channel_closes_in_halves() {
    let near = served_by(echo()).await;
    // The requester's half ends first: everything sent still comes back.
    let items = near
        .request_channel(Message::new("first"), numbers(300), Credit::window(3))
        .await
        .unwrap();
    let items = collect(items).await.unwrap();
    assert_eq!(
        (items.len(), &*items[0], &*items[300]),
        (301, &b"first"[..], &b"299"[..])
    );
    // The responder's half ends first: the requester goes on until it is done.
    let (seen, mut sees) = mpsc::channel(100);
    let sink = Responder::new().channel(move |_, mut rest| {
        let seen = seen.clone();
        tokio::spawn(async move {
            while let Some(Ok(item)) = rest.next().await {
                seen.send(item.data).await.unwrap();
            }
            seen.send("end".into()).await.unwrap();
        });
        stream::empty()
    });
    let near = served_by(sink).await;
    let items = near
        .request_channel(Message::new(""), numbers(90), Credit::default())
        .await
        .unwrap();
    assert!(collect(items).await.unwrap().is_empty());
    for at in 0..90 {
        assert_eq!(sees.recv().await.unwrap(), at.to_string());
    }
    assert_eq!(sees.recv().await.unwrap(), "end");
}

#[tokio::test]
async fn a_responder_that_drops_the_items_stops_their_source() {
    let sink = Responder::new().channel(|_, rest| {
        drop(rest);
        numbers(2)
    });
    let near = served_by(sink).await;
    let (guard, stopped) = dropped();
    let source = stream::pending().map(move |item| {
        let _ = &guard;
        item
    });
    let items = near
        .request_channel(Message::new(""), source, Credit::default())
        .await
        .unwrap();
    assert_eq!(collect(items).await.unwrap().len(), 2);
    stopped.await.unwrap();
}

#[tokio::test]
async fn a_source_that_fails_fails_both_ends() {
    let (seen, sees) = oneshot::channel();
    let seen = std::sync::Mutex::new(Some(seen));
    let handler = Responder::new().channel(move |_, mut rest| {
        let seen = seen.lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            let _ = seen.send(rest.next().await.unwrap().unwrap_err());
        });
        stream::pending()
    });
    let near = served_by(handler).await;
    let source = stream::iter([Err(Failure::application("broken"))]);
    let items = near
        .request_channel(Message::new(""), source, Credit::default())
        .await
        .unwrap();
    let error = collect(items).await.unwrap_err();
    assert!(matches!(error, CallError::Failed(failure) if failure.text == "broken"));
    let error = sees.await.unwrap();
    assert!(matches!(error, CallError::Failed(failure) if failure.text == "broken"));
}

#[tokio::test]
async fn an_application_introduces_itself() {
    let (client, server) = memory(FRAME_MAX);
    let options = ConnectOptions::app("orders")
        .publish("g!com.example.Orders:1")
        .unwrap()
        .bearer("token");
    assert!(!format!("{options:?}").contains("token"));
    let _near = attach(client, options).unwrap();
    let (hand_over, introduced) = oneshot::channel();
    let hand_over = std::sync::Mutex::new(Some(hand_over));
    let server = tokio::spawn(async move {
        let acceptor = |introduced: Introduced, _: Requester| {
            hand_over
                .lock()
                .unwrap()
                .take()
                .unwrap()
                .send(introduced)
                .unwrap();
            Ok(Arc::new(Responder::new()) as Arc<dyn Handler>)
        };
        accept(server, Limits::default(), &acceptor).await
    });
    let introduced = introduced.await.unwrap();
    assert_eq!(
        introduced.metadata_mime,
        "message/x.rsocket.composite-metadata.v0"
    );
    assert_eq!(introduced.lifetime, Duration::from_secs(90));
    let metadata = introduced.setup.metadata.unwrap();
    let content = |mime| {
        Composite::new(&metadata)
            .find_mime(mime)
            .unwrap()
            .unwrap()
            .content
    };
    assert_eq!(
        AppMetadata::decode(content(Mime::APPLICATION)).unwrap(),
        AppMetadata::named("orders")
    );
    let registry = ServiceRegistry::decode(content(Mime::SERVICE_REGISTRY)).unwrap();
    assert_eq!(registry.published[0].key(), "g!com.example.Orders:1");
    assert_eq!(
        Auth::decode(content(Mime::AUTHENTICATION)).unwrap(),
        Auth::Bearer("token")
    );
    server.abort();
}

#[tokio::test]
async fn a_refused_client_learns_why() {
    let (client, server) = memory(FRAME_MAX);
    let near = attach(client, ConnectOptions::new()).unwrap();
    let refuse = |_: Introduced, _: Requester| Err(Failure::rejected("RST-500405: who are you"));
    let (served, call) = tokio::join!(
        accept(server, Limits::default(), &refuse),
        near.request_response(Message::new("")),
    );
    assert!(matches!(served, Closed::Local));
    let error = call.unwrap_err();
    let CallError::Closed(Closed::Error(failure)) = error else {
        panic!("{error}")
    };
    assert_eq!(failure.code, ErrorCode::REJECTED_SETUP);
    assert_eq!(failure.text, "RST-500405: who are you");
    assert!(matches!(near.closed().await, Closed::Error(_)));
    assert!(matches!(
        near.fire_and_forget(Message::new("")).await,
        Err(CallError::Closed(_))
    ));
}

#[tokio::test]
async fn every_call_ends_when_the_connection_does() {
    let silent = Responder::new()
        .response(async |_| std::future::pending().await)
        .stream(|_| stream::pending())
        .channel(|_, _| stream::pending());
    let Pair { near, far, server } = pair(ConnectOptions::new(), Limits::default(), silent).await;
    let response = near.request_response(Message::new(""));
    let stream = near
        .request_stream(Message::new(""), Credit::default())
        .await
        .unwrap();
    let channel = near
        .request_channel(Message::new(""), stream::pending(), Credit::default())
        .await
        .unwrap();
    tokio::pin!(response);
    assert!(response.as_mut().now_or_never().is_none());
    server.abort();
    assert!(matches!(
        response.await,
        Err(CallError::Closed(Closed::Peer))
    ));
    assert!(matches!(
        collect(stream).await,
        Err(CallError::Closed(Closed::Peer))
    ));
    assert!(matches!(
        collect(channel).await,
        Err(CallError::Closed(Closed::Peer))
    ));
    assert!(matches!(far.closed().await, Closed::Local));
    assert!(near.is_closed());
}

/// Conformance 60: a handler that fails or panics, at once or later, fails its own stream.
#[tokio::test]
async fn a_handler_that_panics_fails_its_own_stream() {
    let handler = Responder::new()
        .response(async |request: Message| match &request.data[..] {
            b"panic" => panic!("on purpose"),
            b"fail" => Err(Failure::application("on purpose")),
            _ => Ok(request),
        })
        .stream(|request| {
            assert!(request.data != "panic", "on purpose");
            stream::iter(0..9).map(|at| {
                assert!(at < 3, "on purpose");
                Ok(Message::new(at.to_string()))
            })
        })
        .fire_and_forget(async |_| panic!("on purpose"))
        .metadata_push(|_| panic!("on purpose"));
    let near = served_by(handler).await;
    let failed = |error: CallError| match error {
        CallError::Failed(failure) => failure.code,
        other => panic!("{other}"),
    };
    let mut running = near
        .request_stream(Message::new(""), Credit::exactly(1))
        .await
        .unwrap();
    for bad in ["panic", "fail"] {
        let error = near.request_response(Message::new(bad)).await.unwrap_err();
        assert_eq!(failed(error), ErrorCode::APPLICATION_ERROR);
    }
    let items = near
        .request_stream(Message::new("panic"), Credit::default())
        .await
        .unwrap();
    assert_eq!(
        failed(collect(items).await.unwrap_err()),
        ErrorCode::APPLICATION_ERROR
    );
    near.fire_and_forget(Message::new("")).await.unwrap();
    near.metadata_push("").await.unwrap();
    assert_eq!(
        near.request_response(Message::new("q")).await.unwrap().data,
        "q"
    );
    // The stream that ran all the while goes on, up to its own panic.
    assert_eq!(running.next().await.unwrap().unwrap().data, "0");
    running.request_n(9);
    assert_eq!(
        failed(collect(running).await.unwrap_err()),
        ErrorCode::APPLICATION_ERROR
    );
}

#[tokio::test]
async fn absurd_durations_and_credits_are_cut_to_what_the_wire_can_say() {
    let options = ConnectOptions {
        keepalive: Duration::MAX,
        lifetime: Duration::MAX,
        ..ConnectOptions::new()
    };
    let Pair {
        near,
        far: _far,
        server: _server,
    } = pair(options, Limits::default(), echo()).await;
    let credit = Credit {
        initial: u32::MAX,
        refill: u32::MAX,
    };
    let items = near
        .request_stream(Message::new("3"), credit)
        .await
        .unwrap();
    assert_eq!(collect(items).await.unwrap().len(), 3);
}

#[tokio::test]
async fn closing_here_ends_both() {
    let Pair { near, far, server } = pair(ConnectOptions::new(), Limits::default(), echo()).await;
    near.close();
    assert!(matches!(near.closed().await, Closed::Local));
    assert!(matches!(far.closed().await, Closed::Peer));
    assert!(matches!(server.await.unwrap(), Closed::Peer));
    let error = near.request_response(Message::new("")).await.unwrap_err();
    assert!(matches!(error, CallError::Closed(Closed::Local)));
}

#[tokio::test]
async fn the_last_requester_takes_the_connection_along_after_its_streams() {
    let Pair {
        near,
        far: _far,
        server,
    } = pair(ConnectOptions::new(), Limits::default(), echo()).await;
    let items = near
        .request_stream(Message::new("1000"), Credit::window(2))
        .await
        .unwrap();
    drop(near.clone());
    drop(near);
    assert_eq!(collect(items).await.unwrap().len(), 1000);
    assert!(matches!(server.await.unwrap(), Closed::Peer));
}

#[tokio::test]
async fn streams_are_limited_on_both_sides() {
    let limits = Limits {
        streams: 2,
        ..Limits::default()
    };
    let silent = || Responder::new().response(async |_| std::future::pending().await);
    let options = ConnectOptions::new().limits(limits);
    let Pair {
        near,
        far: _far,
        server: _server,
    } = pair(options, Limits::default(), silent()).await;
    let (a, b) = (
        near.request_response(Message::new("")),
        near.request_response(Message::new("")),
    );
    tokio::pin!(a, b);
    assert!(a.as_mut().now_or_never().is_none() && b.as_mut().now_or_never().is_none());
    let error = near.request_response(Message::new("")).await.unwrap_err();
    assert!(matches!(error, CallError::Unavailable(_)));

    let Pair {
        near,
        far: _far,
        server: _server,
    } = pair(ConnectOptions::new(), limits, silent()).await;
    let (a, b) = (
        near.request_response(Message::new("")),
        near.request_response(Message::new("")),
    );
    tokio::pin!(a, b);
    assert!(a.as_mut().now_or_never().is_none() && b.as_mut().now_or_never().is_none());
    let error = near.request_response(Message::new("")).await.unwrap_err();
    assert!(matches!(error, CallError::Failed(failure) if failure.code == ErrorCode::REJECTED));
}

/// Conformance 94.
#[tokio::test]
async fn a_message_over_the_limit_ends_its_own_call_only() {
    let small = Limits {
        message: 100,
        ..Limits::default()
    };
    for mtu in [1000, 64] {
        let fragmenting = Limits {
            mtu,
            ..Limits::default()
        };
        // Too large a request.
        let options = ConnectOptions::new().limits(fragmenting);
        let Pair {
            near,
            far: _far,
            server: _server,
        } = pair(options, small, echo()).await;
        let error = near
            .request_response(Message::new(bytes(101)))
            .await
            .unwrap_err();
        let CallError::Failed(failure) = error else {
            panic!("{error}")
        };
        assert_eq!(failure.code, ErrorCode::INVALID);
        assert!(
            near.request_response(Message::new(bytes(100)))
                .await
                .is_ok()
        );
        // Too large an answer.
        let options = ConnectOptions::new().limits(small);
        let Pair {
            near,
            far: _far,
            server: _server,
        } = pair(options, fragmenting, echo()).await;
        let error = near
            .request_response(Message::new(bytes(101)))
            .await
            .unwrap_err();
        assert!(
            matches!(error, CallError::TooLarge { limit: 100 }),
            "{error}"
        );
        assert!(
            near.request_response(Message::new(bytes(100)))
                .await
                .is_ok()
        );
    }
}

#[tokio::test]
async fn many_callers_on_two_threads() {
    let listener = Listener::bind(&"tcp://127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let uri = listener.uri().clone();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = {
                let accepted = listener.accept().await.unwrap();
                accepted.open(FRAME_MAX).await.unwrap()
            };
            let handler: Arc<dyn Handler> = Arc::new(echo());
            accept(
                listener,
                Limits::default(),
                &|_: Introduced, _: Requester| Ok(Arc::clone(&handler)),
            )
            .await
        })
    });
    let near = connect(&uri, ConnectOptions::new()).await.unwrap();
    let calls = (0..2000usize).map(|at| {
        let near = near.clone();
        tokio::spawn(async move {
            let message = Message::new(bytes(at));
            assert!(near.request_response(message.clone()).await.unwrap() == message);
        })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    drop(near);
    // Joining must not block the runtime that closes the client.
    let server = tokio::task::spawn_blocking(move || server.join().unwrap());
    assert!(matches!(server.await.unwrap(), Closed::Peer));
}
