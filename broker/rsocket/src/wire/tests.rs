//! Golden frames, every decode error, and round trips. Numbers are those of the conformance list.

use bytes::BytesMut;
use proptest::prelude::*;

use super::*;

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn encoded(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
    let mut out = BytesMut::new();
    encode(&mut out);
    out.to_vec()
}

const ONE: StreamId = StreamId::from_wire(1);

fn setup<'a>() -> Setup<'a> {
    Setup {
        version: Version::V1_0,
        keepalive_ms: 500,
        lifetime_ms: 1500,
        resume_token: None,
        lease: false,
        metadata_mime: b"a/b",
        data_mime: b"c",
        metadata: Some(b"m"),
        data: b"dd",
    }
}

#[test]
fn setup_is_golden() {
    let golden = hex("00000000 0500 0001 0000 000001f4 000005dc 03 612f62 01 63 000001 6d 6464");
    assert_eq!(encoded(|out| setup().encode(out)), golden);
    let frame = Frame::decode(&golden).unwrap();
    assert_eq!(frame.body, Body::Setup(setup()));
    assert!(frame.header.stream_id.is_connection());
}

#[test]
fn setup_with_token_and_lease_is_golden() {
    let setup = Setup {
        resume_token: Some(b"tok"),
        lease: true,
        metadata: None,
        data: b"",
        ..setup()
    };
    let golden = hex("00000000 04c0 0001 0000 000001f4 000005dc 0003 746f6b 03 612f62 01 63");
    assert_eq!(encoded(|out| setup.encode(out)), golden);
    assert_eq!(Frame::decode(&golden).unwrap().body, Body::Setup(setup));
}

/// Conformance 22, 23: cut anywhere before its payload, a SETUP is an error and nothing else.
#[test]
fn setup_cut_anywhere_is_an_error() {
    let setup = Setup {
        resume_token: Some(b"token"),
        metadata: None,
        data: b"",
        ..setup()
    };
    let whole = encoded(|out| setup.encode(out));
    for len in 0..whole.len() {
        assert!(Frame::decode(&whole[..len]).is_err(), "cut at {len}");
    }
}

#[test]
fn setup_times_above_31_bits_are_errors() {
    let bytes = hex("00000000 0400 0001 0000 800001f4 000005dc 00 00");
    assert_eq!(
        Frame::decode(&bytes),
        Err(DecodeError::ReservedBit {
            field: "keepalive interval"
        })
    );
}

#[test]
fn requests_are_golden() {
    let request = |interaction, initial_n| Request {
        interaction,
        initial_n,
        follows: false,
        complete: false,
        metadata: Some(b"m"),
        data: b"d",
    };
    for (interaction, n, golden) in [
        (Interaction::Response, 0, "00000001 1100 000001 6d 64"),
        (Interaction::FireAndForget, 0, "00000001 1500 000001 6d 64"),
        (
            Interaction::Stream,
            7,
            "00000001 1900 00000007 000001 6d 64",
        ),
        (
            Interaction::Channel,
            7,
            "00000001 1d00 00000007 000001 6d 64",
        ),
    ] {
        let request = request(interaction, n);
        assert_eq!(
            encoded(|out| request.encode(ONE, out)),
            hex(golden),
            "{interaction:?}"
        );
        assert_eq!(
            Frame::decode(&hex(golden)).unwrap().body,
            Body::Request(request)
        );
    }
}

/// Conformance 14: nothing but a header is a request with nothing in it.
#[test]
fn empty_requests_are_accepted() {
    for (bytes, n) in [("00000001 1000", 0), ("00000001 1800 00000003", 3)] {
        let bytes = hex(bytes);
        let Body::Request(request) = Frame::decode(&bytes).unwrap().body else {
            panic!()
        };
        assert_eq!(
            (request.metadata, request.data, request.initial_n),
            (None, &b""[..], n)
        );
    }
}

/// Conformance 13: M with length zero is metadata present and empty.
#[test]
fn empty_metadata_is_present() {
    let bytes = hex("00000001 1100 000000 64");
    let Body::Request(request) = Frame::decode(&bytes).unwrap().body else {
        panic!()
    };
    assert_eq!(
        (request.metadata, request.data),
        (Some(&b""[..]), &b"d"[..])
    );
    assert_eq!(encoded(|out| request.encode(ONE, out)), bytes);
}

/// Conformance 12: a metadata length past the end is an error, or with I ignorable.
#[test]
fn metadata_past_the_end() {
    let bytes = hex("00000001 1100 000002 64");
    let error = Frame::decode(&bytes).unwrap_err();
    assert_eq!(error, DecodeError::MetadataLength { length: 2, rest: 1 });
    let bytes = hex("00000001 1300 000002 64");
    assert!(Frame::decode(&bytes).unwrap_err().ignorable());
}

/// Conformance 11: bits a type does not define change nothing.
#[test]
fn undefined_flags_are_ignored() {
    // N on REQUEST_CHANNEL; C and M on CANCEL; M on ERROR; M on REQUEST_N; low bits.
    let bytes = hex("00000001 1c3f 00000001");
    let Body::Request(request) = Frame::decode(&bytes).unwrap().body else {
        panic!()
    };
    assert!(!request.complete && request.metadata.is_none());
    assert_eq!(
        Frame::decode(&hex("00000001 2540")).unwrap().body,
        Body::Cancel
    );
    assert_eq!(
        Frame::decode(&hex("00000001 2100 00000005")).unwrap().body,
        Body::RequestN(5)
    );
    let bytes = hex("00000001 2d00 00000201 78");
    let error = ErrorFrame::new(ErrorCode::APPLICATION_ERROR, b"x");
    assert_eq!(Frame::decode(&bytes).unwrap().body, Body::Error(error));
}

