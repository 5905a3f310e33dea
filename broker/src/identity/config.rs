use std::path::PathBuf;

use super::{jwt::JwtConfig, policy::Rule};

/// The checked form of `[auth]`. The default asks nobody anything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Whether every application must authenticate.
    pub required: bool,
    /// Credentials in a request's own metadata are verified, and count for that request.
    pub per_request: bool,
    pub jwt: Option<JwtConfig>,
    /// The users file of simple authentication.
    pub users: Option<PathBuf>,
    /// Whether a certificate of mutual TLS says who somebody is.
    pub certificates: Option<CertificateConfig>,
    pub revoked: Option<PathBuf>,
    pub rules: Vec<Rule>,
}

/// What whoever shows a certificate belongs to: a certificate itself does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateConfig {
    pub organisations: Vec<String>,
    pub service_accounts: Vec<String>,
    pub roles: Vec<String>,
    pub authorities: Vec<String>,
}
