//! The text a request is routed by.
//!
//! ```text
//! [group!]service[.method][:version][?sticky=1&e=endpoint&m=method]
//! ```
//!
//! The grammar and its corners are the archived Alibaba broker's: cut at the first `?`; the group
//! ends at the first `!`, the version starts behind the last `:`, the method behind the last `.`,
//! none of them counting at the very front; nothing is percent-decoded. Further tags are read
//! like the pieces of the query, and a later piece wins over an earlier one.

use std::borrow::Cow;

use super::{MetadataError, Tags, murmur3, service};

/// One parsed route; empty text where a part is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Route<'a> {
    pub group: &'a str,
    pub service: &'a str,
    pub method: &'a str,
    pub version: &'a str,
    pub endpoint: &'a str,
    pub sticky: bool,
    /// Service and method as they were written, with the dot between them.
    pub name: &'a str,
    /// Whether `m=` named the method, so that the whole name may be the service's.
    method_named: bool,
}

impl<'a> Route<'a> {
    /// From the first tag alone.
    pub fn parse(text: &'a str) -> Self {
        let (key, query) = text.split_once('?').unwrap_or((text, ""));
        let (group, name, version) = service::split(key);
        let (service, method) = match name.rfind('.') {
            Some(at) if at > 0 => (&name[..at], &name[at + 1..]),
            _ => (name, ""),
        };
        let route = Self {
            group,
            service,
            method,
            version,
            name,
            ..Self::default()
        };
        query.split('&').fold(route, Self::with_piece)
    }

    /// From the content of a routing entry; none if it has no tag.
    pub fn from_tags(content: &'a [u8]) -> Result<Option<Self>, MetadataError> {
        let mut tags = Tags::new(content);
        let Some(first) = tags.next().transpose()? else {
            return Ok(None);
        };
        let mut route = Self::parse(first);
        for tag in tags {
            route = route.with_piece(tag?);
        }
        Ok(Some(route))
    }

    /// The other reading of a name with dots and no method: all of it is the service.
    ///
    /// `com.example.Orders` parses to service `com.example`, method `Orders`; whoever looks it up
    /// tries that first and this second. A method named by `m=` stays.
    pub fn whole(self) -> Self {
        let method = if self.method_named { self.method } else { "" };
        Self {
            service: self.name,
            method,
            ..self
        }
    }

    /// `[group!]service[:version]`, which identifies the service.
    pub fn key(&self) -> Cow<'a, str> {
        service::key(self.group, self.service, self.version)
    }

    /// The hash of [`Self::key`].
    pub fn service_id(&self) -> i32 {
        murmur3(self.key().as_bytes())
    }

    /// The hash of `service.method`, without group and version.
    pub fn handler_id(&self) -> i32 {
        handler_id(self.service, self.method)
    }

    fn with_piece(mut self, piece: &'a str) -> Self {
        match Piece::of(piece) {
            Piece::Method(method) => {
                self.method = method;
                self.method_named = true;
            }
            Piece::Endpoint(endpoint) => self.endpoint = endpoint,
            Piece::Sticky => self.sticky = true,
            Piece::Other => {}
        }
        self
    }
}

/// One piece of a query, or one tag behind the first.
pub(super) enum Piece<'a> {
    Method(&'a str),
    Endpoint(&'a str),
    Sticky,
    Other,
}

impl<'a> Piece<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        if let Some(method) = text.strip_prefix("m=") {
            Self::Method(method)
        } else if let Some(endpoint) = text.strip_prefix("e=") {
            Self::Endpoint(endpoint)
        } else if text.eq_ignore_ascii_case("sticky=1") {
            Self::Sticky
        } else {
            Self::Other
        }
    }
}