#[test]
fn the_other_frames_are_golden() {
    assert_eq!(request_n(ONE, 3).to_vec(), hex("00000001 2000 00000003"));
    assert_eq!(cancel(ONE).to_vec(), hex("00000001 2400"));

    let keepalive = Keepalive {
        respond: true,
        position: 9,
        data: b"k",
    };
    let golden = hex("00000000 0c80 0000000000000009 6b");
    assert_eq!(encoded(|out| keepalive.encode(out)), golden);
    assert_eq!(
        Frame::decode(&golden).unwrap().body,
        Body::Keepalive(keepalive)
    );

    let payload = Payload {
        follows: false,
        complete: true,
        next: true,
        metadata: None,
        data: b"p",
    };
    let golden = hex("00000001 2860 70");
    assert_eq!(encoded(|out| payload.encode(ONE, out)), golden);
    assert_eq!(Frame::decode(&golden).unwrap().body, Body::Payload(payload));

    let error = ErrorFrame::new(ErrorCode(0x301), b"own");
    let golden = hex("00000001 2c00 00000301 6f776e");
    assert_eq!(encoded(|out| error.encode(ONE, out)), golden);
    assert_eq!(Frame::decode(&golden).unwrap().body, Body::Error(error));

    let resume = Resume {
        version: Version::V1_0,
        token: b"t",
        last_received: 1,
        first_available: 2,
    };
    let golden = hex("00000000 3400 0001 0000 0001 74 0000000000000001 0000000000000002");
    assert_eq!(encoded(|out| resume.encode(out)), golden);
    assert_eq!(Frame::decode(&golden).unwrap().body, Body::Resume(resume));

    let ok = ResumeOk { last_received: 25 };
    let golden = hex("00000000 3800 0000000000000019");
    assert_eq!(encoded(|out| ok.encode(out)), golden);
    assert_eq!(Frame::decode(&golden).unwrap().body, Body::ResumeOk(ok));
}

/// Conformance 15: LEASE and METADATA_PUSH have no inner metadata length.
#[test]
fn lease_and_push_metadata_runs_to_the_end() {
    let lease = Lease {
        ttl_ms: 1000,
        requests: 5,
        metadata: Some(b"why"),
    };
    let golden = hex("00000000 0900 000003e8 00000005 776879");
    assert_eq!(encoded(|out| lease.encode(out)), golden);
    assert_eq!(Frame::decode(&golden).unwrap().body, Body::Lease(lease));
    // JavaScript's 0.0.x clients leave M out (conformance 121).
    for bytes in ["00000000 3100 6d70", "00000000 3000 6d70"] {
        let bytes = hex(bytes);
        let push = MetadataPush { metadata: b"mp" };
        assert_eq!(
            Frame::decode(&bytes).unwrap().body,
            Body::MetadataPush(push)
        );
    }
}

/// Conformance 6: below the minimum of its type a frame is an error.
#[test]
fn frames_below_their_minimum_are_errors() {
    for bytes in [
        "00000000 05",
        "00000000 0800 00000001 000000",
        "00000000 0c00 00000000 000000",
        "00000001 1800 000000",
        "00000001 1c00 000000",
        "00000001 2000 0000",
        "00000001 2c00 0000",
        "00000000 3400 0001 0000 0002 74",
        "00000000 3800 00000000",
        "00000001 fc00 0000",
        "00000001 1100 0000",
    ] {
        let bytes = hex(bytes);
        assert!(
            matches!(Frame::decode(&bytes), Err(DecodeError::Truncated { .. })),
            "{bytes:02x?}"
        );
    }
}

#[test]
fn unknown_types_are_told_apart() {
    let bytes = hex("00000001 3c00");
    assert_eq!(Frame::decode(&bytes).unwrap().body, Body::Unknown(0x0F));
    let bytes = hex("00000001 fe00 00000007 78");
    let frame = Frame::decode(&bytes).unwrap();
    assert!(frame.header.flags.contains(Flags::IGNORE));
    let ext = Ext {
        extended_type: 7,
        metadata: None,
        data: b"x",
    };
    assert_eq!(frame.body, Body::Ext(ext));
}

proptest! {
    #[test]
    fn decoding_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        let _ = Frame::decode(&bytes);
    }

    #[test]
    fn payloads_come_back(
        id in 1u32..0x7FFF_FFFF,
        follows: bool,
        complete: bool,
        next: bool,
        metadata in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
        data in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let payload =
            Payload { follows, complete, next, metadata: metadata.as_deref(), data: &data };
        let bytes = encoded(|out| payload.encode(StreamId::from_wire(id), out));
        let frame = Frame::decode(&bytes).unwrap();
        prop_assert_eq!(frame.body, Body::Payload(payload));
        prop_assert_eq!(frame.header.stream_id.get(), id);
    }
}
