//! Sessions that outlive their transport (conformance 107 to 120).

use jackfield_rsocket::{
    engine::resume::{Session, Token},
    wire::Lease,
};

use super::*;
use crate::{identity::Principal, relay::handle::Handle};

/// The client's side of a session: what it sends is kept, what it receives is counted.
struct Client {
    peer: Peer,
    session: Session,
}

impl Client {
    /// Says SETUP with a token of its own.
    async fn new(world: &World, token: &[u8], entries: &[(Mime, &str)]) -> Self {
        let mut peer = world.dial();
        peer.setup_as(entries, Some(token), false).await;
        Self {
            peer,
            session: Session::new(Token::copy_from(token).unwrap(), 1 << 20),
        }
    }

    async fn send(&mut self, encode: impl FnOnce(&mut BytesMut)) {
        let mut frame = BytesMut::new();
        encode(&mut frame);
        self.session.on_sent(&frame, Bytes::new(), 0);
        self.peer.send_raw(&frame).await;
    }

    async fn raw(&mut self) -> Bytes {
        let frame = self.peer.raw().await.expect("the connection goes on");
        self.session.on_received(&frame);
        frame
    }

    async fn sees(&mut self) -> Seen {
        let frame = self.raw().await;
        Peer::describe(&frame)
    }

    /// The transport is gone, with whatever was under way in it.
    fn cut(&mut self, world: &World) {
        self.peer = world.dial();
    }

    async fn say_resume(&mut self) {
        let mut frame = BytesMut::new();
        self.session.resume().encode(&mut frame);
        self.peer.send_raw(&frame).await;
    }

    /// Goes on over another transport, and sends again what the broker says it has not.
    async fn resume(&mut self, world: &World) {
        self.cut(world);
        self.say_resume().await;
        let answer = self.raw().await;
        let Body::ResumeOk(ok) = Frame::decode(&answer).unwrap().body else {
            panic!("{:?}", Peer::describe(&answer));
        };
        self.session.continue_with(ok).unwrap();
        let again: Vec<Bytes> = self
            .session
            .replay()
            .map(|kept| kept.head.clone())
            .collect();
        for frame in again {
            self.peer.send_raw(&frame).await;
        }
    }
}

const TOKEN: &[u8] = b"a token of at least 16 bytes";
const OTHER: &[u8] = b"another token of 16 bytes or more";
const ECHO: [(Mime, &str); 2] = [
    (Mime::APPLICATION, r#"{"name":"echo"}"#),
    (Mime::SERVICE_REGISTRY, r#"["echo.Service"]"#),
];

/// A client with a session, in the middle of a stream of a hundred items under numbers 1 and 2.
async fn streaming(world: &World) -> (Peer, Client) {
    let mut echo = world.echo().await;
    let mut caller = Client::new(world, TOKEN, &[]).await;
    let metadata = to("echo.Service.count");
    let ask = request(Interaction::Stream, 100, &metadata);
    caller.send(|out| ask.encode(id(1), out)).await;
    assert_eq!(echo.sees().await.stream, 2);
    (echo, caller)
}

async fn settle(world: &World) {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    world.plane.directory.publish();
}

/// Conformance 108, 109: what was under way is sent again, once and in order; positions count
/// frames of streams.
#[test]
fn a_stream_survives_the_requesters_reconnect() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = Client::new(&world, TOKEN, &[]).await;
        let metadata = to("echo.Service.count");
        let ask = request(Interaction::Stream, 10, &metadata);
        caller.send(|out| ask.encode(id(1), out)).await;
        assert_eq!(echo.sees().await, seen(2, "Stream n=10 hello"));
        for item in [&b"a"[..], b"b", b"c"] {
            echo.payload(2, "N", item).await;
        }
        assert_eq!(caller.sees().await, seen(1, "payload N a"));
        // b and c were written to a transport that is gone; d and e come while there is none.
        settle(&world).await;
        caller.cut(&world);
        settle(&world).await;
        echo.payload(2, "N", b"d").await;
        echo.payload(2, "NC", b"e").await;
        settle(&world).await;
        caller.resume(&world).await;
        for item in ["N b", "N c", "N d", "NC e"] {
            assert_eq!(caller.sees().await, seen(1, format!("payload {item}")));
        }
        caller.peer.sees_nothing().await;
    });
}

