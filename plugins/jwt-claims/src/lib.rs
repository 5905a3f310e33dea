//! Lets apps in by the claims of their signed token (RS256, ES256 or EdDSA), and makes rules of the claims.
//!
//! ```toml
//! [[plugin]]
//! name = "jwt-claims"
//! file = "builtin:jwt-claims"
//! allow = ["clock"]
//! match = ["com.example.admin.*"]     # what `require` guards
//! [plugin.settings]
//! keys = ["-----BEGIN PUBLIC KEY-----\n..."]
//! issuer = "https://issuer.example"   # optional; so is audience
//! name = "sub"                        # the claim that names the principal
//! attributes = { roles = "role" }     # claims that become attributes: text, or a list of it
//! require = ["role:admin"]            # optional: a caller needs one of these attributes
//! ```
//!
//! A plugin with two hooks: the broker runs `authenticator` on threads that may wait, and `routing-filter` on the data
//! plane. What the first says about a principal is what the second reads.

mod token;

use std::collections::BTreeMap;

use jackfield_plugin_sdk::{
    Authenticator, Decision, Plugin, Request, RoutingFilter,
    auth::{Applicant, Outcome, Principal},
    clock, plugin,
};
use serde::Deserialize;
use serde_json::Value;
use token::Key;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Public keys, as PEM.
    keys: Vec<String>,
    issuer: Option<String>,
    audience: Option<String>,
    #[serde(default = "sub")]
    name: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    require: Vec<String>,
}

fn sub() -> String {
    "sub".into()
}

struct JwtClaims {
    keys: Vec<Key>,
    issuer: Option<String>,
    audience: Option<String>,
    name: String,
    attributes: BTreeMap<String, String>,
    require: Vec<(String, String)>,
}

impl Plugin for JwtClaims {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let keys: Vec<Key> =
            { settings.keys.iter().map(|pem| Key::from_pem(pem)) }.collect::<Result<_, _>>()?;
        if keys.is_empty() {
            return Err("`keys` is empty; give the issuer's public keys".into());
        }
        let rule = |rule: &String| {
            let (key, value) = rule.split_once(':')?;
            Some((key.to_owned(), value.to_owned()))
        };
        let require: Option<Vec<_>> = settings.require.iter().map(rule).collect();
        Ok(Self {
            keys,
            issuer: settings.issuer,
            audience: settings.audience,
            name: settings.name,
            attributes: settings.attributes,
            require: require.ok_or("a rule of `require` is not `attribute:value`")?,
        })
    }
}

impl Authenticator for JwtClaims {
    /// Without a token it is not for this plugin to say. With a bad one the app is not let in, and is not told why: a
    /// guesser would like to know.
    fn authenticate(&self, applicant: &Applicant) -> Outcome {
        let Some(token) = applicant.bearer() else {
            return Outcome::Abstain;
        };
        match self.principal(token, clock::unix_ms() / 1_000) {
            Some(principal) => Outcome::Admit(principal),
            None => Outcome::refuse("the token is not good here"),
        }
    }
}

impl RoutingFilter for JwtClaims {
    /// Reads nothing but the caller, so the broker asks once for each route of each connection.
    fn on_request(&self, request: &Request<'_>) -> Decision {
        let holds = |(key, value): &(String, String)| request.principal_has(key, value);
        match self.require.is_empty() || self.require.iter().any(holds) {
            true => Decision::pass().remember(),
            false => Decision::refuse(0x201, "this is not yours to call").remember(),
        }
    }
}

impl JwtClaims {
    fn principal(&self, token: &str, now: u64) -> Option<Principal> {
        let claims = token::verified(token, &self.keys)?;
        let expires = claims["exp"].as_u64().filter(|&exp| exp > now)?;
        let early = claims["nbf"].as_u64().is_some_and(|nbf| nbf > now);
        let fits = |claim: &str, wanted: &Option<String>| {
            let wanted = wanted.as_deref();
            wanted.is_none_or(|wanted| texts(&claims[claim]).any(|held| held == wanted))
        };
        if early || !fits("iss", &self.issuer) || !fits("aud", &self.audience) {
            return None;
        }
        let name = claims[&*self.name]
            .as_str()
            .filter(|name| !name.is_empty())?;
        let principal = Principal::new(name).expires(expires - now);
        let attributes = self.attributes.iter().flat_map(|(claim, key)| {
            { texts(&claims[&**claim]) }.map(move |value| (key.clone(), value.to_owned()))
        });
        Some(attributes.fold(principal, |principal, (key, value)| {
            principal.attribute(key, value)
        }))
    }
}

/// A text, or the texts of a list.
fn texts(claim: &Value) -> impl Iterator<Item = &str> {
    let list = claim.as_array().map_or(&[][..], Vec::as_slice);
    claim
        .as_str()
        .into_iter()
        .chain(list.iter().filter_map(Value::as_str))
}

plugin!(JwtClaims: Authenticator, RoutingFilter);

#[cfg(test)]
mod tests;
