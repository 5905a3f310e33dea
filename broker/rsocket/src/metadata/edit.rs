//! The one editor of request metadata: what a rewrite does on the wire.
//!
//! A rewrite that changes service, method or tags re-encodes the first text entry (0x7E) and the
//! first binary one (0x50), so that a responder that routes on either finds its handler. Group,
//! version and whatever else stands in the text stay as the caller wrote them. Every other entry
//! keeps its place and its bytes. The default data encoding (0x7A) is appended on request, when
//! the block has none.

use bytes::Bytes;

use super::composite::push_entry;
use super::cursor::{U24_MAX, check_len, put_u24};
use super::routing::{Piece, handler_id};
use super::{
    BinaryRouting, Composite, Entry, EntryMime, MetadataError, Mime, Tags, encode_mime_type,
    encode_tags, murmur3, service,
};

/// What to change in one block of composite metadata.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edit<'e> {
    pub route: Option<RouteEdit<'e>>,
    /// The data encoding to state if the caller stated none.
    pub data_encoding: Option<EntryMime<'e>>,
}

/// A new service and method, new tags, or both.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteEdit<'e> {
    /// Service and method, the method empty when there is none. Replaces the name in the text and
    /// any `m=`.
    pub name: Option<(&'e str, &'e str)>,
    pub tags: &'e [TagEdit<'e>],
}

/// Sets a tag `key=value`, or removes it.
///
/// It acts on the query of the text and on the tags behind it; a tag that is nowhere is appended
/// behind the others.
#[derive(Clone, Copy, Debug)]
pub struct TagEdit<'e> {
    pub key: &'e str,
    pub value: Option<&'e str>,
}

impl Edit<'_> {
    /// The new metadata.
    pub fn apply(&self, metadata: &[u8]) -> Result<Bytes, MetadataError> {
        let mut out = Vec::with_capacity(metadata.len() + 64);
        let (mut text_seen, mut binary_seen, mut encoding_seen) = (false, false, false);
        for entry in Composite::new(metadata) {
            let entry = entry?;
            let content = match &self.route {
                Some(edit) if entry.is(Mime::ROUTING) && !text_seen => {
                    text_seen = true;
                    Some(edit.tags(entry.content)?)
                }
                Some(edit) if entry.is(Mime::BINARY_ROUTING) && !binary_seen => {
                    binary_seen = true;
                    Some(edit.binary(entry.content, metadata)?)
                }
                _ => None,
            };
            encoding_seen |= entry.is(Mime::MIME_TYPE);
            match content {
                Some(content) => replace_content(&mut out, &entry, &content)?,
                None => out.extend_from_slice(entry.raw),
            }
        }
        if self.route.is_some() && !text_seen && !binary_seen {
            return Err(MetadataError::NoRouting);
        }
        if let Some(mime) = self.data_encoding
            && !encoding_seen
        {
            push_entry(&mut out, Mime::MIME_TYPE.into(), &encode_mime_type(mime)?)?;
        }
        check_len("metadata", out.len(), U24_MAX)?;
        Ok(out.into())
    }
}

