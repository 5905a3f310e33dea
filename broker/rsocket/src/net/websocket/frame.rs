//! The frames of RFC 6455 (5.2): headers and masks.

/// The largest body of a control frame.
pub(super) const CONTROL_MAX: u64 = 125;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OpCode {
    Continue,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
    Reserved(u8),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Nothing of this message follows.
    pub(super) last: bool,
    /// One of the bits is set that only an extension gives a meaning.
    pub(super) reserved: bool,
    pub(super) op_code: OpCode,
    pub(super) mask: Option<[u8; 4]>,
    /// Of the body.
    pub(super) len: u64,
    /// Of this header.
    pub(super) size: usize,
}

impl Header {
    /// The header at the beginning of these bytes, or how many bytes it wants at least.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, usize> {
        let missing = |size: usize| size - bytes.len();
        let Some(&[first, second]) = bytes.first_chunk::<2>() else {
            return Err(missing(2));
        };
        let extended = match second & LEN {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let is_masked = second & MASKED != 0;
        let size = 2 + extended + if is_masked { 4 } else { 0 };
        let Some(rest) = bytes.get(2..size) else {
            return Err(missing(size));
        };
        let (len, mask) = rest.split_at(extended);
        let len = match extended {
            0 => u64::from(second & LEN),
            _ => len.iter().fold(0, |len, byte| len << 8 | u64::from(*byte)),
        };
        Ok(Self {
            last: first & LAST != 0,
            reserved: first & RESERVED != 0,
            op_code: OpCode::of(first & 0x0F),
            mask: mask.first_chunk().copied(),
            len,
            size,
        })
    }

    /// The header of a whole message, and how many of the bytes it takes.
    pub(super) fn encode(
        op_code: OpCode,
        len: usize,
        mask: Option<[u8; 4]>,
    ) -> ([u8; HEADER_MAX], usize) {
        let mut header = [0; HEADER_MAX];
        header[0] = LAST | op_code.code();
        let mut size = 2;
        match len {
            ..126 => header[1] = len as u8,
            126..=0xFFFF => {
                header[1] = 126;
                header[2..4].copy_from_slice(&(len as u16).to_be_bytes());
                size = 4;
            }
            _ => {
                header[1] = 127;
                header[2..10].copy_from_slice(&(len as u64).to_be_bytes());
                size = 10;
            }
        }
        if let Some(mask) = mask {
            header[1] |= MASKED;
            header[size..size + 4].copy_from_slice(&mask);
            size += 4;
        }
        (header, size)
    }
}

impl OpCode {
    const fn of(code: u8) -> Self {
        match code {
            0x0 => Self::Continue,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            other => Self::Reserved(other),
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Continue => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
            Self::Reserved(code) => code,
        }
    }
}

/// Puts a mask on a body, or takes it off. Eight bytes at once: large messages pass here.
pub(super) fn unmask(body: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = body.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.into_iter().cycle()) {
        *byte ^= mask;
    }
}

const LAST: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;
const LEN: u8 = 0x7F;
const HEADER_MAX: usize = 14;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_read_back(len in prop_oneof![0usize..70_000, any::<u32>().prop_map(|len| len as usize)],
                             mask in any::<Option<[u8; 4]>>(), cut in 0usize..14) {
            let (bytes, size) = Header::encode(OpCode::Binary, len, mask);
            let header = Header::parse(&bytes[..size]).unwrap();
            let whole = Header {
                last: true,
                reserved: false,
                op_code: OpCode::Binary,
                mask,
                len: len as u64,
                size,
            };
            prop_assert_eq!(header, whole);
            if cut < size {
                let missing = Header::parse(&bytes[..cut]).unwrap_err();
                prop_assert!(missing > 0 && cut + missing <= size);
            }
        }

        #[test]
        fn a_mask_is_bytewise_and_its_own_inverse(body in any::<Vec<u8>>(), mask in any::<[u8; 4]>()) {
            let mut masked = body.clone();
            unmask(&mut masked, mask);
            for (at, (masked, plain)) in masked.iter().zip(&body).enumerate() {
                prop_assert_eq!(*masked, plain ^ mask[at % 4]);
            }
            unmask(&mut masked, mask);
            prop_assert_eq!(masked, body);
        }

        #[test]
        fn any_bytes_have_a_header_or_miss_some(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            match Header::parse(&bytes) {
                Ok(header) => prop_assert!(header.size <= bytes.len()),
                Err(missing) => prop_assert!(missing > 0 && bytes.len() + missing <= HEADER_MAX),
            }
        }
    }
}
