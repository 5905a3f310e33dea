use super::cursor::{Cursor, text};
use super::{MetadataError, Route};

/// Routing as numbers (0x50), the archived Alibaba broker's: service id, handler id, flags, each
/// 32 bits, and the routing text they were made from, which may be left out.
///
/// Both ids are what the client computed. Where there is text, the broker computes its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BinaryRouting<'a> {
    pub service_id: i32,
    pub handler_id: i32,
    /// Kept whole, so that bits we do not know survive a rewrite.
    pub flags: i32,
    /// Same grammar as the first tag of a routing entry; empty when absent.
    pub text: &'a str,
}

impl<'a> BinaryRouting<'a> {
    /// What a client writes for this text.
    pub fn of_text(text: &'a str) -> Self {
        let route = Route::parse(text);
        let flags = if route.sticky { Self::STICKY } else { 0 };
        Self {
            service_id: route.service_id(),
            handler_id: route.handler_id(),
            flags,
            text,
        }
    }

    pub fn decode(content: &'a [u8]) -> Result<Self, MetadataError> {
        let mut cursor = Cursor::new(content);
        Ok(Self {
            service_id: cursor.i32("service id")?,
            handler_id: cursor.i32("handler id")?,
            flags: cursor.i32("flags of the binary routing")?,
            text: text(cursor.rest(), "text of the binary routing")?,
        })
    }

    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(12 + self.text.len());
        out.extend_from_slice(&self.service_id.to_be_bytes());
        out.extend_from_slice(&self.handler_id.to_be_bytes());
        out.extend_from_slice(&self.flags.to_be_bytes());
        out.extend_from_slice(self.text.as_bytes());
        out
    }

    pub const fn sticky(&self) -> bool {
        self.flags & Self::STICKY != 0
    }

    /// Flag bit 0; the others are unassigned.
    pub const STICKY: i32 = 1;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        let routing = BinaryRouting::of_text("com.alibaba.user.UserService.findById?sticky=1&");
        let encoded = routing.encode();
        assert_eq!(
            encoded[..12],
            *b"\xD9\xEE\x76\x5B\x5D\x69\x9A\xF6\x00\x00\x00\x01"
        );
        assert_eq!(
            &encoded[12..],
            b"com.alibaba.user.UserService.findById?sticky=1&"
        );
        assert!(routing.sticky());
        assert_eq!(BinaryRouting::decode(&encoded).unwrap(), routing);
    }

    #[test]
    fn the_text_may_be_absent() {
        let routing = BinaryRouting::decode(&[0; 12]).unwrap();
        assert_eq!((routing.text, routing.sticky()), ("", false));
    }

    #[test]
    fn every_fault_is_reached() {
        for (len, what) in [
            (3, "service id"),
            (7, "handler id"),
            (11, "flags of the binary routing"),
        ] {
            let fault = BinaryRouting::decode(&[0; 12][..len]).unwrap_err();
            assert_eq!(fault, MetadataError::Truncated(what));
        }
        let fault = BinaryRouting::decode(b"\0\0\0\0\0\0\0\0\0\0\0\0\xFF").unwrap_err();
        assert_eq!(fault, MetadataError::NotUtf8("text of the binary routing"));
    }

    proptest! {
        #[test]
        fn it_reads_back(service_id: i32, handler_id: i32, flags: i32, text in "\\PC{0,40}") {
            let routing = BinaryRouting { service_id, handler_id, flags, text: &text };
            let encoded = routing.encode();
            prop_assert_eq!(BinaryRouting::decode(&encoded).unwrap(), routing);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(routing) = BinaryRouting::decode(&bytes) {
                prop_assert_eq!(routing.encode(), bytes);
            }
        }
    }
}
