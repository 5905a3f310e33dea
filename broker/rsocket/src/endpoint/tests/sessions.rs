//! A server's sessions against a client that is played by hand. Numbers are those of the
//! conformance list.

use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc;

use super::*;

const TOKEN: &[u8] = b"sixteen bytes ok";
const WINDOW: Duration = Duration::from_secs(60);

fn server(handler: impl Handler, buffer: usize) -> Server {
    let resume = ResumeOptions {
        window: WINDOW,
        buffer,
    };
    Server::answering(handler).with(ServeOptions {
        resume: Some(resume),
        ..ServeOptions::default()
    })
}

/// The body of a RESUME.
fn resume(token: &[u8], version: [u8; 4], received: u64, first: u64) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend_from_slice(&(token.len() as u16).to_be_bytes());
    body.extend_from_slice(token);
    body.extend_from_slice(&received.to_be_bytes());
    body.extend_from_slice(&first.to_be_bytes());
    body
}

async fn come_back(server: &Server, received: u64, first: u64) -> (Raw, JoinHandle<Closed>) {
    let (mut raw, served) = Raw::dial(server);
    let body = resume(TOKEN, [0, 1, 0, 0], received, first);
    raw.send(0, FrameType::RESUME, Flags::NONE, &body).await;
    (raw, served)
}

/// A session on which one request and a stream of three items were sent: 11 + 11 bytes there, and
/// `reply` (11) and `0`, `1`, `2` (7 each) back.
async fn session(server: &Server) -> (Raw, JoinHandle<Closed>) {
    let (mut raw, served) = Raw::dial(server);
    raw.setup(Flags::RESUME, TOKEN).await;
    raw.send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"reply")
        .await;
    raw.expect(1, FrameType::PAYLOAD, next_complete(), b"reply")
        .await;
    // Neither of these counts.
    raw.send(0, FrameType::KEEPALIVE, Flags::RESPOND, &[0; 8])
        .await;
    let position = 11u64.to_be_bytes();
    raw.expect(0, FrameType::KEEPALIVE, Flags::NONE, &position)
        .await;
    raw.send(0, FrameType::METADATA_PUSH, Flags::METADATA, b"push")
        .await;
    raw.send(3, FrameType::REQUEST_STREAM, Flags::NONE, b"\0\0\0\x039")
        .await;
    for item in ["0", "1", "2"] {
        raw.expect(3, FrameType::PAYLOAD, Flags::NEXT, item.as_bytes())
            .await;
    }
    (raw, served)
}

async fn expect_ok(raw: &mut Raw, position: u64) {
    let position = position.to_be_bytes();
    raw.expect(0, FrameType::RESUME_OK, Flags::NONE, &position)
        .await;
}

/// Sends KEEPALIVE with a position, and takes the answer with another.
async fn ping(raw: &mut Raw, says: u64, hears: u64) {
    raw.send(0, FrameType::KEEPALIVE, Flags::RESPOND, &says.to_be_bytes())
        .await;
    raw.expect(0, FrameType::KEEPALIVE, Flags::NONE, &hears.to_be_bytes())
        .await;
}

/// Conformance 42, 108, 109: what was lost is sent again, byte for byte, and the stream goes on.
#[tokio::test]
async fn a_client_comes_back_and_nothing_is_missing() {
    // The client has seen everything, all but the last item, or nothing of the stream.
    for (received, again) in [(32, 0), (25, 1), (18, 2), (11, 3)] {
        let server = server(echo(), 10_000);
        let (raw, _served) = session(&server).await;
        drop(raw);
        let (mut raw, _) = come_back(&server, received, 0).await;
        expect_ok(&mut raw, 22).await;
        for item in &["0", "1", "2"][3 - again..] {
            raw.expect(3, FrameType::PAYLOAD, Flags::NEXT, item.as_bytes())
                .await;
        }
        // CANCEL and REQUEST_N count like every other frame of a stream.
        raw.send(3, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(1))
            .await;
        raw.expect(3, FrameType::PAYLOAD, Flags::NEXT, b"3").await;
        raw.send(3, FrameType::CANCEL, Flags::NONE, b"").await;
        ping(&mut raw, 39, 38).await;
    }
}

