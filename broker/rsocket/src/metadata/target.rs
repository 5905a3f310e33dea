//! What a request asks for: its routing entries found, and read together.
//!
//! The text entry (0x7E) and the binary one (0x50) may both be there, in any order, among other
//! entries. The archived broker's rule decides between their texts: the binary entry's when it
//! comes first in the block, else the text entry's, else the binary entry's.

use super::{BinaryRouting, Composite, Entry, EntryMime, MetadataError, Mime, Route};

/// The first routing entry of each kind in one metadata block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoutingEntries<'a> {
    pub text: Option<Entry<'a>>,
    pub binary: Option<Entry<'a>>,
}

impl<'a> RoutingEntries<'a> {
    /// From a whole block of composite metadata; none if it holds neither.
    pub fn find(metadata: &'a [u8]) -> Result<Option<Self>, MetadataError> {
        match Self::scan(metadata, true)? {
            Scan::Found(entries) => Ok(Some(entries)),
            Scan::NotFound | Scan::NeedMore => Ok(None),
        }
    }

    /// From the beginning of a block whose end may not have arrived.
    ///
    /// Of more than 1024 entries no more are read: a block of empty ones would take a thread's time,
    /// at four bytes each.
    ///
    /// `whole` says that nothing follows. The answer does not depend on where the block was cut:
    /// a lone entry is only found once the block is whole, for the other may still follow.
    pub fn scan(prefix: &'a [u8], whole: bool) -> Result<Scan<'a>, MetadataError> {
        let mut found = Self::default();
        for (number, entry) in Composite::new(prefix).enumerate() {
            if number == ENTRIES_MAX {
                return Err(MetadataError::TooManyEntries { max: ENTRIES_MAX });
            }
            match entry {
                Ok(entry) => found.keep(entry),
                Err(MetadataError::Truncated(_)) if !whole => return Ok(Scan::NeedMore),
                Err(fault) => return Err(fault),
            }
            if found.text.is_some() && found.binary.is_some() {
                return Ok(Scan::Found(found));
            }
        }
        Ok(match (whole, found == Self::default()) {
            (false, _) => Scan::NeedMore,
            (true, true) => Scan::NotFound,
            (true, false) => Scan::Found(found),
        })
    }

    /// Bytes of both entries as they stood on the wire.
    pub fn raw_len(&self) -> usize {
        let len = |entry: Option<Entry<'_>>| entry.map_or(0, |entry| entry.raw.len());
        len(self.text) + len(self.binary)
    }

    /// For a connection whose metadata is no composite but plain routing tags.
    pub const fn of_tags(content: &'a [u8]) -> Self {
        let mime = EntryMime::WellKnown(Mime::ROUTING);
        Self {
            text: Some(Entry {
                mime,
                content,
                raw: content,
                leads: true,
            }),
            binary: None,
        }
    }

    /// Reads both entries together.
    pub fn target(&self) -> Result<Target<'a>, MetadataError> {
        let binary = self
            .binary
            .map(|entry| BinaryRouting::decode(entry.content))
            .transpose()?;
        let by_text = self
            .text
            .map(|entry| Route::from_tags(entry.content))
            .transpose()?
            .flatten();
        let by_binary = binary
            .filter(|binary| !binary.text.is_empty())
            .map(|binary| Route::parse(binary.text));
        let binary_leads = self.binary.is_some_and(|entry| entry.leads);
        let mut route = if binary_leads {
            by_binary.or(by_text)
        } else {
            by_text.or(by_binary)
        };
        if let Some(route) = &mut route {
            route.sticky |= binary.is_some_and(|binary| binary.sticky());
        }
        Ok(Target { route, binary })
    }

    fn keep(&mut self, entry: Entry<'a>) {
        if entry.is(Mime::ROUTING) {
            self.text.get_or_insert(entry);
        } else if entry.is(Mime::BINARY_ROUTING) {
            self.binary.get_or_insert(entry);
        }
    }
}

const ENTRIES_MAX: usize = 1024;

