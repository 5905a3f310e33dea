//! Somebody who makes tokens, and a configuration that asks for them: for tests of this room and of those above.

use std::{fs, path::PathBuf, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Config, JwtConfig, NewKey, Profile, issue, new_key};

pub(crate) struct Realm {
    folder: TempDir,
    key: NewKey,
    pub(crate) config: Config,
}

impl Realm {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let key = new_key().unwrap();
        let public = folder.path().join("jwt.pub");
        fs::write(&public, &key.public).unwrap();
        let config = Config {
            required: true,
            jwt: Some(JwtConfig {
                profile: Profile::Alibaba,
                issuer: "RSocketBroker".into(),
                audience: Vec::new(),
                keys: vec![public],
                jwks: None,
                refresh: Duration::from_secs(300),
                clock_skew: Duration::from_secs(1),
            }),
            ..Config::default()
        };
        Self {
            folder,
            key,
            config,
        }
    }

    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        issue(self.key.private.as_bytes(), None, claims).unwrap()
    }

    /// A member of an organisation, with a service account.
    pub(crate) fn member(&self, subject: &str, organisation: &str, account: &str) -> String {
        self.sign(&json!({
            "iss": "RSocketBroker", "sub": subject, "orgs": [organisation], "sas": [account],
        }))
    }

    /// The same, with roles and the default service account.
    pub(crate) fn in_roles(&self, subject: &str, organisation: &str, roles: &[&str]) -> String {
        self.sign(&json!({
            "iss": "RSocketBroker", "sub": subject, "orgs": [organisation], "sas": ["default"], "roles": roles,
        }))
    }
}
