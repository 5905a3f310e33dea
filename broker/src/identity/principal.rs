use std::time::{Duration, SystemTime};

use super::policy::Right;

/// Who is at the other end of a connection, or asks for one call. Only this room makes them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    pub kind: Kind,
    /// The `sub` of a token, the name of a user or of a certificate; empty for nobody.
    pub subject: Box<str>,
    pub service_accounts: Vec<Box<str>>,
    pub organisations: Vec<Box<str>>,
    pub roles: Vec<Box<str>>,
    pub authorities: Vec<Box<str>>,
    /// What else is known, by name; a name may be there more than once.
    pub attributes: Vec<(Box<str>, Box<str>)>,
    /// What it may do at most, whatever the rules allow; none: what they allow.
    pub rights: Option<Vec<Right>>,
    /// When what it showed ends; none if it does not.
    pub expires: Option<SystemTime>,
    /// What a list of revoked tokens may name it by.
    pub(super) token: Option<TokenName>,
}

/// How it was found out who somebody is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nobody knows.
    #[default]
    Anonymous,
    /// By a JSON Web Token.
    Token,
    /// By a name and a password.
    User,
    /// By the certificate of mutual TLS.
    Certificate,
    /// A plugin that authenticates vouches for them.
    Vouched,
    /// A part of the broker.
    Broker,
    /// A plugin, in requests of its own.
    Plugin,
}

/// What a plugin says of somebody for whom it vouches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voucher {
    /// Not empty.
    pub name: String,
    /// Among them `role`, `authority`, `organisation` and `service-account`, which rules know.
    pub attributes: Vec<(String, String)>,
    /// None: what the rules allow.
    pub rights: Option<Vec<Right>>,
    /// None: for as long as the connection.
    pub lasts: Option<Duration>,
}

/// A token without the secret in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TokenName {
    pub(super) sha256: [u8; 32],
    /// Its `jti`, or the `id` of a token of the archived broker.
    pub(super) id: Option<Box<str>>,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anonymous => "anonymous",
            Self::Token => "token",
            Self::User => "user",
            Self::Certificate => "certificate",
            Self::Vouched => "vouched",
            Self::Broker => "broker",
            Self::Plugin => "plugin",
        }
    }
}

impl Principal {
    /// Whether it is the same somebody, with the same rights; until when does not matter.
    pub fn may_the_same(&self, other: &Self) -> bool {
        let timeless = |it: &Self| Self {
            expires: None,
            ..it.clone()
        };
        self == other || timeless(self) == timeless(other)
    }

    pub(super) fn new(kind: Kind, subject: impl Into<Box<str>>) -> Self {
        Self {
            kind,
            subject: subject.into(),
            service_accounts: Vec::new(),
            organisations: Vec::new(),
            roles: Vec::new(),
            authorities: Vec::new(),
            attributes: Vec::new(),
            rights: None,
            expires: None,
            token: None,
        }
    }

    /// Somebody who showed nothing that proves who it is.
    pub fn anonymous() -> Self {
        Self::new(Kind::Anonymous, "")
    }

    /// A part of the broker, which joined from inside.
    pub fn broker() -> Self {
        Self::new(Kind::Broker, "broker")
    }

    /// A plugin, in requests of its own.
    pub fn plugin(name: &str) -> Self {
        Self::new(Kind::Plugin, format!("plugin:{name}"))
    }

    /// Somebody for whom a plugin vouches.
    pub(super) fn vouched(voucher: Voucher, now: SystemTime) -> Self {
        let mut principal = Self::new(Kind::Vouched, voucher.name);
        for (key, value) in voucher.attributes {
            let value = value.into_boxed_str();
            match key.as_str() {
                "role" => principal.roles.push(value),
                "authority" => principal.authorities.push(value),
                "organisation" => principal.organisations.push(value),
                "service-account" => principal.service_accounts.push(value),
                _ => principal.attributes.push((key.into(), value)),
            }
        }
        principal.rights = voucher.rights;
        // What lies beyond the end of time is no end.
        principal.expires = voucher.lasts.and_then(|lasts| now.checked_add(lasts));
        principal
    }