/// A call in flight survives its responder's reconnect; meanwhile the responder gets nothing new.
#[test]
fn a_call_survives_the_responders_reconnect() {
    run(async {
        let world = World::new();
        let mut echo = Client::new(&world, TOKEN, &ECHO).await;
        settle(&world).await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        let ask = request(Interaction::Response, 0, &metadata);
        caller.request(1, ask).await;
        assert_eq!(echo.sees().await, seen(2, "Response n=0 hello"));
        echo.cut(&world);
        settle(&world).await;
        caller.request(3, ask).await;
        let refused = caller.sees().await;
        assert!(refused.what.contains("REJECTED"), "{refused:?}");
        let mut second = world.echo().await;
        caller.request(5, ask).await;
        assert_eq!(second.sees().await.what, "Response n=0 hello");
        echo.resume(&world).await;
        echo.send(|out| payload("NC", b"late").encode(id(2), out))
            .await;
        assert_eq!(caller.sees().await, seen(1, "payload NC late"));
    });
}

/// What was on its way to a responder and not sent goes elsewhere when its transport is lost.
#[test]
fn requests_not_sent_yet_leave_a_parked_link() {
    run(async {
        let world = World::new();
        let mut echo = Client::new(&world, TOKEN, &ECHO).await;
        settle(&world).await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.say");
        // Its pipe is full: what comes now waits in the outbox.
        let large = Request {
            data: &[7; 300_000],
            ..request(Interaction::Response, 0, &metadata)
        };
        for near in [1, 3, 5] {
            caller.request(near, large).await;
        }
        settle(&world).await;
        let mut second = world.echo().await;
        echo.cut(&world);
        settle(&world).await;
        let elsewhere = second.raw().await.unwrap();
        assert!(matches!(
            Frame::decode(&elsewhere).unwrap().body,
            Body::Request(_)
        ));
    });
}

/// Conformance 107, 110, 111: who cannot go on is told, and the session is over.
#[test]
fn a_resume_that_cannot_be_is_refused() {
    run(async {
        let world = World::new();
        let rejected = "error REJECTED_RESUME (0x004) RST-910410: ";
        let mut stranger = Client::new(&world, TOKEN, &[]).await;
        settle(&world).await;
        stranger.session = Session::new(Token::copy_from(OTHER).unwrap(), 100);
        stranger.cut(&world);
        stranger.say_resume().await;
        let no = stranger.sees().await;
        assert!(
            no.what.starts_with(&format!("{rejected}no such session")),
            "{no:?}"
        );
        assert!(stranger.peer.raw().await.is_none());

        for (token, received, available, why) in [
            (&b"sixteen bytes, 1"[..], 1, 0, "beyond what was sent"),
            (&b"sixteen bytes, 2"[..], 0, 1, "frames were lost"),
        ] {
            let mut client = Client::new(&world, token, &[]).await;
            settle(&world).await;
            client.cut(&world);
            settle(&world).await;
            let resume = jackfield_rsocket::wire::Resume {
                last_received: received,
                first_available: available,
                ..client.session.resume()
            };
            let mut frame = BytesMut::new();
            resume.encode(&mut frame);
            client.peer.send_raw(&frame).await;
            let no = client.sees().await;
            assert!(
                no.what.starts_with(rejected) && no.what.contains(why),
                "{no:?}"
            );
            client.cut(&world);
            client.say_resume().await;
            let gone = client.sees().await;
            assert!(gone.what.contains("no such session"), "{gone:?}");
        }
    });
}

/// Conformance 107 for a broker that keeps no sessions, and a token that is in use or too short.
#[test]
fn tokens_are_checked() {
    run(async {
        let world = World::new();
        let first = Client::new(&world, TOKEN, &[]).await;
        settle(&world).await;
        let mut second = Client::new(&world, TOKEN, &[]).await;
        let no = second.sees().await;
        let text = "RST-910409: the resume token is in use";
        assert_eq!(no, seen(0, format!("error REJECTED_SETUP (0x003) {text}")));
        drop(first);
        // A SETUP that is refused for another reason leaves its token free.
        let (io, _far) = memory(FRAME_LEN_MAX);
        let link = Handle::new(
            99,
            &io,
            Arc::new(Principal::anonymous()),
            &Limits::default(),
        );
        let mut taken = introduced_app("of another address");
        taken.remote = Some([192, 0, 2, 1].into());
        world
            .plane
            .directory
            .register(taken, Vec::new(), link)
            .unwrap();
        for _ in 0..2 {
            let app = r#"{"name":"a","uuid":"of another address"}"#;
            let mut client = Client::new(&world, OTHER, &[(Mime::APPLICATION, app)]).await;
            let no = client.sees().await;
            assert!(no.what.contains("RST-500409"), "{no:?}");
        }
        let mut short = world.dial();
        short.setup_as(&[], Some(b"fifteen bytes.."), false).await;
        assert!(short.sees().await.what.contains("REJECTED_SETUP"));
        let world = World::with(|limits| limits.parked_sessions = 0);
        let mut client = Client::new(&world, TOKEN, &[]).await;
        assert!(client.sees().await.what.contains("REJECTED_SETUP"));
        client.cut(&world);
        client.say_resume().await;
        assert!(client.sees().await.what.contains("REJECTED_RESUME"));
    });
}