/// How far a search over part of a block came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan<'a> {
    Found(RoutingEntries<'a>),
    /// The block is whole and has no routing entry.
    NotFound,
    NeedMore,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Target<'a> {
    /// The text that decides; none when there is no text at all. It is sticky when either entry
    /// says so.
    pub route: Option<Route<'a>>,
    /// The client's own numbers: all there is to go by when there is no route.
    pub binary: Option<BinaryRouting<'a>>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{CompositeBuilder, encode_tags};
    use super::*;

    fn text_entry(text: &str) -> Vec<u8> {
        encode_tags([text]).unwrap()
    }

    fn binary_entry(text: &str) -> Vec<u8> {
        BinaryRouting::of_text(text).encode()
    }

    fn target(metadata: &[u8]) -> Target<'_> {
        RoutingEntries::find(metadata)
            .unwrap()
            .unwrap()
            .target()
            .unwrap()
    }

    #[test]
    fn which_text_decides() {
        let binary_first = CompositeBuilder::new()
            .push(Mime::BINARY_ROUTING, &binary_entry("a.binary?sticky=1"))
            .push(Mime::ROUTING, &text_entry("a.text"))
            .finish()
            .unwrap();
        let decided = target(&binary_first).route.unwrap();
        assert_eq!((decided.method, decided.sticky), ("binary", true));

        let text_first = CompositeBuilder::new()
            .push(Mime::ROUTING, &text_entry("a.text"))
            .push(
                "message/x.rsocket.binary-routing.v0",
                &binary_entry("a.binary?sticky=1"),
            )
            .finish()
            .unwrap();
        let decided = target(&text_first).route.unwrap();
        // The flag is believed wherever the entry stands.
        assert_eq!((decided.method, decided.sticky), ("text", true));
    }

    #[test]
    fn of_a_crowd_of_entries_no_more_than_some_are_read() {
        let mut metadata = CompositeBuilder::new()
            .push(Mime::ROUTING, &text_entry("a.text"))
            .finish()
            .unwrap()
            .to_vec();
        metadata.extend([0xAA, 0, 0, 0].repeat(ENTRIES_MAX - 1));
        assert_eq!(target(&metadata).route.unwrap().method, "text");
        metadata.extend([0xAA, 0, 0, 0]);
        let fault = MetadataError::TooManyEntries { max: ENTRIES_MAX };
        for whole in [true, false] {
            assert_eq!(RoutingEntries::scan(&metadata, whole), Err(fault.clone()));
        }
    }

    #[test]
    fn one_entry_is_enough() {
        let bare = BinaryRouting {
            service_id: 7,
            handler_id: 8,
            flags: 0,
            text: "",
        };
        let no_text = CompositeBuilder::new()
            .push(Mime::BINARY_ROUTING, &bare.encode())
            .finish()
            .unwrap();
        assert_eq!(
            target(&no_text),
            Target {
                route: None,
                binary: Some(bare)
            }
        );

        let with_tags = CompositeBuilder::new()
            .push(Mime::BINARY_ROUTING, &bare.encode())
            .push(Mime::ROUTING, &text_entry("a.b"))
            .finish()
            .unwrap();
        assert_eq!(target(&with_tags).route, Some(Route::parse("a.b")));

        let late = CompositeBuilder::new()
            .push(Mime::TEXT, b"x")
            .push(Mime::BINARY_ROUTING, &binary_entry("a.c"))
            .finish()
            .unwrap();
        assert_eq!(target(&late).route, Some(Route::parse("a.c")));

        assert_eq!(
            RoutingEntries::of_tags(b"\x03a.b").target().unwrap().route,
            Some(Route::parse("a.b"))
        );
    }

    #[test]
    fn none_is_found() {
        assert_eq!(RoutingEntries::find(b"").unwrap(), None);
        let other = CompositeBuilder::new()
            .push(Mime::TEXT, b"x")
            .finish()
            .unwrap();
        assert_eq!(RoutingEntries::scan(&other, true).unwrap(), Scan::NotFound);
        assert_eq!(RoutingEntries::scan(&other, false).unwrap(), Scan::NeedMore);
        let no_tag = RoutingEntries::of_tags(b"").target().unwrap();
        assert_eq!(no_tag, Target::default());
    }

    #[test]
    fn faults_pass_through() {
        let cut = b"\xFE\x00\x00\x05\x04ab";
        assert_eq!(RoutingEntries::scan(cut, false).unwrap(), Scan::NeedMore);
        assert!(matches!(
            RoutingEntries::find(cut),
            Err(MetadataError::Truncated(_))
        ));
        let bad = b"\x00\xFF\x00\x00\x00";
        assert_eq!(
            RoutingEntries::scan(bad, false),
            Err(MetadataError::NotAscii)
        );
        let short = CompositeBuilder::new()
            .push(Mime::BINARY_ROUTING, b"1")
            .finish()
            .unwrap();
        assert!(
            RoutingEntries::find(&short)
                .unwrap()
                .unwrap()
                .target()
                .is_err()
        );
        let bad_tag = CompositeBuilder::new()
            .push(Mime::ROUTING, b"\x09")
            .finish()
            .unwrap();
        assert!(
            RoutingEntries::find(&bad_tag)
                .unwrap()
                .unwrap()
                .target()
                .is_err()
        );
    }

    proptest! {
        /// Protocol sheet 3.5: where the block is cut changes when, not what, is found.
        #[test]
        fn the_cut_does_not_change_the_answer(
            list in proptest::collection::vec(0u8..4, 0..6),
        ) {
            let mut builder = CompositeBuilder::new();
            for kind in list {
                builder = match kind {
                    0 => builder.push(Mime::ROUTING, &text_entry("a.b")),
                    1 => builder.push(Mime::BINARY_ROUTING, &binary_entry("a.b")),
                    2 => builder.push("x/y", b"12345"),
                    _ => builder.push(Mime::MIME_TYPE, &[0x85]),
                };
            }
            let block = builder.finish().unwrap();
            let answer = RoutingEntries::find(&block).unwrap();
            for cut in 0..=block.len() {
                match RoutingEntries::scan(&block[..cut], false).unwrap() {
                    Scan::Found(early) => prop_assert_eq!(Some(early), answer),
                    Scan::NotFound => prop_assert!(false, "more may follow"),
                    Scan::NeedMore => {}
                }
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..120),
            id in prop_oneof![Just(0xFEu8), Just(0xD0)],
            whole: bool,
        ) {
            let _ = RoutingEntries::scan(&bytes, whole);
            let mut entry = vec![id, 0, 0, bytes.len() as u8];
            entry.extend_from_slice(&bytes);
            if let Some(entries) = RoutingEntries::find(&entry).unwrap() {
                let _ = entries.target();
            }
        }
    }
}
