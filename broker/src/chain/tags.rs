//! The tags of a route, found in the raw metadata when a plugin asks for one.

/// The composite entry of text routing.
const ROUTING_ID: u8 = 0x80 | 0x7E;
const ROUTING_NAME: &[u8] = b"message/x.rsocket.routing.v0";

/// The value of the first tag `key=value` behind the route itself. Metadata that does not parse has
/// no tags.
pub(super) fn find<'m>(metadata: &'m [u8], key: &str) -> Option<&'m str> {
    let mut tags = routing(metadata)?;
    take_tag(&mut tags)?;
    while let Some(tag) = take_tag(&mut tags) {
        let value = tag
            .strip_prefix(key.as_bytes())
            .and_then(|rest| rest.strip_prefix(b"="));
        if let Some(value) = value {
            return std::str::from_utf8(value).ok();
        }
    }
    None
}

/// The content of the routing entry, spelled by id or by name.
fn routing(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let (&head, after) = rest.split_first()?;
        let (is_routing, after) = match head & 0x80 {
            0 => {
                let (name, after) = after.split_at_checked(usize::from(head) + 1)?;
                (name.eq_ignore_ascii_case(ROUTING_NAME), after)
            }
            _ => (head == ROUTING_ID, after),
        };
        let (&[a, b, c], after) = after.split_first_chunk::<3>()?;
        let len = u32::from_be_bytes([0, a, b, c]) as usize;
        let (content, after) = after.split_at_checked(len)?;
        if is_routing {
            return Some(content);
        }
        rest = after;
    }
}

fn take_tag<'m>(rest: &mut &'m [u8]) -> Option<&'m [u8]> {
    let (&len, after) = rest.split_first()?;
    let (tag, after) = after.split_at_checked(len.into())?;
    *rest = after;
    Some(tag)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Composite metadata of one routing entry with these tags.
    pub(in crate::chain) fn metadata(tags: &[&str]) -> Vec<u8> {
        let mut content = Vec::new();
        for tag in tags {
            content.push(tag.len() as u8);
            content.extend_from_slice(tag.as_bytes());
        }
        let mut out = vec![ROUTING_ID];
        out.extend_from_slice(&(content.len() as u32).to_be_bytes()[1..]);
        out.extend_from_slice(&content);
        out
    }

    #[test]
    fn finds_tags_behind_the_route() {
        let plain = metadata(&["user=no", "user=alice", "user=second", "empty=", "zone=eu"]);
        let mut behind_another = vec![0x80 | 0x7A, 0, 0, 1, 0x85];
        behind_another.extend_from_slice(&plain);
        let mut by_name = vec![ROUTING_NAME.len() as u8 - 1];
        by_name.extend_from_slice(ROUTING_NAME);
        by_name.extend_from_slice(&plain[1..]);
        for metadata in [plain, behind_another, by_name] {
            assert_eq!(find(&metadata, "user"), Some("alice"));
            assert_eq!(find(&metadata, "empty"), Some(""));
            assert_eq!(find(&metadata, "zone"), Some("eu"));
            assert_eq!(find(&metadata, "use"), None);
        }
    }

    #[test]
    fn cut_anywhere_there_is_no_panic() {
        let whole = metadata(&["route", "a=b"]);
        for end in 0..whole.len() {
            assert_eq!(find(&whole[..end], "a"), None);
        }
    }
}
