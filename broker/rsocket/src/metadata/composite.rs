//! Composite metadata: entries of a MIME type and content, iterated in place and built.
//!
//! Spec: "Composite Metadata Extension". Each entry is
//!
//! ```text
//! u8   0x80 | id, or the length of the name minus one with that many ASCII bytes behind it
//! u24  length of the content
//!      content
//! ```
//!
//! Order is kept, a type may come more than once, unknown types are somebody else's business.

use std::iter::FusedIterator;

use bytes::Bytes;

use super::cursor::{Cursor, U24_MAX, check_len, put_u24};
use super::{MetadataError, Mime, encode_tags};

/// The entries of one metadata block, in order. After an error it ends.
#[derive(Clone, Debug)]
pub struct Composite<'a> {
    cursor: Cursor<'a>,
    first: bool,
}

impl<'a> Composite<'a> {
    pub const fn new(metadata: &'a [u8]) -> Self {
        Self {
            cursor: Cursor::new(metadata),
            first: true,
        }
    }

    /// The first remaining entry of this type. A malformed entry before it is an error.
    pub fn find_mime(mut self, mime: Mime) -> Result<Option<Entry<'a>>, MetadataError> {
        self.find(|entry| !matches!(entry, Ok(entry) if !entry.is(mime)))
            .transpose()
    }

    /// The bytes no entry has been read from yet.
    pub const fn rest(&self) -> &'a [u8] {
        self.cursor.rest()
    }

    fn read(&mut self) -> Result<Entry<'a>, MetadataError> {
        let whole = self.cursor.rest();
        let mut cursor = self.cursor;
        let mime = EntryMime::read(&mut cursor)?;
        let len = cursor.u24("length of an entry")?;
        let content = cursor.take(len, "content of an entry")?;
        let raw = &whole[..whole.len() - cursor.rest().len()];
        self.cursor = cursor;
        let leads = std::mem::take(&mut self.first);
        Ok(Entry {
            mime,
            content,
            raw,
            leads,
        })
    }
}

impl<'a> Iterator for Composite<'a> {
    type Item = Result<Entry<'a>, MetadataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.rest().is_empty() {
            return None;
        }
        let entry = self.read();
        if entry.is_err() {
            self.cursor = Cursor::new(&[]);
        }
        Some(entry)
    }
}

impl FusedIterator for Composite<'_> {}

/// One entry of composite metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    pub mime: EntryMime<'a>,
    pub content: &'a [u8],
    /// The whole entry as it stood on the wire: head, length and content.
    pub raw: &'a [u8],
    /// Whether it is the first of its block.
    pub leads: bool,
}

impl<'a> Entry<'a> {
    /// Whether the entry is of this type, spelled either way.
    pub fn is(&self, mime: Mime) -> bool {
        self.mime.is(mime)
    }

    /// The bytes that name the type, as they stood on the wire.
    pub(super) fn head(&self) -> &'a [u8] {
        &self.raw[..self.raw.len() - self.content.len() - 3]
    }
}

/// How an entry spells its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryMime<'a> {
    WellKnown(Mime),
    Named(&'a str),
}

impl<'a> EntryMime<'a> {
    /// Whether both spell the same type.
    pub fn is(&self, mime: Mime) -> bool {
        match self {
            Self::WellKnown(own) => *own == mime,
            Self::Named(name) => mime
                .name()
                .is_some_and(|full| full.eq_ignore_ascii_case(name)),
        }
    }

    /// The full MIME text, unless the id is unassigned.
    pub fn name(&self) -> Option<&'a str> {
        match self {
            Self::WellKnown(mime) => mime.name(),
            Self::Named(name) => Some(name),
        }
    }

    /// The id, whichever way the type is spelled.
    pub fn well_known(&self) -> Option<Mime> {
        match self {
            Self::WellKnown(mime) => Some(*mime),
            Self::Named(name) => Mime::from_name(name),
        }
    }

    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, MetadataError> {
        let head = cursor.u8("head of an entry")?;
        if head & 0x80 != 0 {
            return Ok(Self::WellKnown(Mime::from_id(head)));
        }
        let name = cursor.take(usize::from(head) + 1, "MIME type of an entry")?;
        Self::named(name)
    }

    pub(super) fn named(name: &'a [u8]) -> Result<Self, MetadataError> {
        match std::str::from_utf8(name) {
            Ok(name) if name.is_ascii() => Ok(Self::Named(name)),
            _ => Err(MetadataError::NotAscii),
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) -> Result<(), MetadataError> {
        match self {
            Self::WellKnown(mime) => out.push(0x80 | mime.id()),
            Self::Named(name) => {
                check_len("MIME type of an entry", name.len(), NAME_MAX)?;
                let head = name
                    .len()
                    .checked_sub(1)
                    .ok_or(MetadataError::Empty("MIME type"))?;
                Self::named(name.as_bytes())?;
                out.push(head as u8);
                out.extend_from_slice(name.as_bytes());
            }
        }
        Ok(())
    }
}

