//! What goes in comes out: any bytes, of any length, by every model and over every pair of transports.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use jackfield_rsocket::{
    endpoint::{ConnectOptions, Credit, Failure, Message, Requester, Responder, attach},
    metadata::{CompositeBuilder, Mime},
    net::{FRAME_MAX, connect_with},
};
use tokio::{sync::mpsc, time::timeout};

use super::{caller::wait_for, run, tls::Authority};
use crate::broker::{Broker, Transport};

/// The largest comes in fragments one way and in one frame the other.
const SIZES: [usize; 6] = [0, 1, 127, 4096, 65_537, 1 << 20];

/// Bytes that repeat nowhere, other ones for each seed.
fn noise(seed: usize, len: usize) -> Bytes {
    let mut state = seed as u64 + 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(len).collect()
}

/// Answers with what it got, metadata too; a fire-and-forget goes to `told`.
fn echo(told: mpsc::UnboundedSender<Message>) -> Responder {
    Responder::new()
        .response(async |message: Message| Ok(message))
        .stream(|message: Message| stream::iter([Ok(message.clone()), Ok(message)]))
        .channel(|first, rest| {
            let rest =
                rest.map(|item| item.map_err(|error| Failure::application(error.to_string())));
            stream::iter([Ok(first)]).chain(rest)
        })
        .fire_and_forget(move |message| {
            let told = told.clone();
            async move {
                let _ = told.send(message);
            }
        })
}

async fn join(uri: &str, authority: &Authority, app: ConnectOptions) -> Requester {
    let uri = uri.parse().expect("a uri");
    let io = connect_with(&uri, FRAME_MAX, &authority.dial_options()).await;
    attach(io.expect("the broker accepts"), app).expect("a connection")
}

/// One message of this size to `service`, whose metadata has as much noise beside the route.
fn message(service: &str, size: usize) -> Message {
    let route = format!("{service}.echo");
    let metadata = CompositeBuilder::new()
        .route(&route)
        .push(Mime::OCTET_STREAM, &noise(size + 7, size));
    Message::new(noise(size, size)).with_metadata(metadata.finish().expect("metadata"))
}

/// All models with one size; what comes back is what was sent.
async fn cross(
    near: &Requester,
    service: &str,
    size: usize,
    told: &mut mpsc::UnboundedReceiver<Message>,
) {
    let sent = message(service, size);
    let reply = near.request_response(sent.clone()).await;
    assert_eq!(reply.expect("a reply"), sent, "response of {size}");

    let items = near.request_stream(sent.clone(), Credit::window(1)).await;
    let items: Vec<_> = items.expect("items").collect().await;
    assert_eq!(items.len(), 2);
    for item in items {
        assert_eq!(item.expect("an item"), sent, "item of {size}");
    }

    let rest = Message::new(noise(size + 1, size)).with_metadata(noise(size + 2, size));
    let more = stream::iter([Ok(rest.clone())]);
    let back = near
        .request_channel(sent.clone(), more, Credit::window(1))
        .await;
    let back: Vec<_> = back.expect("a channel").collect().await;
    let back: Vec<_> = back
        .into_iter()
        .map(|item| item.expect("an item"))
        .collect();
    assert_eq!(back, [sent.clone(), rest], "channel of {size}");

    near.fire_and_forget(sent.clone()).await.expect("sent");
    let heard = timeout(Duration::from_secs(60), told.recv()).await;
    assert_eq!(heard.expect("in time").expect("open"), sent, "told {size}");
}

/// Conformance 130, but for METADATA_PUSH, which a broker has nobody to pass on to.
#[test]
fn any_bytes_arrive_as_they_were_sent() {
    let authority = Authority::new();
    let broker = Broker::start_with(&authority.config(2090));
    let [tls, wss, _, unix] = broker.others() else {
        panic!("four listeners: {:?}", broker.others())
    };
    let (tcp, ws) = (broker.uri(Transport::Tcp), broker.uri(Transport::Ws));
    let pairs = [
        (tcp, tcp),
        (ws, ws),
        (tcp, ws),
        (ws, tcp),
        (tls, tcp),
        (tcp, tls),
        (wss, tls),
        (unix, wss),
    ];
    run(async {
        for (number, (near, far)) in pairs.into_iter().enumerate() {
            let service = format!("bytes.Echo{number}");
            let (tell, mut told) = mpsc::unbounded_channel();
            let app = ConnectOptions::app("echo").publish(&service);
            let app = app.expect("a name").serve(echo(tell));
            let _echo = join(far, &authority, app).await;
            let near = join(near, &authority, ConnectOptions::app("caller")).await;
            wait_for(&near, &format!("{service}.echo")).await;
            for size in SIZES {
                cross(&near, &service, size, &mut told).await;
            }
        }
    });
}
