//! Who is refused at the door is told why.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

use super::admin::metrics;
use crate::broker::{Broker, CONFIG, Transport};

/// What the broker says on stream zero before it closes: code and text.
fn goodbye(stream: &mut TcpStream) -> (u32, String) {
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).expect("a limit");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it closes well");
    assert_eq!(bytes.get(3..9), Some(&b"\0\0\0\0\x2c\0"[..]), "{bytes:?}");
    let code = bytes[9..13].try_into().expect("four bytes");
    let text = String::from_utf8_lossy(&bytes[13..]).into_owned();
    (u32::from_be_bytes(code), text)
}

#[test]
fn the_newest_half_open_connection_is_told_why_it_is_refused() {
    let broker = Broker::start_with(&format!("{CONFIG}\n[limits]\npending-per-address = 2\n"));
    let address = broker.uri(Transport::Tcp).trim_start_matches("tcp://");
    let connect = || TcpStream::connect(address).expect("the kernel accepts");
    let (_one, _two) = (connect(), connect());
    let mut third = connect();
    // It may have said SETUP already; here it is something of that length.
    third.write_all(&[0; 60]).expect("sent");
    let (code, text) = goodbye(&mut third);
    assert_eq!(code, 0x003, "REJECTED_SETUP: {text}");
    assert!(
        text.starts_with("RST-500400: limits.pending-per-address"),
        "{text}"
    );
    let page = metrics(&broker);
    let counted = "jackfield_refused_total{reason=\"pending_per_address\"} 1";
    assert!(page.contains(counted), "{page}");
}