/// A name's length minus one has seven bits.
pub(super) const NAME_MAX: usize = 128;

impl From<Mime> for EntryMime<'_> {
    fn from(mime: Mime) -> Self {
        Self::WellKnown(mime)
    }
}

impl<'a> From<&'a str> for EntryMime<'a> {
    fn from(name: &'a str) -> Self {
        Self::Named(name)
    }
}

/// Builds composite metadata entry by entry; the first fault is reported by [`Self::finish`].
#[derive(Clone, Debug, Default)]
pub struct CompositeBuilder {
    out: Vec<u8>,
    fault: Option<MetadataError>,
}

impl CompositeBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends an entry: by id for a [`Mime`], by full text for a `&str`.
    #[must_use]
    pub fn push<'m>(mut self, mime: impl Into<EntryMime<'m>>, content: &[u8]) -> Self {
        if let Err(fault) = push_entry(&mut self.out, mime.into(), content) {
            self.fault.get_or_insert(fault);
        }
        self
    }

    /// Appends an entry whose content may have failed to encode.
    #[must_use]
    pub fn try_push<'m>(
        mut self,
        mime: impl Into<EntryMime<'m>>,
        content: Result<Vec<u8>, MetadataError>,
    ) -> Self {
        match content {
            Ok(content) => self.push(mime, &content),
            Err(fault) => {
                self.fault.get_or_insert(fault);
                self
            }
        }
    }

    /// Appends a routing entry whose one tag is `route`:
    /// `[group!]service[.method][:version][?sticky=1&e=endpoint]`.
    #[must_use]
    pub fn route(self, route: &str) -> Self {
        self.try_push(Mime::ROUTING, encode_tags([route]))
    }

    pub fn finish(self) -> Result<Bytes, MetadataError> {
        match self.fault {
            Some(fault) => Err(fault),
            None => Ok(self.out.into()),
        }
    }
}

