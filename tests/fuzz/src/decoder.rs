use bytes::{BufMut, BytesMut};
use jackfield_rsocket::{
    engine::{Connection, KeepaliveTimer, Terms},
    wire::{Body, Frame, FrameType, Header, Reader, Side, cancel, request_n},
};

/// One frame: no panic whatever the bytes, and what is read and written again reads the same.
pub fn decoder(data: &[u8]) {
    // Every prefix of a short frame, because ends are where decoders go wrong.
    for end in 0..data.len().min(64) {
        let _ = Frame::decode(&data[..end]);
    }
    let frame = match Frame::decode(data) {
        Ok(frame) => frame,
        Err(error) => {
            // Only a frame that says so itself may be passed over.
            let flags = Header::decode(&mut Reader::new(data)).map(|header| header.flags.0);
            assert_eq!(
                error.ignorable(),
                flags.is_ok_and(|flags| flags & 0x200 != 0)
            );
            return;
        }
    };
    assert!(
        frame.header.stream_id.get() <= 0x7FFF_FFFF,
        "the reserved bit is masked"
    );
    if let Some(written) = write(&frame) {
        let again = Frame::decode(&written).expect("what was written can be read");
        assert_eq!(again.body, frame.body);
        assert_eq!(again.header.frame_type, frame.header.frame_type);
    }
    // It means something to an engine, whatever it is.
    let terms = Terms {
        side: Side::Server,
        keepalive: KeepaliveTimer::server(
            std::time::Duration::from_secs(9),
            std::time::Instant::now(),
        ),
        streams_max: 1,
    };
    let _ = Connection::<()>::new(terms).handle(frame);
}

/// The frame as the crate writes it; none for types that it never sends.
fn write(frame: &Frame<'_>) -> Option<BytesMut> {
    let id = frame.header.stream_id;
    let mut out = BytesMut::new();
    match frame.body {
        // What is written is cut to what the frame can say; what was read fits.
        Body::Setup(setup) => setup.encode(&mut out),
        Body::Lease(lease) => lease.encode(&mut out),
        Body::Keepalive(keepalive) => keepalive.encode(&mut out),
        Body::Request(request) => request.encode(id, &mut out),
        Body::RequestN(n) => out.put_slice(&request_n(id, n)),
        Body::Cancel => out.put_slice(&cancel(id)),
        Body::Payload(payload) => payload.encode(id, &mut out),
        Body::Error(error) => error.encode(id, &mut out),
        Body::MetadataPush(push) => push.encode(&mut out),
        Body::Resume(resume) => resume.encode(&mut out),
        Body::ResumeOk(ok) => ok.encode(&mut out),
        Body::Ext(_) | Body::Unknown(_) => {
            assert!(
                frame.header.frame_type == FrameType::EXT || matches!(frame.body, Body::Unknown(_))
            );
            return None;
        }
    }
    Some(out)
}