/// The hash of `service.method`; of the service alone when there is no method.
pub(super) fn handler_id(service: &str, method: &str) -> i32 {
    if method.is_empty() {
        murmur3(service.as_bytes())
    } else {
        murmur3(format!("{service}.{method}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::encode_tags;
    use super::*;

    /// group, service, method, version, endpoint, sticky
    fn parts<'a>(route: &Route<'a>) -> (&'a str, &'a str, &'a str, &'a str, &'a str, bool) {
        (
            route.group,
            route.service,
            route.method,
            route.version,
            route.endpoint,
            route.sticky,
        )
    }

    #[test]
    fn the_grammar_and_its_corners() {
        for (text, expected) in [
            (
                "dc1!com.alibaba.user.UserService.findById:1.0.0",
                (
                    "dc1",
                    "com.alibaba.user.UserService",
                    "findById",
                    "1.0.0",
                    "",
                    false,
                ),
            ),
            ("users.find", ("", "users", "find", "", "", false)),
            ("users", ("", "users", "", "", "", false)),
            ("", ("", "", "", "", "", false)),
            // The last segment of a name without a method is taken for one.
            ("com.a.Svc", ("", "com.a", "Svc", "", "", false)),
            // A separator at the front does not count.
            ("!users", ("", "!users", "", "", "", false)),
            (".users", ("", ".users", "", "", "", false)),
            (":users", ("", ":users", "", "", "", false)),
            ("g!.users", ("g", ".users", "", "", "", false)),
            ("g!:users", ("g", ":users", "", "", "", false)),
            // The first `!`, the last `:`, the last `.` before it.
            ("a!b!c.d", ("a", "b!c", "d", "", "", false)),
            ("a.b:1:2", ("", "a", "b:1", "2", "", false)),
            ("a.b:1.0", ("", "a", "b", "1.0", "", false)),
            ("a.", ("", "a", "", "", "", false)),
            ("a:", ("", "a", "", "", "", false)),
            ("g!", ("g", "", "", "", "", false)),
            // The query: first `?`, pieces behind `&`.
            (
                "a.b?sticky=1&e=ip:10.0.0.1&",
                ("", "a", "b", "", "ip:10.0.0.1", true),
            ),
            ("a.b?STICKY=1", ("", "a", "b", "", "", true)),
            ("a.b?sticky=0&sticky=11", ("", "a", "b", "", "", false)),
            ("a.b?E=x&M=y", ("", "a", "b", "", "", false)),
            ("a.b?e=x?y", ("", "a", "b", "", "x?y", false)),
            ("a.b?e=x%26y", ("", "a", "b", "", "x%26y", false)),
            ("a.b?e=1&e=2", ("", "a", "b", "", "2", false)),
            ("a.b?e=", ("", "a", "b", "", "", false)),
            ("a.b?", ("", "a", "b", "", "", false)),
            ("?e=1", ("", "", "", "", "1", false)),
            ("a.b?m=c", ("", "a", "c", "", "", false)),
            ("a.b:1?m=", ("", "a", "", "1", "", false)),
            ("a.b?other=1", ("", "a", "b", "", "", false)),
            ("服务.查询:é", ("", "服务", "查询", "é", "", false)),
        ] {
            assert_eq!(parts(&Route::parse(text)), expected, "{text}");
        }
    }

    #[test]
    fn later_tags_are_read_like_the_query_and_win() {
        let tags = encode_tags(["g!a.b?e=1", "e=2", "Sticky=1", "m=c", "noise", ""]).unwrap();
        let route = Route::from_tags(&tags).unwrap().unwrap();
        assert_eq!(parts(&route), ("g", "a", "c", "", "2", true));
        assert_eq!(Route::from_tags(b"").unwrap(), None);
        // The first tag is a route even if it looks like a piece.
        let route = Route::from_tags(b"\x03e=1").unwrap().unwrap();
        assert_eq!(parts(&route), ("", "e=1", "", "", "", false));
    }

    #[test]
    fn a_bad_tag_is_an_error() {
        assert!(Route::from_tags(b"\x02a").is_err());
        assert!(Route::from_tags(b"\x01a\x01\xFF").is_err());
    }

    #[test]
    fn the_whole_reading() {
        for (text, service, method) in [
            ("g!com.a.Svc:1", "com.a.Svc", ""),
            ("com.a.Svc?m=find", "com.a.Svc", "find"),
            ("users", "users", ""),
        ] {
            let whole = Route::parse(text).whole();
            assert_eq!((whole.service, whole.method), (service, method), "{text}");
        }
        assert_eq!(Route::parse("g!com.a.Svc:1").whole().key(), "g!com.a.Svc:1");
    }

    #[test]
    fn ids_are_hashed_from_names() {
        let route = Route::parse("dc1!com.alibaba.user.UserService.findById:1.0.0");
        assert_eq!(route.key(), "dc1!com.alibaba.user.UserService:1.0.0");
        assert_eq!(route.service_id(), -41_418_261);
        assert_eq!(route.handler_id(), 1_567_202_038);
        let alone = Route::parse("1");
        assert_eq!(
            (alone.service_id(), alone.handler_id()),
            (-1_848_669_458, -1_848_669_458)
        );
    }

    proptest! {
        #[test]
        fn any_text_parses_and_its_parts_come_from_it(text in "[ab!.:?&=ems1]{0,24}|\\PC{0,30}") {
            let route = Route::parse(&text);
            let fields = [route.group, route.service, route.method, route.version, route.endpoint];
            for part in fields {
                prop_assert!(text.contains(part));
            }
            let _ = (route.whole().key(), route.service_id(), route.handler_id());
        }

        #[test]
        fn a_plain_route_reads_back(
            group in "[a-z0-9]{0,5}",
            service in "[a-z]{1,5}(\\.[a-z]{1,5}){0,3}",
            method in "[a-z]{1,8}",
            version in "([0-9]\\.[0-9])?",
            endpoint in "([a-z]{2}:[0-9]{1,3})?",
            sticky: bool,
        ) {
            let name = format!("{service}.{method}");
            let mut text = service::key(&group, &name, &version).into_owned();
            if sticky || !endpoint.is_empty() {
                text.push('?');
                if sticky { text.push_str("sticky=1&"); }
                text.push_str(&format!("e={endpoint}&"));
            }
            let route = Route::parse(&text);
            prop_assert_eq!(
                parts(&route),
                (&*group, &*service, &*method, &*version, &*endpoint, sticky)
            );
        }
    }
}