/// Conformance 107, 110, 111: what cannot be resumed is refused, and its session is gone.
#[tokio::test]
async fn a_resume_that_makes_no_sense_is_refused() {
    for (received, first) in [(33, 0), (12, 0), (32, 23)] {
        let server = server(echo(), 10_000);
        let (raw, served) = session(&server).await;
        drop(raw);
        let (mut raw, _) = come_back(&server, received, first).await;
        raw.expect_error(0, ErrorCode::REJECTED_RESUME).await;
        raw.expect_end().await;
        assert!(matches!(served.await.unwrap(), Closed::Error(_)));
        let (mut raw, _) = come_back(&server, 32, 0).await;
        raw.expect_error(0, ErrorCode::REJECTED_RESUME).await;
        raw.expect_end().await;
    }
    // A token that nobody has, on a server that resumes and on one that does not.
    for server in [server(echo(), 10_000), Server::answering(echo())] {
        let (mut raw, _) = come_back(&server, 0, 0).await;
        raw.expect_error(0, ErrorCode::REJECTED_RESUME).await;
        raw.expect_end().await;
    }
}

/// Conformance 112: a JavaScript client swaps the two numbers of its version.
#[tokio::test]
async fn the_version_of_a_resume_is_not_looked_at() {
    let server = server(echo(), 10_000);
    let (raw, _served) = session(&server).await;
    drop(raw);
    let (mut raw, _) = Raw::dial(&server);
    let body = resume(TOKEN, [0, 0, 0, 1], 32, 0);
    raw.send(0, FrameType::RESUME, Flags::NONE, &body).await;
    expect_ok(&mut raw, 22).await;
}

/// Conformance 113: a client that comes back before it was missed takes its session along.
#[tokio::test]
async fn a_newer_transport_takes_over() {
    let server = server(echo(), 10_000);
    let (mut old, _served) = session(&server).await;
    let (mut raw, handed_over) = come_back(&server, 25, 0).await;
    old.expect_error(0, ErrorCode::CONNECTION_ERROR).await;
    old.expect_end().await;
    expect_ok(&mut raw, 22).await;
    raw.expect(3, FrameType::PAYLOAD, Flags::NEXT, b"2").await;
    raw.send(3, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(1))
        .await;
    raw.expect(3, FrameType::PAYLOAD, Flags::NEXT, b"3").await;
    assert!(matches!(handed_over.await.unwrap(), Closed::Resumed));
}

/// Conformance 26: a token in use is refused, with a transport or without, and harms nobody.
#[tokio::test]
async fn a_token_in_use_is_refused() {
    let server = server(echo(), 10_000);
    let (mut first, _served) = session(&server).await;
    let refused = async || {
        let (mut raw, _) = Raw::dial(&server);
        raw.setup(Flags::RESUME, TOKEN).await;
        raw.expect_error(0, ErrorCode::REJECTED_SETUP).await;
        raw.expect_end().await;
    };
    refused().await;
    first
        .send(3, FrameType::REQUEST_N, Flags::NONE, &u32_bytes(1))
        .await;
    first.expect(3, FrameType::PAYLOAD, Flags::NEXT, b"3").await;
    drop(first);
    refused().await;
    let (mut raw, _) = come_back(&server, 39, 0).await;
    expect_ok(&mut raw, 32).await;
}

/// Sessions are bounded: one too many is refused, and what it held comes free with its end.
#[tokio::test]
async fn sessions_are_bounded() {
    let server = server(echo(), 10_000).with(ServeOptions {
        resume: Some(ResumeOptions::default()),
        sessions: 1,
        ..ServeOptions::default()
    });
    let (mut raw, served) = session(&server).await;
    let (mut other, _) = Raw::dial(&server);
    other.setup(Flags::RESUME, b"another sixteen bytes").await;
    other.expect_error(0, ErrorCode::REJECTED_SETUP).await;
    // Who takes his leave is not waited for.
    raw.send(0, FrameType::ERROR, Flags::NONE, b"\0\0\x01\x02bye")
        .await;
    drop(raw);
    assert!(matches!(served.await.unwrap(), Closed::Peer));
    let (mut other, _) = Raw::dial(&server);
    other.setup(Flags::RESUME, b"another sixteen bytes").await;
    other
        .send(1, FrameType::REQUEST_RESPONSE, Flags::NONE, b"q")
        .await;
    other
        .expect(1, FrameType::PAYLOAD, next_complete(), b"q")
        .await;
}

/// Tells when it is dropped.
struct Told(mpsc::Sender<()>);

impl Drop for Told {
    fn drop(&mut self) {
        let _ = self.0.try_send(());
    }
}

fn telling() -> (Responder, mpsc::Receiver<()>) {
    let (tell, told) = mpsc::channel(1);
    let handler = echo().stream(move |_| {
        let told = Told(tell.clone());
        stream::iter(0u32..).map(move |at| {
            let _ = &told;
            Ok(Message::new(at.to_string()))
        })
    });
    (handler, told)
}

