//! Who may use the admin face, and for what.

use std::sync::Arc;

use super::Token;

/// What a route is for. A token is good for the roles it has and for no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// See everything that the API shows.
    Read,
    /// Drain, log level, events to applications.
    Operate,
    /// What plugins there are, and which version of them is live.
    Plugins,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Plugins];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Plugins => "plugins",
        }
    }
}

/// One token, by the name it has in the audit log.
#[derive(Clone, Debug)]
pub(super) struct Operator {
    pub(super) name: Arc<str>,
    token: Token,
    roles: Vec<Role>,
}

impl Operator {
    pub(super) fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

/// All tokens there are.
#[derive(Clone, Debug)]
pub struct Operators(Vec<Operator>);

/// Two operators have one token.
#[derive(Debug, thiserror::Error)]
#[error(
    "the admin tokens `{0}` and `{1}` are the same; delete the file of one to have a new one made"
)]
pub struct SameToken(String, String);

impl Operators {
    /// The operator who may do everything.
    pub fn new(admin: Token) -> Self {
        Self(vec![Operator {
            name: "admin".into(),
            token: admin,
            roles: Role::ALL.to_vec(),
        }])
    }

    /// One more. A token tells who acts, so no two may have the same.
    pub fn add(&mut self, name: &str, token: Token, roles: Vec<Role>) -> Result<(), SameToken> {
        if let Some(other) = self.0.iter().find(|other| other.token == token) {
            return Err(SameToken(other.name.to_string(), name.to_owned()));
        }
        self.0.push(Operator {
            name: name.into(),
            token,
            roles,
        });
        Ok(())
    }

    /// Looks at all of them, so that how long it takes says nothing.
    pub(super) fn find(&self, given: &str) -> Option<&Operator> {
        let mut found = None;
        for operator in &self.0 {
            if operator.token.matches(given) {
                found = Some(operator);
            }
        }
        found
    }
}