/// Appends one entry to a metadata block.
pub(super) fn push_entry(
    out: &mut Vec<u8>,
    mime: EntryMime<'_>,
    content: &[u8],
) -> Result<(), MetadataError> {
    check_len("content of an entry", content.len(), U24_MAX)?;
    mime.write(out)?;
    put_u24(out, content.len());
    out.extend_from_slice(content);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entries(metadata: &[u8]) -> Result<Vec<Entry<'_>>, MetadataError> {
        Composite::new(metadata).collect()
    }

    #[test]
    fn golden_bytes() {
        // The head of `x/custom` is 0x07, as js and python write it.
        let built = CompositeBuilder::new()
            .push(Mime::ROUTING, b"\x01a")
            .push("x/custom", b"")
            .finish()
            .unwrap();
        assert_eq!(&built[..], b"\xFE\x00\x00\x02\x01a\x07x/custom\x00\x00\x00");
        let entries = entries(&built).unwrap();
        assert_eq!(entries[0].content, b"\x01a");
        assert_eq!(entries[0].raw, &built[..6]);
        assert_eq!(entries[1].mime, EntryMime::Named("x/custom"));
        assert_eq!(entries[1].head(), b"\x07x/custom");
        assert!(entries[0].leads && !entries[1].leads);
    }

    #[test]
    fn a_route_is_one_tag() {
        let built = CompositeBuilder::new().route("a.b").finish().unwrap();
        assert_eq!(&built[..], b"\xFE\x00\x00\x04\x03a.b");
        assert!(
            CompositeBuilder::new()
                .route(&"x".repeat(256))
                .finish()
                .is_err()
        );
    }

    #[test]
    fn by_id_and_by_name_are_the_same_type() {
        for (mime, name) in [
            (Mime::ROUTING, "message/x.rsocket.routing.v0"),
            (Mime::BINARY_ROUTING, "message/x.rsocket.binary-routing.v0"),
            (Mime::APPLICATION, "message/x.rsocket.application+json"),
            (
                Mime::SERVICE_REGISTRY,
                "message/x.rsocket.service.registry.v0+json",
            ),
        ] {
            let built = CompositeBuilder::new()
                .push("x/y", b"no")
                .push(name, b"yes")
                .finish();
            let built = built.unwrap();
            let found = Composite::new(&built).find_mime(mime).unwrap().unwrap();
            assert_eq!(found.content, b"yes");
            assert_eq!(found.mime.well_known(), Some(mime));
            assert!(EntryMime::WellKnown(mime).is(mime));
        }
    }

    #[test]
    fn an_unassigned_id_is_skipped() {
        let built = CompositeBuilder::new()
            .push(Mime::from_id(0x60), b"?")
            .push(Mime::ROUTING, b"")
            .finish()
            .unwrap();
        assert!(
            Composite::new(&built)
                .find_mime(Mime::ROUTING)
                .unwrap()
                .is_some()
        );
        assert!(
            Composite::new(&built)
                .find_mime(Mime::TEXT)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn every_fault_is_reached() {
        use MetadataError::{NotAscii, Truncated};
        for (bytes, fault) in [
            (&b"\x02ab"[..], Truncated("MIME type of an entry")),
            (b"\xFE\x00\x00", Truncated("length of an entry")),
            (b"\xFE\x00\x00\x02a", Truncated("content of an entry")),
            (b"\x01\xC3\xA9\x00\x00\x00", NotAscii),
            (b"\x00\xFF\x00\x00\x00", NotAscii),
        ] {
            assert_eq!(entries(bytes).unwrap_err(), fault);
            assert_eq!(
                Composite::new(bytes).find_mime(Mime::TEXT).unwrap_err(),
                fault
            );
            let mut after = Composite::new(bytes);
            after.next();
            assert!(after.next().is_none(), "an iterator ends after its error");
        }
        // `head of an entry` needs a per-stream MIME type without bytes.
        let empty = EntryMime::read(&mut Cursor::new(b""));
        assert_eq!(empty.unwrap_err(), Truncated("head of an entry"));
    }

    #[test]
    fn a_builder_keeps_its_first_fault() {
        let long = "x".repeat(129);
        let fault = CompositeBuilder::new()
            .push(&*long, b"")
            .push("", b"")
            .finish()
            .unwrap_err();
        assert!(matches!(
            fault,
            MetadataError::TooLong {
                len: 129,
                max: 128,
                ..
            }
        ));
        let fault = CompositeBuilder::new().push("", b"").finish().unwrap_err();
        assert_eq!(fault, MetadataError::Empty("MIME type"));
        let fault = CompositeBuilder::new().push("é", b"").finish().unwrap_err();
        assert_eq!(fault, MetadataError::NotAscii);
        let huge = vec![0; U24_MAX + 1];
        let fault = CompositeBuilder::new()
            .push(Mime::TEXT, &huge)
            .finish()
            .unwrap_err();
        assert!(matches!(
            fault,
            MetadataError::TooLong {
                what: "content of an entry",
                ..
            }
        ));
        let fault = CompositeBuilder::new()
            .try_push(Mime::TEXT, Err(MetadataError::NoRouting))
            .push(Mime::TEXT, b"")
            .finish();
        assert_eq!(fault.unwrap_err(), MetadataError::NoRouting);
    }

    proptest! {
        #[test]
        fn what_is_built_reads_back(
            list in proptest::collection::vec(
                ("[a-z/]{1,128}", 0u8..0x80, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..40)),
                0..6,
            )
        ) {
            let mut builder = CompositeBuilder::new();
            for (name, id, by_id, content) in &list {
                builder = match by_id {
                    true => builder.push(Mime::from_id(*id), content),
                    false => builder.push(&**name, content),
                };
            }
            let built = builder.finish().unwrap();
            let read = entries(&built).unwrap();
            prop_assert_eq!(read.len(), list.len());
            for (entry, (name, id, by_id, content)) in read.iter().zip(&list) {
                let mime = match by_id {
                    true => EntryMime::WellKnown(Mime::from_id(*id)),
                    false => EntryMime::Named(name),
                };
                prop_assert_eq!(entry.mime, mime);
                prop_assert_eq!(entry.content, &content[..]);
            }
            let raw: Vec<u8> = read.iter().flat_map(|entry| entry.raw.iter().copied()).collect();
            prop_assert_eq!(&raw[..], &built[..]);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut read = 0;
            for entry in Composite::new(&bytes).flatten() {
                read += entry.raw.len();
                let _ = (entry.head(), entry.mime.name(), entry.mime.well_known());
            }
            prop_assert!(read <= bytes.len());
        }
    }
}
