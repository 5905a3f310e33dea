use bytes::Bytes;
use jackfield_rsocket::net::TransportKind;

use crate::{
    input::Input,
    split::{Cuts, End, Read, read},
};

/// A byte stream of frames: the same frames wherever it is cut, and those of a plain splitter.
pub fn framed(data: &[u8]) {
    let mut input = Input::new(data);
    let frame_max = [64, 100, 1000, 0x00FF_FFFF][input.below(4)];
    let pieces = 1 + input.below(8);
    let lengths = input.take(pieces);
    let bytes = input.rest();
    let expected = expect(bytes, frame_max);
    for cuts in [Cuts::Nowhere, Cuts::Everywhere, Cuts::Into(lengths)] {
        let found = read(TransportKind::Memory, frame_max, b"", bytes, cuts);
        assert_eq!(found, expected, "{cuts:?}");
    }
}

fn expect(mut bytes: &[u8], frame_max: usize) -> Read {
    let mut frames = Vec::new();
    loop {
        let [a, b, c, rest @ ..] = bytes else {
            return (
                frames,
                if bytes.is_empty() {
                    End::Clean
                } else {
                    End::Cut
                },
            );
        };
        let len = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        if len < 6 || len > frame_max {
            return (frames, End::Fault);
        }
        let Some((frame, behind)) = rest.split_at_checked(len) else {
            return (frames, End::Cut);
        };
        frames.push(Bytes::copy_from_slice(frame));
        bytes = behind;
    }
}