fn introduced_app(uuid: &str) -> crate::directory::App {
    crate::directory::App {
        name: "a".into(),
        uuid: uuid.into(),
        ip: String::new(),
        remote: None,
        transport: "memory",
        sdk: None,
        power: 1,
        metadata: Default::default(),
        connected_at_ms: 0,
        owner: None,
        client: Default::default(),
    }
}

/// Conformance 113: the new transport takes over, and the old one is told.
#[test]
fn a_resume_while_the_old_transport_is_open_takes_over() {
    run(async {
        let world = World::new();
        let (mut echo, mut caller) = streaming(&world).await;
        echo.payload(2, "N", b"a").await;
        settle(&world).await;
        let mut old = std::mem::replace(&mut caller.peer, world.dial());
        caller.resume(&world).await;
        assert_eq!(caller.sees().await, seen(1, "payload N a"));
        echo.payload(2, "NC", b"b").await;
        assert_eq!(caller.sees().await, seen(1, "payload NC b"));
        assert_eq!(old.sees().await, seen(1, "payload N a"));
        let goodbye = old.sees().await;
        assert!(
            goodbye.what.starts_with("error CONNECTION_ERROR"),
            "{goodbye:?}"
        );
        assert!(old.raw().await.is_none());
    });
}

/// Conformance 116: after its time a session ends, and so do its streams, on either side.
#[test]
fn a_session_that_nobody_resumes_expires() {
    run(async {
        let world = World::with(|limits| limits.resume_window = Duration::from_secs(20));
        let mut echo = Client::new(&world, OTHER, &ECHO).await;
        settle(&world).await;
        let mut asking = Client::new(&world, TOKEN, &[]).await;
        let mut caller = world.caller().await;
        let metadata = to("echo.Service.count");
        let ask = request(Interaction::Stream, 10, &metadata);
        asking.send(|out| ask.encode(id(1), out)).await;
        echo.sees().await;
        let begun = tokio::time::Instant::now();
        asking.cut(&world);
        assert_eq!(echo.sees().await, seen(2, "cancel"));
        assert!(begun.elapsed() >= Duration::from_secs(20));
        asking.cut(&world);
        asking.say_resume().await;
        assert!(asking.sees().await.what.contains("no such session"));

        caller.request(1, ask).await;
        echo.sees().await;
        echo.cut(&world);
        let lost = caller.sees().await;
        assert!(lost.what.contains("RST-910499"), "{lost:?}");
        assert!(world.plane.directory.apps().is_empty());
    });
}

/// Conformance 117: what parked sessions hold is bounded, in number and in bytes; the one parked
/// longest ends.
#[test]
fn parked_sessions_are_bounded() {
    run(async {
        let world = World::with(|limits| limits.parked_sessions = 1);
        let (mut one, mut two) = (
            Client::new(&world, TOKEN, &[]).await,
            Client::new(&world, OTHER, &[]).await,
        );
        settle(&world).await;
        one.cut(&world);
        settle(&world).await;
        two.cut(&world);
        settle(&world).await;
        assert_eq!(world.plane.sessions.parked(), 1);
        one.say_resume().await;
        assert!(one.sees().await.what.contains("no such session"));
        two.resume(&world).await;

        let world = World::with(|limits| limits.parked_bytes = 100_000);
        let (mut echo, mut caller) = streaming(&world).await;
        caller.cut(&world);
        settle(&world).await;
        for _ in 0..10 {
            echo.payload(2, "N", &[7; 20_000]).await;
        }
        assert_eq!(echo.sees().await, seen(2, "cancel"));
        assert_eq!(world.plane.links.outbox_bytes(), 0);
    });
}