/// Conformance 116: a client that stays away too long finds nothing.
#[tokio::test(start_paused = true)]
async fn a_session_ends_with_its_window() {
    let (handler, mut told) = telling();
    let server = server(handler, 10_000);
    let (raw, served) = session(&server).await;
    drop(raw);
    let began = tokio::time::Instant::now();
    told.recv().await.unwrap();
    assert_eq!(began.elapsed().as_secs(), WINDOW.as_secs());
    assert!(matches!(served.await.unwrap(), Closed::Expired));
    let (mut raw, _) = come_back(&server, 32, 0).await;
    raw.expect_error(0, ErrorCode::REJECTED_RESUME).await;
    raw.expect_end().await;
}

/// Conformance 43: a client that is only silent is waited for too.
#[tokio::test(start_paused = true)]
async fn silence_parks_a_session() {
    let server = server(echo(), 10_000);
    let (mut old, _served) = session(&server).await;
    let began = tokio::time::Instant::now();
    old.expect_end().await;
    assert_eq!(began.elapsed().as_secs(), 90);
    let (mut raw, _) = come_back(&server, 32, 0).await;
    expect_ok(&mut raw, 22).await;
}

/// Conformance 117: what the buffer had to give up cannot be resumed; the streams end.
#[tokio::test]
async fn a_session_that_lost_frames_is_dropped() {
    let (handler, mut told) = telling();
    let server = server(handler, 200);
    let (mut raw, served) = Raw::dial(&server);
    raw.setup(Flags::RESUME, TOKEN).await;
    raw.send(1, FrameType::REQUEST_STREAM, Flags::NONE, &u32_bytes(10))
        .await;
    // The server asks what has arrived before it gives anything up, and is not told.
    for item in 0..10 {
        loop {
            let (frame_type, _, _, body) = raw.next().await;
            if frame_type == FrameType::PAYLOAD {
                assert_eq!(body, item.to_string());
                break;
            }
            assert_eq!(frame_type, FrameType::KEEPALIVE);
        }
    }
    drop(raw);
    let (mut raw, _) = come_back(&server, 7, 0).await;
    let text = raw.expect_error(0, ErrorCode::REJECTED_RESUME).await;
    assert_eq!(text, "position is not kept any more");
    told.recv().await.unwrap();
    assert!(matches!(served.await.unwrap(), Closed::Error(_)));
}

/// Conformance 48, 118: what the client has is not kept; what it cannot have ends the connection.
#[tokio::test]
async fn keepalive_acknowledges() {
    let server = server(echo(), 10_000);
    let (mut raw, served) = session(&server).await;
    for position in [0, 18, 11, 0] {
        ping(&mut raw, position, 22).await;
    }
    drop(raw);
    let (mut raw, _) = come_back(&server, 18, 0).await;
    expect_ok(&mut raw, 22).await;
    raw.expect(3, FrameType::PAYLOAD, Flags::NEXT, b"1").await;
    raw.expect(3, FrameType::PAYLOAD, Flags::NEXT, b"2").await;
    raw.send(0, FrameType::KEEPALIVE, Flags::NONE, &33u64.to_be_bytes())
        .await;
    raw.expect_error(0, ErrorCode::CONNECTION_ERROR).await;
    raw.expect_end().await;
    drop(raw);
    assert!(matches!(served.await.unwrap(), Closed::Violation(_)));
}

/// Conformance 34, 114: RESUME is a first frame and nothing else.
#[tokio::test]
async fn a_second_resume_ends_the_connection() {
    let body = resume(TOKEN, [0, 1, 0, 0], 32, 0);
    for resumed in [false, true] {
        let server = server(echo(), 10_000);
        let (mut raw, _served) = session(&server).await;
        if resumed {
            drop(raw);
            (raw, _) = come_back(&server, 32, 0).await;
            expect_ok(&mut raw, 22).await;
        }
        raw.send(0, FrameType::RESUME, Flags::NONE, &body).await;
        raw.expect_error(0, ErrorCode::CONNECTION_ERROR).await;
        raw.expect_end().await;
    }
}

/// Conformance 119: a message cut in its middle goes on where it was cut, and a RESUME whose
/// transport dies before its answer may be tried again.
#[tokio::test]
async fn a_cut_in_the_middle_is_survived() {
    let server = server(echo(), 10_000);
    let (mut raw, _served) = session(&server).await;
    raw.send(5, FrameType::REQUEST_RESPONSE, Flags::FOLLOWS, b"one ")
        .await;
    // Answered in order, so the fragment has arrived.
    ping(&mut raw, 0, 32).await;
    drop(raw);
    for _ in 0..3 {
        let (raw, _) = come_back(&server, 32, 32).await;
        drop(raw);
    }
    let (mut raw, _) = come_back(&server, 32, 32).await;
    expect_ok(&mut raw, 32).await;
    raw.send(5, FrameType::PAYLOAD, Flags::NEXT, b"message")
        .await;
    raw.expect(5, FrameType::PAYLOAD, next_complete(), b"one message")
        .await;
}
