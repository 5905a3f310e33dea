//! The tags of a route, found in the raw metadata when a plugin asks for one.

use jackfield_rsocket::metadata::{Composite, Entry, Mime, Tags};

/// The value of the first tag `key=value` behind the route itself. Metadata that does not parse has
/// no tags.
pub(super) fn find<'m>(metadata: &'m [u8], key: &str) -> Option<&'m str> {
    let routing = Composite::new(metadata).find_mime(Mime::ROUTING).ok()??;
    let behind_the_route = Tags::new(routing.content).skip(1).map_while(Result::ok);
    { behind_the_route }.find_map(|tag| tag.strip_prefix(key)?.strip_prefix('='))
}

/// The content of the first entry of this type, which may be well-known or spelled out.
pub(super) fn entry<'m>(metadata: &'m [u8], mime: &str) -> Option<&'m [u8]> {
    let known = Mime::from_name(mime);
    let fits = |entry: &Entry<'_>| match known {
        Some(known) => entry.is(known),
        None => entry.mime.name() == Some(mime),
    };
    { Composite::new(metadata).map_while(Result::ok) }
        .find(fits)
        .map(|entry| entry.content)
}

#[cfg(test)]
pub(super) mod tests {
    use jackfield_rsocket::metadata::{CompositeBuilder, encode_tags};

    use super::*;

    /// Composite metadata of one routing entry with these tags.
    pub(in crate::chain) fn metadata(tags: &[&str]) -> Vec<u8> {
        let content = encode_tags(tags.iter().copied()).unwrap();
        CompositeBuilder::new()
            .push(Mime::ROUTING, &content)
            .finish()
            .unwrap()
            .to_vec()
    }

    #[test]
    fn finds_tags_behind_the_route() {
        let plain = metadata(&["user=no", "user=alice", "user=second", "empty=", "zone=eu"]);
        let mut behind_another = vec![0x80 | 0x7A, 0, 0, 1, 0x85];
        behind_another.extend_from_slice(&plain);
        let name = "message/x.rsocket.routing.v0";
        let content = &plain[4..];
        let by_name = CompositeBuilder::new()
            .push(name, content)
            .finish()
            .unwrap()
            .to_vec();
        for metadata in [plain, behind_another, by_name] {
            assert_eq!(find(&metadata, "user"), Some("alice"));
            assert_eq!(find(&metadata, "empty"), Some(""));
            assert_eq!(find(&metadata, "zone"), Some("eu"));
            assert_eq!(find(&metadata, "use"), None);
        }
    }

    #[test]
    fn finds_entries_by_any_spelling() {
        let plain = metadata(&["route"]);
        assert_eq!(
            entry(&plain, "message/x.rsocket.routing.v0"),
            Some(&plain[4..])
        );
        assert_eq!(entry(&plain, "text/plain"), None);
        let own = CompositeBuilder::new()
            .push("x/own", b"1")
            .push("x/own", b"2")
            .finish()
            .unwrap();
        assert_eq!(entry(&own, "x/own"), Some(&b"1"[..]));
        assert_eq!(entry(&own[..own.len() - 9], "x/other"), None);
    }

    #[test]
    fn cut_anywhere_there_is_no_panic() {
        let whole = metadata(&["route", "a=b"]);
        for end in 0..whole.len() {
            assert_eq!(find(&whole[..end], "a"), None);
        }
    }
}