impl RouteEdit<'_> {
    /// The new tags of a text entry, or of a connection whose metadata is plain routing tags.
    pub fn tags(&self, content: &[u8]) -> Result<Vec<u8>, MetadataError> {
        let mut tags = Tags::new(content);
        let first = tags.next().transpose()?.unwrap_or_default();
        let mut placed = vec![false; self.tags.len()];
        let mut out = vec![self.text(first, &mut placed)];
        for tag in tags {
            out.extend(self.piece(tag?, &mut placed));
        }
        let missing = self.tags.iter().zip(placed).filter(|(_, placed)| !placed);
        out.extend(missing.filter_map(|(edit, _)| edit.written()));
        encode_tags(out.iter().map(|tag| &**tag))
    }

    fn binary(&self, content: &[u8], metadata: &[u8]) -> Result<Vec<u8>, MetadataError> {
        let old = BinaryRouting::decode(content)?;
        let mut placed = vec![false; self.tags.len()];
        let text = match old.text {
            "" => String::new(),
            text => self.text(text, &mut placed),
        };
        let mut new = BinaryRouting { text: &text, ..old };
        if let Some((name, method)) = self.name {
            let (group, version) = match old.text {
                "" => group_and_version(metadata)?,
                text => key_parts(text),
            };
            new.service_id = murmur3(service::key(group, name, version).as_bytes());
            new.handler_id = handler_id(name, method);
        }
        Ok(new.encode())
    }

    /// The first tag with the new name and the new values of the pieces in its query.
    fn text(&self, old: &str, placed: &mut [bool]) -> String {
        let (key, query) = match old.split_once('?') {
            Some((key, query)) => (key, Some(query)),
            None => (old, None),
        };
        let mut out = match self.name {
            None => key.to_owned(),
            Some((service, "")) => renamed(key, service),
            Some((service, method)) => renamed(key, &format!("{service}.{method}")),
        };
        if let Some(query) = query {
            let pieces: Vec<_> = query
                .split('&')
                .filter_map(|piece| self.piece(piece, placed))
                .collect();
            if pieces.iter().any(|piece| !piece.is_empty()) {
                out.push('?');
                out.push_str(&pieces.join("&"));
            }
        }
        out
    }

    /// One piece of the query, or one further tag, after the edit; none if it goes.
    fn piece(&self, piece: &str, placed: &mut [bool]) -> Option<String> {
        if self.name.is_some() && matches!(Piece::of(piece), Piece::Method(_)) {
            return None;
        }
        let key = piece.split_once('=').map(|(key, _)| key);
        let Some(at) = self.tags.iter().position(|edit| Some(edit.key) == key) else {
            return Some(piece.to_owned());
        };
        placed[at] = true;
        self.tags[at].written()
    }
}

impl TagEdit<'_> {
    fn written(&self) -> Option<String> {
        self.value.map(|value| format!("{}={value}", self.key))
    }
}

/// Appends the entry with its head as it stood and a new content.
fn replace_content(
    out: &mut Vec<u8>,
    entry: &Entry<'_>,
    content: &[u8],
) -> Result<(), MetadataError> {
    check_len("content of an entry", content.len(), U24_MAX)?;
    out.extend_from_slice(entry.head());
    put_u24(out, content.len());
    out.extend_from_slice(content);
    Ok(())
}

/// The key with its group and version as written and another name between them.
fn renamed(key: &str, name: &str) -> String {
    let (group, old, _) = service::split(key);
    let at = if group.is_empty() { 0 } else { group.len() + 1 };
    format!("{}{name}{}", &key[..at], &key[at + old.len()..])
}

fn key_parts(text: &str) -> (&str, &str) {
    let (group, _, version) = service::split(text.split_once('?').map_or(text, |(key, _)| key));
    (group, version)
}

