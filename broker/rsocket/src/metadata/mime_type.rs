//! The MIME types of one stream (0x7A) and those its requester accepts (0x7B).
//! Spec: "Per Stream Data MIME Types Extension".

use std::iter::FusedIterator;

use super::composite::NAME_MAX;
use super::cursor::Cursor;
use super::{EntryMime, MetadataError};

/// The content of a 0x7A entry.
///
/// The archived broker's clients write the length of a name where the standard has the length
/// minus one; with nothing behind the name the two cannot be confused, so both are read.
pub fn decode_mime_type(content: &[u8]) -> Result<EntryMime<'_>, MetadataError> {
    if let Some((&len, name)) = content.split_first()
        && (1..=NAME_MAX).contains(&name.len())
        && usize::from(len) == name.len()
    {
        return EntryMime::named(name);
    }
    let mut cursor = Cursor::new(content);
    let mime = EntryMime::read(&mut cursor)?;
    if cursor.rest().is_empty() {
        Ok(mime)
    } else {
        Err(MetadataError::Trailing("MIME type"))
    }
}

pub fn encode_mime_type<'m>(mime: impl Into<EntryMime<'m>>) -> Result<Vec<u8>, MetadataError> {
    encode_accept_mime_types([mime.into()])
}

/// The content of a 0x7B entry, in order. After an error it ends.
#[derive(Clone, Debug)]
pub struct AcceptMimeTypes<'a> {
    cursor: Cursor<'a>,
}

impl<'a> AcceptMimeTypes<'a> {
    pub const fn new(content: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(content),
        }
    }
}

impl<'a> Iterator for AcceptMimeTypes<'a> {
    type Item = Result<EntryMime<'a>, MetadataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.rest().is_empty() {
            return None;
        }
        let mime = EntryMime::read(&mut self.cursor);
        if mime.is_err() {
            self.cursor = Cursor::new(&[]);
        }
        Some(mime)
    }
}

impl FusedIterator for AcceptMimeTypes<'_> {}

pub fn encode_accept_mime_types<'m>(
    mimes: impl IntoIterator<Item = EntryMime<'m>>,
) -> Result<Vec<u8>, MetadataError> {
    let mut out = Vec::new();
    for mime in mimes {
        mime.write(&mut out)?;
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Mime;
    use super::*;

    #[test]
    fn golden_bytes() {
        assert_eq!(encode_mime_type(Mime::JSON).unwrap(), b"\x85");
        assert_eq!(encode_mime_type("x/y").unwrap(), b"\x02x/y");
        assert_eq!(decode_mime_type(b"\x85").unwrap(), Mime::JSON.into());
        assert_eq!(decode_mime_type(b"\x02x/y").unwrap(), "x/y".into());
        // As the archived broker's clients spell it.
        assert_eq!(decode_mime_type(b"\x03x/y").unwrap(), "x/y".into());
        let list = encode_accept_mime_types([Mime::JSON.into(), "x/y".into()]).unwrap();
        assert_eq!(list, b"\x85\x02x/y");
        let read: Result<Vec<_>, _> = AcceptMimeTypes::new(&list).collect();
        assert_eq!(read.unwrap(), [Mime::JSON.into(), "x/y".into()]);
    }

    #[test]
    fn every_fault_is_reached() {
        use MetadataError::{NotAscii, Trailing, Truncated};
        for (bytes, fault) in [
            (&b""[..], Truncated("head of an entry")),
            (b"\x05ab", Truncated("MIME type of an entry")),
            (b"\x85x", Trailing("MIME type")),
            (b"\x00\xFF", NotAscii),
            (b"\x01\xFF", NotAscii),
        ] {
            assert_eq!(decode_mime_type(bytes).unwrap_err(), fault);
        }
        let mut list = AcceptMimeTypes::new(b"\x85\x05a");
        assert!(list.next().unwrap().is_ok());
        assert!(list.next().unwrap().is_err());
        assert!(list.next().is_none());
        assert_eq!(
            encode_mime_type("").unwrap_err(),
            MetadataError::Empty("MIME type")
        );
    }

    /// 129 bytes have a length of their own in neither spelling: their head says a well-known type.
    #[test]
    fn a_name_is_as_long_as_can_be_written() {
        let longest = [b"\x80".as_slice(), &[b'a'; 128]].concat();
        let name = decode_mime_type(&longest).unwrap();
        assert_eq!(decode_mime_type(&encode_mime_type(name).unwrap()), Ok(name));
        let longer = [b"\x81".as_slice(), &[b'a'; 129]].concat();
        assert_eq!(
            decode_mime_type(&longer),
            Err(MetadataError::Trailing("MIME type"))
        );
    }

    proptest! {
        #[test]
        fn names_read_back(name in "[a-z/+.]{1,128}") {
            let encoded = encode_mime_type(&*name).unwrap();
            prop_assert_eq!(decode_mime_type(&encoded).unwrap(), EntryMime::Named(&name));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = decode_mime_type(&bytes);
            prop_assert!(AcceptMimeTypes::new(&bytes).count() <= bytes.len());
        }
    }
}
