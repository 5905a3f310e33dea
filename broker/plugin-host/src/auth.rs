//! Who wants in, and what a guest says to that, once it has been checked.

use std::time::Duration;

use crate::{
    Refusal, bindings::authenticator::exports::jackfield::plugin::authenticator as wit,
    verdict::checked_refusal,
};

#[derive(Clone, PartialEq, Eq)]
pub enum Credential {
    Bearer(String),
    Simple {
        user: String,
        password: String,
    },
    /// Verified by the transport; DER.
    Certificate(Vec<u8>),
    /// Its type, as a name or as a number in text.
    Custom(String, Vec<u8>),
}

/// Secrets do not go to logs.
impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bearer(_) => "Bearer(..)",
            Self::Simple { .. } => "Simple(..)",
            Self::Certificate(_) => "Certificate(..)",
            Self::Custom(..) => "Custom(..)",
        })
    }
}

/// An app that wants to come in. Empty text means: it did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applicant {
    pub app: String,
    pub uuid: String,
    /// The IP address it is seen under.
    pub address: String,
    pub transport: String,
    /// In the order in which they were sent.
    pub credentials: Vec<Credential>,
    /// Each `[group!]service[:version]`.
    pub services: Vec<String>,
    pub metadata: Vec<(String, String)>,
    /// The principal that is about to expire.
    pub renews: String,
}

/// What a principal may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    pub call: bool,
    pub publish: bool,
    pub observe: bool,
}

/// Whom an app proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// Not empty, at most 1024 bytes.
    pub name: String,
    /// A key may be there more than once.
    pub attributes: Vec<(String, String)>,
    /// None: as the configuration says.
    pub rights: Option<Rights>,
    /// How long it is good; none: for ever.
    pub expires: Option<Duration>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Not for this plugin to say.
    Abstain,
    Admit(Principal),
    Refuse(Refusal),
}

const NAME_BYTES_MAX: usize = 1024;
const ATTRIBUTES_MAX: usize = 256;

/// The outcome, or what is wrong with it.
pub(crate) fn checked(outcome: wit::Outcome) -> Result<Admission, &'static str> {
    Ok(match outcome {
        wit::Outcome::Abstain => Admission::Abstain,
        wit::Outcome::Admit(principal) => Admission::Admit(checked_principal(principal)?),
        wit::Outcome::Refuse(refusal) => Admission::Refuse(checked_refusal(refusal)),
    })
}

fn checked_principal(principal: wit::Principal) -> Result<Principal, &'static str> {
    let wit::Principal {
        name,
        attributes,
        rights,
        expires,
    } = principal;
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err("the name of its principal is empty or longer than 1024 bytes");
    }
    // So that no guest can make itself one of the broker's own.
    if name.starts_with("plugin:") {
        return Err("the name of its principal begins with `plugin:`");
    }
    if attributes.len() > ATTRIBUTES_MAX {
        return Err("its principal has more than 256 attributes");
    }
    Ok(Principal {
        name,
        attributes,
        rights: rights.map(|rights| Rights {
            call: rights.contains(wit::Rights::CALL),
            publish: rights.contains(wit::Rights::PUBLISH),
            observe: rights.contains(wit::Rights::OBSERVE),
        }),
        expires: (expires > 0).then(|| Duration::from_secs(expires)),
    })
}

impl From<&Applicant> for wit::Applicant {
    fn from(applicant: &Applicant) -> Self {
        let Applicant {
            app,
            uuid,
            address,
            transport,
            credentials,
            services,
            metadata,
            renews,
        } = applicant.clone();
        Self {
            app,
            uuid,
            address,
            transport,
            credentials: credentials.into_iter().map(Into::into).collect(),
            services,
            metadata,
            renews,
        }
    }
}

impl From<Credential> for wit::Credential {
    fn from(credential: Credential) -> Self {
        match credential {
            Credential::Bearer(token) => Self::Bearer(token),
            Credential::Simple { user, password } => Self::Simple((user, password)),
            Credential::Certificate(der) => Self::Certificate(der),
            Credential::Custom(kind, bytes) => Self::Custom((kind, bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admit(name: &str, attributes: usize) -> Result<Admission, &'static str> {
        checked(wit::Outcome::Admit(wit::Principal {
            name: name.into(),
            attributes: vec![("role".into(), "admin".into()); attributes],
            rights: Some(wit::Rights::CALL | wit::Rights::OBSERVE),
            expires: 60,
        }))
    }

    #[test]
    fn a_principal_has_a_name_and_is_not_a_plugin() {
        assert!(admit("", 0).is_err());
        assert!(admit("plugin:canary", 0).is_err());
        assert!(admit(&"x".repeat(1025), 0).is_err());
        assert!(admit("shop", 257).is_err());
        let Ok(Admission::Admit(principal)) = admit("shop", 1) else {
            panic!("it is in order")
        };
        let rights = Rights {
            call: true,
            publish: false,
            observe: true,
        };
        assert_eq!(principal.rights, Some(rights));
        assert_eq!(principal.expires, Some(Duration::from_secs(60)));
    }

    #[test]
    fn no_secret_is_printed() {
        let applicant = Applicant {
            credentials: vec![
                Credential::Bearer("hush".into()),
                Credential::Simple {
                    user: "hush".into(),
                    password: "hush".into(),
                },
            ],
            ..Applicant::default()
        };
        assert!(!format!("{applicant:?}").contains("hush"));
    }
}