/// Group and version of the text entry, for a binary entry without its text.
fn group_and_version(metadata: &[u8]) -> Result<(&str, &str), MetadataError> {
    let entry = Composite::new(metadata).find_mime(Mime::ROUTING)?;
    let tag = entry
        .and_then(|entry| Tags::new(entry.content).next())
        .transpose()?;
    Ok(tag.map_or(("", ""), key_parts))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{CompositeBuilder, RoutingEntries, Service};
    use super::*;

    fn first_tags(edit: &RouteEdit<'_>, tags: &[&str]) -> Vec<String> {
        let content = edit
            .tags(&encode_tags(tags.iter().copied()).unwrap())
            .unwrap();
        Tags::new(&content)
            .map(|tag| tag.unwrap().to_owned())
            .collect()
    }

    #[test]
    fn a_new_name_keeps_what_stands_around_it() {
        let edit = RouteEdit {
            name: Some(("x.Y", "go")),
            tags: &[],
        };
        for (old, new) in [
            (
                "g!a.b.C.find:1.0?sticky=1&e=ip:1&",
                "g!x.Y.go:1.0?sticky=1&e=ip:1&",
            ),
            ("a", "x.Y.go"),
            ("a.b?m=other&e=1", "x.Y.go?e=1"),
            ("a.b?m=other", "x.Y.go"),
            ("a.b?", "x.Y.go"),
            ("a.b:", "x.Y.go:"),
            ("g!", "g!x.Y.go"),
            ("", "x.Y.go"),
        ] {
            assert_eq!(first_tags(&edit, &[old]), [new], "{old}");
        }
        let no_method = RouteEdit {
            name: Some(("x.Y", "")),
            tags: &[],
        };
        assert_eq!(
            first_tags(&no_method, &["a.b:1", "m=c", "k=v"]),
            ["x.Y:1", "k=v"]
        );
        assert_eq!(first_tags(&no_method, &[]), ["x.Y"]);
    }

    #[test]
    fn tags_are_set_where_they_stand_or_appended() {
        let tags = [
            TagEdit {
                key: "zone",
                value: Some("b"),
            },
            TagEdit {
                key: "e",
                value: None,
            },
            TagEdit {
                key: "new",
                value: Some("1"),
            },
            TagEdit {
                key: "gone",
                value: None,
            },
        ];
        let edit = RouteEdit {
            name: None,
            tags: &tags,
        };
        assert_eq!(
            first_tags(&edit, &["a.b?e=1&sticky=1", "e=1", "zone=a", "other"]),
            ["a.b?sticky=1", "zone=b", "other", "new=1"]
        );
    }

    #[test]
    fn both_entries_are_rewritten_and_the_rest_stays() {
        let old = CompositeBuilder::new()
            .push(
                Mime::BINARY_ROUTING,
                &BinaryRouting {
                    flags: 5,
                    ..BinaryRouting::of_text("g!a.B.find:1")
                }
                .encode(),
            )
            .push("x/before", b"1")
            .push(
                "message/x.rsocket.routing.v0",
                &encode_tags(["g!a.B.find:1", "k=v"]).unwrap(),
            )
            .push(Mime::MIME_TYPE, &[0x85])
            .push(Mime::ROUTING, b"\x06second")
            .finish()
            .unwrap();
        let edit = Edit {
            route: Some(RouteEdit {
                name: Some(("x.Y", "go")),
                tags: &[],
            }),
            data_encoding: Some(Mime::HESSIAN.into()),
        };
        let new = edit.apply(&old).unwrap();
        let binary = BinaryRouting {
            flags: 5,
            ..BinaryRouting::of_text("g!x.Y.go:1")
        };
        let expected = CompositeBuilder::new()
            .push(Mime::BINARY_ROUTING, &binary.encode())
            .push("x/before", b"1")
            .push(
                "message/x.rsocket.routing.v0",
                &encode_tags(["g!x.Y.go:1", "k=v"]).unwrap(),
            )
            .push(Mime::MIME_TYPE, &[0x85])
            .push(Mime::ROUTING, b"\x06second")
            .finish()
            .unwrap();
        assert_eq!(new, expected);
        assert_eq!(
            binary.service_id,
            Service::new("g", "x.Y", "1").unwrap().id()
        );
    }

    #[test]
    fn a_binary_entry_without_text_takes_group_and_version_from_the_tags() {
        let bare = BinaryRouting {
            service_id: 1,
            handler_id: 2,
            flags: 1,
            text: "",
        };
        let edit = Edit {
            route: Some(RouteEdit {
                name: Some(("x", "go")),
                tags: &[],
            }),
            ..Edit::default()
        };
        let with_tags = CompositeBuilder::new()
            .push(Mime::BINARY_ROUTING, &bare.encode())
            .push(Mime::ROUTING, &encode_tags(["g!a.b:1"]).unwrap())
            .finish()
            .unwrap();
        let alone = CompositeBuilder::new()
            .push(Mime::BINARY_ROUTING, &bare.encode())
            .finish()
            .unwrap();
        for (old, key) in [(with_tags, "g!x:1"), (alone, "x")] {
            let new = edit.apply(&old).unwrap();
            let binary = RoutingEntries::find(&new)
                .unwrap()
                .unwrap()
                .target()
                .unwrap()
                .binary;
            let binary = binary.unwrap();
            assert_eq!(binary.service_id, murmur3(key.as_bytes()));
            assert_eq!(
                (binary.handler_id, binary.flags, binary.text),
                (murmur3(b"x.go"), 1, "")
            );
        }
    }

    #[test]
    fn the_default_encoding_is_appended_once() {
        let edit = Edit {
            data_encoding: Some(Mime::HESSIAN.into()),
            ..Edit::default()
        };
        let old = CompositeBuilder::new()
            .push(Mime::ROUTING, b"\x01a")
            .finish()
            .unwrap();
        let new = edit.apply(&old).unwrap();
        assert_eq!(&new[old.len()..], b"\xFA\x00\x00\x01\xA6");
        assert_eq!(edit.apply(&new).unwrap(), new);
        let named = Edit {
            data_encoding: Some("x/y".into()),
            ..Edit::default()
        };
        assert_eq!(&named.apply(b"").unwrap()[..], b"\xFA\x00\x00\x04\x02x/y");
    }

    #[test]
    fn every_fault_is_reached() {
        let edit = Edit {
            route: Some(RouteEdit {
                name: Some(("x", "y")),
                tags: &[],
            }),
            ..Edit::default()
        };
        assert_eq!(edit.apply(b"").unwrap_err(), MetadataError::NoRouting);
        assert!(edit.apply(b"\xFE\x00").is_err());
        assert!(edit.apply(b"\xFE\x00\x00\x01\x05").is_err(), "a bad tag");
        assert!(
            edit.apply(b"\xD0\x00\x00\x01\x05").is_err(),
            "a short binary entry"
        );
        let long = "x".repeat(256);
        let edit = Edit {
            route: Some(RouteEdit {
                name: Some((&long, "")),
                tags: &[],
            }),
            ..Edit::default()
        };
        let fault = edit.apply(b"\xFE\x00\x00\x02\x01a").unwrap_err();
        assert!(matches!(
            fault,
            MetadataError::TooLong {
                what: "routing tag",
                ..
            }
        ));
        let bad_name = Edit {
            data_encoding: Some("".into()),
            ..Edit::default()
        };
        assert_eq!(
            bad_name.apply(b"").unwrap_err(),
            MetadataError::Empty("MIME type")
        );
        let full = CompositeBuilder::new()
            .push("x/y", &vec![0; U24_MAX - 7])
            .finish()
            .unwrap();
        assert_eq!(full.len(), U24_MAX);
        let fault = Edit {
            data_encoding: Some(Mime::JSON.into()),
            ..Edit::default()
        }
        .apply(&full);
        assert!(matches!(
            fault,
            Err(MetadataError::TooLong {
                what: "metadata",
                ..
            })
        ));
    }

    proptest! {
        #[test]
        fn an_empty_edit_changes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(same) = Edit::default().apply(&bytes) {
                prop_assert_eq!(&same[..], &bytes[..]);
            }
        }

        #[test]
        fn an_edit_that_names_nothing_keeps_the_route(
            texts in proptest::collection::vec("[a!.:]{0,6}(\\?[a=&em]{1,8})?", 1..4),
        ) {
            let tags = encode_tags(texts.iter().map(|text| &**text)).unwrap();
            let same = RouteEdit::default().tags(&tags).unwrap();
            prop_assert_eq!(
                super::super::Route::from_tags(&same).unwrap(),
                super::super::Route::from_tags(&tags).unwrap()
            );
        }

        #[test]
        fn arbitrary_entries_never_panic(
            tags in proptest::collection::vec(any::<u8>(), 0..60),
            binary in proptest::collection::vec(any::<u8>(), 0..60),
            name in "\\PC{0,10}",
            method in "\\PC{0,10}",
            key in "[a-z]{0,2}",
            value in proptest::option::of("\\PC{0,5}"),
        ) {
            let block = CompositeBuilder::new()
                .push(Mime::BINARY_ROUTING, &binary)
                .push(Mime::ROUTING, &tags)
                .finish()
                .unwrap();
            let tags = [TagEdit { key: &key, value: value.as_deref() }];
            let route = Some(RouteEdit { name: Some((&name, &method)), tags: &tags });
            if let Ok(new) = (Edit { route, data_encoding: Some(Mime::JSON.into()) }).apply(&block) {
                prop_assert!(Composite::new(&new).all(|entry| entry.is_ok()));
            }
        }
    }
}