/// Silence costs a session its transport, not its streams.
#[test]
fn silence_parks_a_session() {
    run(async {
        let world = World::with(|limits| limits.resume_window = Duration::from_secs(600));
        let (mut echo, mut caller) = streaming(&world).await;
        echo.payload(2, "N", b"here").await;
        assert_eq!(caller.sees().await, seen(1, "payload N here"));
        for _ in 0..4 {
            echo.keepalive().await;
            tokio::time::sleep(Duration::from_secs(30)).await;
        }
        let end = caller.peer.raw().await;
        assert!(end.is_none(), "{end:?}");
        caller.resume(&world).await;
        echo.payload(2, "NC", b"still here").await;
        assert_eq!(caller.sees().await, seen(1, "payload NC still here"));
    });
}

/// Conformance 118: KEEPALIVE tells what was received, and is told; beyond what was sent ends the
/// connection.
#[test]
fn keepalive_tells_positions() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = Client::new(&world, TOKEN, &[]).await;
        let metadata = to("echo.Service.say");
        let ask = request(Interaction::Response, 0, &metadata);
        caller.send(|out| ask.encode(id(1), out)).await;
        echo.sees().await;
        echo.payload(2, "NC", b"reply").await;
        caller.sees().await;
        let sent = caller.session.sent().position();
        let ping = |position| {
            move |out: &mut BytesMut| {
                Keepalive {
                    respond: true,
                    position,
                    data: b"",
                }
                .encode(out);
            }
        };
        let received = caller.session.received();
        assert!(received > 0);
        for position in [0, received] {
            caller.send(ping(position)).await;
            let answer = caller.raw().await;
            let Body::Keepalive(answer) = Frame::decode(&answer).unwrap().body else {
                panic!("{answer:?}");
            };
            assert_eq!(answer.position, sent);
        }
        caller.resume(&world).await;
        caller.send(ping(received + 1)).await;
        let goodbye = caller.sees().await;
        assert!(
            goodbye.what.starts_with("error CONNECTION_ERROR"),
            "{goodbye:?}"
        );
    });
}

/// Conformance 115: what was granted before the resume is void on both sides, and the broker
/// grants anew.
#[test]
fn leases_begin_anew_after_a_resume() {
    run(async {
        let world = World::with(|limits| limits.lease.requests = 1);
        let mut echo = world.echo().await;
        let mut peer = world.dial();
        peer.setup_as(&[], Some(TOKEN), true).await;
        let session = Session::new(Token::copy_from(TOKEN).unwrap(), 1 << 20);
        let mut caller = Client { peer, session };
        let metadata = to("echo.Service.say");
        let ask = request(Interaction::Response, 0, &metadata);
        for near in [1, 3] {
            let granted = caller.raw().await;
            let Body::Lease(Lease { requests: 1, .. }) = Frame::decode(&granted).unwrap().body
            else {
                panic!("{granted:?}");
            };
            caller.send(|out| ask.encode(id(near), out)).await;
            assert_eq!(echo.sees().await.what, "Response n=0 hello");
            caller.resume(&world).await;
        }
    });
}

/// Conformance 119: a transport that is lost before RESUME was answered changes nothing.
#[test]
fn a_cut_in_the_middle_of_resume_recovers() {
    run(async {
        let world = World::new();
        let mut echo = world.echo().await;
        let mut caller = Client::new(&world, TOKEN, &[]).await;
        let metadata = to("echo.Service.say");
        let partial = Request {
            follows: true,
            ..request(Interaction::Response, 0, &metadata)
        };
        caller.send(|out| partial.encode(id(1), out)).await;
        assert_eq!(echo.sees().await, seen(2, "Response n=0 hello+"));
        for _ in 0..3 {
            caller.cut(&world);
            caller.say_resume().await;
        }
        caller.resume(&world).await;
        caller
            .send(|out| payload("N", b" world").encode(id(1), out))
            .await;
        assert_eq!(echo.sees().await, seen(2, "payload N  world"));
    });
}

