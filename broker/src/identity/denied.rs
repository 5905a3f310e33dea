/// Why credentials were not accepted. The peer is told none of this: every refusal reads the same
/// on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Denied {
    /// None were given, and they must be.
    Missing,
    /// Of a kind that is not known or not configured here.
    Unsupported,
    /// They cannot be read.
    Malformed,
    TooLong,
    /// A token by an algorithm that is not accepted, or not the algorithm of its key.
    Algorithm,
    /// A token by a key that is not known.
    UnknownKey,
    Signature,
    Expired,
    NotYetValid,
    Issuer,
    Audience,
    /// A token without a claim that the profile asks for.
    MissingClaim,
    /// A claim that is not of its type.
    ClaimType,
    Revoked,
    Password,
    /// A plugin that authenticates said no.
    Plugin,
    /// Too many passwords are being checked, or keys did not come in time.
    Busy,
}

impl Denied {
    pub(super) const ALL: [Self; 17] = [
        Self::Missing,
        Self::Unsupported,
        Self::Malformed,
        Self::TooLong,
        Self::Algorithm,
        Self::UnknownKey,
        Self::Signature,
        Self::Expired,
        Self::NotYetValid,
        Self::Issuer,
        Self::Audience,
        Self::MissingClaim,
        Self::ClaimType,
        Self::Revoked,
        Self::Password,
        Self::Plugin,
        Self::Busy,
    ];

    /// The `outcome` label of `jackfield_auth_total`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unsupported => "unsupported",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::MissingClaim => "missing_claim",
            Self::ClaimType => "claim_type",
            Self::Revoked => "revoked",
            Self::Password => "password",
            Self::Plugin => "plugin",
            Self::Busy => "busy",
        }
    }
}