    /// Whether the other is the same in all but how long it is good.
    pub fn is_renewed_by(&self, other: &Self) -> bool {
        let mut renewed = self.clone();
        renewed.expires = other.expires;
        renewed == *other
    }

    /// Whether whoever vouched for it left this right out.
    pub(super) fn lacks(&self, right: Right) -> bool {
        let rights = self.rights.as_ref();
        rights.is_some_and(|rights| !rights.contains(&right))
    }

    pub const fn is_anonymous(&self) -> bool {
        matches!(self.kind, Kind::Anonymous)
    }

    /// Whether it is a part of the broker.
    pub const fn is_broker(&self) -> bool {
        matches!(self.kind, Kind::Broker)
    }

    /// The same text means the same principal, whatever token it shows; none for nobody.
    pub fn key(&self) -> Option<String> {
        (!self.is_anonymous()).then(|| format!("{}:{}", self.kind.as_str(), self.subject))
    }

    /// The archived broker's rule: at least one organisation and one service account in common.
    pub fn is_kin_of(&self, other: &Self) -> bool {
        let shared = |a: &[Box<str>], b: &[Box<str>]| a.iter().any(|name| b.contains(name));
        self.kind == Kind::Broker
            || other.kind == Kind::Broker
            || (shared(&self.organisations, &other.organisations)
                && shared(&self.service_accounts, &other.service_accounts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(organisations: &[&str], accounts: &[&str]) -> Principal {
        let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        Principal {
            organisations: names(organisations),
            service_accounts: names(accounts),
            ..Principal::new(Kind::Token, "app")
        }
    }

    #[test]
    fn kin_share_an_organisation_and_a_service_account() {
        for (caller, responder, kin) in [
            (member(&["1"], &["a"]), member(&["1"], &["a"]), true),
            (
                member(&["1", "2"], &["a", "b"]),
                member(&["2", "3"], &["c", "b"]),
                true,
            ),
            (member(&["1"], &["a"]), member(&["1"], &["b"]), false),
            (member(&["1"], &["a"]), member(&["2"], &["a"]), false),
            (member(&[], &[]), member(&[], &[]), false),
            (Principal::anonymous(), Principal::anonymous(), false),
            (Principal::anonymous(), member(&["1"], &["a"]), false),
            (member(&[], &[]), Principal::broker(), true),
            (Principal::broker(), Principal::anonymous(), true),
        ] {
            assert_eq!(
                caller.is_kin_of(&responder),
                kin,
                "{caller:?} {responder:?}"
            );
            assert_eq!(
                responder.is_kin_of(&caller),
                kin,
                "the rule has no direction"
            );
        }
    }

    #[test]
    fn what_a_plugin_says_of_somebody_is_what_rules_know() {
        let now = SystemTime::UNIX_EPOCH;
        let attribute = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let voucher = Voucher {
            name: "shop".into(),
            attributes: vec![
                attribute("role", "admin"),
                attribute("tenant", "blue"),
                attribute("organisation", "1"),
                attribute("service-account", "a"),
            ],
            rights: Some(vec![Right::Call]),
            lasts: Some(Duration::from_secs(60)),
        };
        let shop = Principal::vouched(voucher.clone(), now);
        assert_eq!(shop.key().as_deref(), Some("vouched:shop"));
        assert_eq!((&*shop.roles[0], shop.attributes.len()), ("admin", 1));
        assert!(shop.is_kin_of(&member(&["1"], &["a"])));
        assert!(shop.lacks(Right::Publish) && !shop.lacks(Right::Call));
        let later = Principal::vouched(voucher.clone(), now + Duration::from_secs(30));
        assert!(shop.is_renewed_by(&later));
        let demoted = Voucher {
            attributes: Vec::new(),
            ..voucher
        };
        assert!(!shop.is_renewed_by(&Principal::vouched(demoted, now)));
    }

    #[test]
    fn nobody_has_no_key_and_kinds_do_not_mix() {
        assert_eq!(Principal::anonymous().key(), None);
        let key = |kind| Principal::new(kind, "orders").key();
        assert_eq!(key(Kind::Token), key(Kind::Token));
        assert_ne!(key(Kind::Token), key(Kind::User));
    }
}