/// Conformance 120: ten thousand cuts, at any place, of a channel that both sides number.
#[test]
fn ten_thousand_cuts_leave_no_gap() {
    run(async {
        let world = World::new();
        let mut echo = Client::new(&world, OTHER, &ECHO).await;
        settle(&world).await;
        let mut caller = Client::new(&world, TOKEN, &[]).await;
        let metadata = to("echo.Service.talk");
        let ask = request(Interaction::Channel, 0x7FFF_FFFF, &metadata);
        caller.send(|out| ask.encode(id(1), out)).await;
        assert!(echo.sees().await.what.starts_with("Channel"));
        let credit = jackfield_rsocket::wire::request_n(id(2), 0x7FFF_FFFF);
        echo.send(|out| out.extend_from_slice(&credit)).await;
        let mut random = super::super::random::Random::new(super::super::handle::LinkId(7));
        let mut numbers = [0u32; 4];
        let [asked, heard, said, got] = &mut numbers;
        for _ in 0..10_000 {
            for _ in 0..random.next() % 3 {
                *asked += 1;
                let data = asked.to_string();
                caller
                    .send(|out| payload("N", data.as_bytes()).encode(id(1), out))
                    .await;
            }
            for _ in 0..random.next() % 3 {
                *said += 1;
                let data = said.to_string();
                echo.send(|out| payload("N", data.as_bytes()).encode(id(2), out))
                    .await;
            }
            for _ in 0..random.next() % 8 {
                tokio::task::yield_now().await;
            }
            for (client, count, stream) in
                [(&mut caller, &mut *got, 1), (&mut echo, &mut *heard, 2)]
            {
                while let Some(frame) = client.ready().await {
                    client.session.on_received(&frame);
                    let what = Peer::describe(&frame);
                    if what.what.starts_with("credit") {
                        continue;
                    }
                    *count += 1;
                    assert_eq!(what, seen(stream, format!("payload N {count}")));
                }
            }
            match random.next() % 4 {
                0 => caller.resume(&world).await,
                1 => echo.resume(&world).await,
                _ => {}
            }
        }
        assert!(*got > 5000 && *heard > 5000, "{got} {heard}");
    });
}

/// What a full buffer gives up is what the peer has received long ago, so that more of it while
/// nobody is there ends no session.
#[test]
fn what_is_said_while_parked_ends_no_session() {
    run(async {
        let world = World::with(|limits| {
            limits.resume_bytes = 4096;
            limits.resume_window = Duration::from_secs(600);
        });
        let (mut echo, mut caller) = streaming(&world).await;
        for _ in 0..20 {
            echo.payload(2, "N", &[7; 1000]).await;
            caller.raw().await;
        }
        let metadata = to("echo.Service.count");
        let single = request(Interaction::Response, 0, &metadata);
        caller.send(|out| single.encode(id(3), out)).await;
        while echo.sees().await.stream != 4 {}
        caller.cut(&world);
        settle(&world).await;
        // Its time is up while it is parked.
        assert_eq!(echo.sees().await, seen(4, "cancel"));
        caller.resume(&world).await;
        assert!(caller.sees().await.what.contains("RST-910504"));
        echo.payload(2, "NC", b"last").await;
        assert_eq!(caller.sees().await, seen(1, "payload NC last"));
    });
}

/// A parked session waits without looking at anything again and again, leases or not.
#[test]
fn a_parked_session_rests() {
    run(async {
        let world = World::new();
        let mut peer = world.dial();
        peer.setup_as(&[], Some(TOKEN), true).await;
        let session = Session::new(Token::copy_from(TOKEN).unwrap(), 1 << 20);
        let mut caller = Client { peer, session };
        assert!(caller.sees().await.what.starts_with("Lease"));
        caller.cut(&world);
        settle(&world).await;
        let before = crate::relay::link::turns();
        tokio::time::sleep(Duration::from_secs(50)).await;
        let turns = crate::relay::link::turns() - before;
        assert!(turns < 20, "{turns} turns in 50 seconds");
        caller.resume(&world).await;
    });
}

/// A session that has ended says so once more when its task ends; a later one of the same token is
/// not touched by that.
#[test]
fn a_token_is_its_latest_sessions() {
    let sessions = crate::relay::sessions::Sessions::new(&Limits::default());
    let principal = Arc::new(Principal::anonymous());
    let handle = |id| {
        let (io, _far) = memory(FRAME_LEN_MAX);
        Handle::new(id, &io, principal.clone(), &Limits::default())
    };
    let (old, new) = (handle(1), handle(2));
    let token = Token::copy_from(TOKEN).unwrap();
    sessions.enter(&token, &old).unwrap();
    assert!(sessions.enter(&token, &new).is_err());
    sessions.leave(&token, old.id);
    sessions.enter(&token, &new).unwrap();
    sessions.leave(&token, old.id);
    assert_eq!(sessions.find(&token).unwrap().id, new.id);
}

impl Client {
    /// A frame that is there already.
    async fn ready(&mut self) -> Option<Bytes> {
        let frame = poll_once(self.peer.io.next_frame()).await?;
        Some(frame.expect("the connection goes on").unwrap())
    }
}
