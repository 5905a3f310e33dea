//! Who wants in, and what to say to that.

use crate::Refusal;
pub use crate::bindings::authenticator::exports::jackfield::plugin::authenticator::{
    Applicant, Credential, Outcome, Principal, Rights,
};

impl Outcome {
    /// The text is for the app: do not tell a guesser what it would like to know.
    pub fn refuse(text: impl Into<String>) -> Self {
        Self::Refuse(Refusal::new(0x202, text))
    }
}

impl Principal {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            attributes: Vec::new(),
            rights: None,
            expires: 0,
        }
    }

    /// A key may be given more than once.
    #[must_use]
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.push((key.into(), value.into()));
        self
    }

    /// The app is asked for again before so many seconds have passed.
    #[must_use]
    pub fn expires(self, seconds: u64) -> Self {
        Self {
            expires: seconds,
            ..self
        }
    }
}

impl Applicant {
    /// Without anything; for tests.
    pub fn anonymous() -> Self {
        Self {
            app: String::new(),
            uuid: String::new(),
            address: String::new(),
            transport: String::new(),
            credentials: Vec::new(),
            services: Vec::new(),
            metadata: Vec::new(),
            renews: String::new(),
        }
    }

    /// The first bearer token.
    pub fn bearer(&self) -> Option<&str> {
        self.credentials
            .iter()
            .find_map(|credential| match credential {
                Credential::Bearer(token) => Some(&**token),
                _ => None,
            })
    }
}
