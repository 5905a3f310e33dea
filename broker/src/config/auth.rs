//! `[auth]`: who is let in, and what they may do.
//!
//! The files it names are read here too, so that `check` and a reload find what is wrong with them before
//! anything changes; `identity` reads them again, and watches them.

use std::{path::PathBuf, time::Duration};

use super::{
    plugins::patterns,
    reader::{Placed, Reader, Section},
};
use crate::identity::{
    CertificateConfig, Config, Effect, FileKind, JwksSource, JwtConfig, Profile, Right, Rule,
    check_file, check_url,
};

/// What the archived broker's tokens name.
const ISSUER: &str = "RSocketBroker";
const AUDIENCE: &str = "jackfield";
const REFRESH: Duration = Duration::from_secs(5 * 60);
const CLOCK_SKEW: Duration = Duration::from_secs(30);
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(5 * 60);

const PROFILES: [(&str, Profile); 2] = [("strict", Profile::Strict), ("alibaba", Profile::Alibaba)];

pub(super) fn auth(reader: &Reader<'_>) -> Config {
    let section = reader.section("auth");
    let config = Config {
        required: section.boolean("required").unwrap_or(false),
        per_request: section.boolean("per-request").unwrap_or(false),
        jwt: jwt(reader, &section.section("jwt")),
        users: file(&section.section("simple"), "users-file", FileKind::Users),
        certificates: certificates(&section.section("tls")),
        revoked: file(&section, "revoked-file", FileKind::Revoked),
        rules: reader
            .sections("auth.rule")
            .iter()
            .filter_map(rule)
            .collect(),
    };
    let how = config.jwt.is_some() || config.users.is_some() || config.certificates.is_some();
    if config.required && !how {
        let todo =
            "add keys to [auth.jwt], users-file to [auth.simple], or enabled = true to [auth.tls]";
        section.wrong("required", "is true, and there is no way to do it", todo);
    }
    config
}

/// None without a key: then no token can be verified.
fn jwt(reader: &Reader<'_>, section: &Section<'_>) -> Option<JwtConfig> {
    let profile = section
        .choice("profile", &PROFILES, &[])
        .unwrap_or_default();
    let audience = texts(section, "audience").unwrap_or_else(|| match profile {
        Profile::Strict => vec![AUDIENCE.to_owned()],
        Profile::Alibaba => Vec::new(),
    });
    if profile == Profile::Strict && audience.is_empty() {
        let todo = "name this broker as its tokens do, or leave the key out for \"jackfield\"";
        section.wrong(
            "audience",
            "is empty, and the strict profile checks it",
            todo,
        );
    }
    let skew = section.duration("clock-skew").unwrap_or(CLOCK_SKEW);
    if skew > CLOCK_SKEW_MAX {
        section.wrong(
            "clock-skew",
            "is longer than 5m",
            "set the clocks right instead",
        );
    }
    let issuer = section.read("issuer", |text| match text {
        "" => Err("name who signs the tokens, as their claim `iss` does".into()),
        text => Ok(text.to_owned()),
    });
    let keys = keys(reader, section);
    let config = JwtConfig {
        profile,
        issuer: issuer.map_or_else(|| ISSUER.to_owned(), |placed| placed.value),
        audience,
        jwks: jwks(section),
        keys,
        refresh: section.duration("jwks-refresh").unwrap_or(REFRESH),
        clock_skew: skew,
    };
    let empty = config.keys.is_empty() && config.jwks.is_none();
    if empty && section.is_written() {
        let todo = "add keys = [\"jwt_rsa.pub\"], jwks-url or jwks-file";
        section.doubt("keys", "is missing: no token can be verified", todo);
    }
    (!empty).then_some(config)
}

fn keys(reader: &Reader<'_>, section: &Section<'_>) -> Vec<PathBuf> {
    let mut keys = Vec::new();
    for Placed { value, place } in section.list("keys").unwrap_or_default() {
        let path = section.resolve(value, place);
        if let Err(error) = check_file(FileKind::Key, &path) {
            let what = format!("auth.jwt.keys names `{value}`, which {}", error.what);
            reader.wrong(place, what, error.todo);
        }
        keys.push(path);
    }
    keys
}

fn jwks(section: &Section<'_>) -> Option<JwksSource> {
    let url = section.read("jwks-url", |text| check_url(text).map(|()| text.to_owned()));
    let path = file(section, "jwks-file", FileKind::KeySet);
    let authorities = section.path("jwks-ca").map(|placed| placed.value);
    if let Some(authorities) = authorities.as_ref().filter(|path| !path.is_file()) {
        let what = format!("is `{}`, and there is no such file", authorities.display());
        section.wrong("jwks-ca", what, "name a file with certificates in PEM");
    }
    match (url, path) {
        (Some(_), Some(_)) => {
            section.wrong("jwks-file", "is set, and jwks-url too", "keep one of them");
            None
        }
        (Some(url), None) => Some(JwksSource::Url {
            url: url.value,
            authorities,
        }),
        (None, Some(path)) => Some(JwksSource::File(path)),
        (None, None) => None,
    }
}

/// A file that is there and can be used.
fn file(section: &Section<'_>, key: &str, kind: FileKind) -> Option<PathBuf> {
    let path = section.path(key)?.value;
    if let Err(error) = check_file(kind, &path) {
        let what = format!("is `{}`, which {}", path.display(), error.what);
        section.wrong(key, what, error.todo);
    }
    Some(path)
}

fn certificates(section: &Section<'_>) -> Option<CertificateConfig> {
    let config = CertificateConfig {
        organisations: texts(section, "organisations").unwrap_or_default(),
        service_accounts: texts(section, "service-accounts").unwrap_or_default(),
        roles: texts(section, "roles").unwrap_or_default(),
        authorities: texts(section, "authorities").unwrap_or_default(),
    };
    section
        .boolean("enabled")
        .unwrap_or(false)
        .then_some(config)
}

fn rule(section: &Section<'_>) -> Option<Rule> {
    let (allow, deny) = (rights(section, "allow"), rights(section, "deny"));
    let (effect, rights) = match (allow, deny) {
        (Some(rights), None) => (Effect::Allow, rights),
        (None, Some(rights)) => (Effect::Deny, rights),
        (None, None) => {
            let todo = "add allow = [\"call\"] or deny = [\"call\"]";
            section.wrong("allow", "is missing, and deny too", todo);
            return None;
        }
        (Some(_), Some(_)) => {
            section.wrong("deny", "is set, and allow too", "write two rules");
            return None;
        }
    };
    Some(Rule {
        effect,
        rights,
        services: patterns(section, "service").unwrap_or_default(),
        methods: patterns(section, "method").unwrap_or_default(),
        subjects: patterns(section, "subject").unwrap_or_default(),
        roles: texts(section, "role").unwrap_or_default(),
        authorities: texts(section, "authority").unwrap_or_default(),
    })
}

fn rights(section: &Section<'_>, key: &str) -> Option<Vec<Right>> {
    let items = section.list(key)?;
    let right = |text: &str| Right::ALL.into_iter().find(|right| right.as_str() == text);
    let rights: Vec<Right> = items.iter().filter_map(|item| right(item.value)).collect();
    if rights.is_empty() || rights.len() < items.len() {
        let what = "names no right, or one that does not exist";
        section.wrong(
            key,
            what,
            "write \"call\", \"publish\", \"observe\", or several of them",
        );
    }
    Some(rights)
}

fn texts(section: &Section<'_>, key: &str) -> Option<Vec<String>> {
    let items = section.list(key)?;
    Some(items.iter().map(|item| item.value.to_owned()).collect())
}
