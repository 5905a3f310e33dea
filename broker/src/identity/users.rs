//! Names and passwords of a users file (TOML).
//!
//! ```toml
//! [[user]]
//! name = "orders"
//! password = "$argon2id$v=19$m=19456,t=2,p=1$..."     # jackfield token password
//! organisations = ["1"]
//! service-accounts = ["default"]
//! roles = ["reader"]
//! authorities = []
//! ```
//!
//! Argon2 only: a second scheme would be a second way to be slow or wrong, and hashes are made with
//! our own command.

use std::{collections::HashMap, sync::Arc};

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use serde::Deserialize;

use super::{
    keys::KeyError,
    principal::{Kind, Principal},
};

/// Checking a password takes this much memory at most.
const MEMORY_MAX_KIB: u32 = 256 * 1024;
/// A name or password of a connection that is longer is nobody's.
pub(super) const NAME_MAX: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Users {
    known: HashMap<String, User>,
    /// Checked for names that nobody has, so that they take as long.
    decoy: Option<PasswordHash>,
}

#[derive(Debug)]
struct User {
    password: PasswordHash,
    principal: Arc<Principal>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    user: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    name: String,
    password: String,
    #[serde(default)]
    organisations: Vec<Box<str>>,
    #[serde(default)]
    service_accounts: Vec<Box<str>>,
    #[serde(default)]
    roles: Vec<Box<str>>,
    #[serde(default)]
    authorities: Vec<Box<str>>,
}

impl Users {
    pub(super) fn parse(text: &str) -> Result<Self, KeyError> {
        // The error of the parser would show the line, and a password hash may stand there.
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            let what = format!("line {line}: {}", error.message());
            KeyError::new(what, "write [[user]] tables with name and password")
        })?;
        let mut known = HashMap::new();
        for entry in file.user {
            let name = entry.name.clone();
            if name.is_empty() || name.len() > NAME_MAX {
                let what = "has a user without a name, or with one that is too long";
                return Err(KeyError::new(what, "give each user a name"));
            }
            if known.insert(name.clone(), User::of(entry)?).is_some() {
                let what = format!("has two users `{name}`");
                return Err(KeyError::new(what, "give each user a name of its own"));
            }
        }
        let decoy = known.values().next().map(|user| user.password.clone());
        Ok(Self { known, decoy })
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.known.contains_key(name)
    }

    /// Takes as long as the hash was made to take: not for a thread that serves others.
    pub(super) fn verify(&self, name: &str, password: &str) -> Option<Arc<Principal>> {
        let user = self.known.get(name);
        let hash = user.map(|user| &user.password).or(self.decoy.as_ref())?;
        let right = Argon2::default()
            .verify_password(password.as_bytes(), hash)
            .is_ok();
        user.filter(|_| right)
            .map(|user| Arc::clone(&user.principal))
    }
}

impl User {
    fn of(entry: Entry) -> Result<Self, KeyError> {
        let Entry { name, .. } = &entry;
        let todo = "make one with `jackfield token password`";
        let bad = |what: &str| KeyError::new(format!("user `{name}`: {what}"), todo);
        let password = PasswordHash::new(&entry.password)
            .map_err(|_| bad("the password is not a hash that can be read"))?;
        if !password.algorithm.as_str().starts_with("argon2") {
            return Err(bad("the password is not hashed by Argon2"));
        }
        let params = argon2::Params::try_from(&password)
            .map_err(|_| bad("the password's hash has parameters that make no sense"))?;
        if params.m_cost() > MEMORY_MAX_KIB || params.t_cost() > 64 {
            return Err(bad("checking the password would take too much"));
        }
        Ok(Self {
            password,
            principal: Arc::new(Principal {
                organisations: entry.organisations,
                service_accounts: entry.service_accounts,
                roles: entry.roles,
                authorities: entry.authorities,
                ..Principal::new(Kind::User, entry.name.clone())
            }),
        })
    }
}

/// A hash to write into a users file.
pub fn hash_password(password: &str) -> Result<String, String> {
    if password.is_empty() || password.len() > NAME_MAX {
        return Err(format!("write a password of 1 to {NAME_MAX} bytes"));
    }
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.map(|hash| hash.to_string())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Weak on purpose: a test has no time.
    fn weak(password: &str) -> String {
        let params = argon2::Params::new(8, 1, 1, None).unwrap();
        let argon2 = Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        argon2
            .hash_password_with_salt(password.as_bytes(), b"salty salt")
            .unwrap()
            .to_string()
    }

    #[test]
    fn only_the_right_password_of_a_user_is_accepted() {
        let text = format!(
            "[[user]]\nname = \"orders\"\npassword = \"{}\"\nroles = [\"reader\"]\n\
             [[user]]\nname = \"stock\"\npassword = \"{}\"\n",
            weak("pw"),
            weak("other")
        );
        let users = Users::parse(&text).unwrap();
        let principal = users.verify("orders", "pw").unwrap();
        assert_eq!(
            (&*principal.subject, principal.kind),
            ("orders", Kind::User)
        );
        assert_eq!(*principal.roles, [Box::from("reader")]);
        for (name, password) in [
            ("orders", "other"),
            ("orders", ""),
            ("nobody", "pw"),
            ("", ""),
        ] {
            assert_eq!(users.verify(name, password), None, "{name} {password}");
        }
    }

    #[test]
    fn faults_are_told_without_the_password() {
        for (text, what) in [
            ("[[user]]\nname = 1\n", "line 2: "),
            (
                "[[user]]\nname = \"a\"\npassword = \"s3cret\"\n",
                "user `a`: the password is not a hash that can be read",
            ),
            (
                "[[user]]\nname = \"a\"\npassword = \"$2y$05$s3crets3crets3crets3cu5eyoK1lQjLJlVrLT6QZm2nIJVzbJzW\"\n",
                "user `a`: the password is not",
            ),
            (
                "[[user]]\nname = \"a\"\npassword = \"$argon2id$v=19$m=4000000,t=2,p=1$c2FsdHNhbHQ$c3VtbWVyc3VtbWVy\"\n",
                "user `a`: checking the password would take too much",
            ),
        ] {
            let error = Users::parse(text).unwrap_err();
            assert!(error.what.starts_with(what), "{error}");
            assert!(!error.to_string().contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn a_hash_that_we_make_is_one_that_we_take() {
        let hash = hash_password("pw").unwrap();
        let text = format!("[[user]]\nname = \"a\"\npassword = \"{hash}\"\n");
        assert!(Users::parse(&text).unwrap().verify("a", "pw").is_some());
    }
}
