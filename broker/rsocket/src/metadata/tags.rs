//! Routing metadata on the wire (0x7E): tags of at most 255 bytes, each behind its length.
//!
//! Spec: "Routing Metadata Extension".

use std::iter::FusedIterator;

use super::MetadataError;
use super::cursor::{Cursor, check_len, text};

/// The tags of one routing entry, in order. After an error it ends.
#[derive(Clone, Debug)]
pub struct Tags<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Tags<'a> {
    pub const fn new(content: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(content),
        }
    }

    fn read(&mut self) -> Result<&'a str, MetadataError> {
        let len = self.cursor.u8("length of a tag")?;
        text(self.cursor.take(len.into(), "routing tag")?, "routing tag")
    }
}

impl<'a> Iterator for Tags<'a> {
    type Item = Result<&'a str, MetadataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.rest().is_empty() {
            return None;
        }
        let tag = self.read();
        if tag.is_err() {
            self.cursor = Cursor::new(&[]);
        }
        Some(tag)
    }
}

impl FusedIterator for Tags<'_> {}

/// The content of a routing entry.
pub fn encode_tags<'t>(tags: impl IntoIterator<Item = &'t str>) -> Result<Vec<u8>, MetadataError> {
    let mut out = Vec::new();
    for tag in tags {
        check_len("routing tag", tag.len(), 255)?;
        out.push(tag.len() as u8);
        out.extend_from_slice(tag.as_bytes());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn golden_bytes() {
        let encoded = encode_tags(["a.b", "", "e=x"]).unwrap();
        assert_eq!(encoded, b"\x03a.b\x00\x03e=x");
        let tags: Result<Vec<_>, _> = Tags::new(&encoded).collect();
        assert_eq!(tags.unwrap(), ["a.b", "", "e=x"]);
    }

    #[test]
    fn every_fault_is_reached() {
        let first = |bytes| Tags::new(bytes).next().unwrap().unwrap_err();
        assert_eq!(first(b"\x02a"), MetadataError::Truncated("routing tag"));
        assert_eq!(first(b"\x01\xFF"), MetadataError::NotUtf8("routing tag"));
        let long = "x".repeat(256);
        let fault = encode_tags([&*long]).unwrap_err();
        assert!(matches!(
            fault,
            MetadataError::TooLong {
                len: 256,
                max: 255,
                ..
            }
        ));
        let mut after = Tags::new(b"\x02a");
        after.next();
        assert!(after.next().is_none());
    }

    proptest! {
        #[test]
        fn tags_read_back(tags in proptest::collection::vec("\\PC{0,60}", 0..5)) {
            let encoded = encode_tags(tags.iter().map(|tag| &**tag)).unwrap();
            let read: Result<Vec<_>, _> = Tags::new(&encoded).collect();
            prop_assert_eq!(read.unwrap(), tags);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert!(Tags::new(&bytes).count() <= bytes.len());
        }
    }
}
