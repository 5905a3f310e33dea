//! Every reason to say no, with the code and the words it is said in: one table.
//!
//! Where the archived broker has a code and a text, they are kept; the others have RST numbers it
//! never used. What a refusal promises: REJECTED was not processed and may be sent
//! again, CANCELED may have been, INVALID will not be better a second time.

use std::borrow::Cow;

use jackfield_rsocket::wire::ErrorCode;

/// Why a request, a stream or a connection is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Neither 0x7E nor 0x50 in the request, or no tag in them.
    NoRoute,
    /// Composite metadata cannot be read.
    BadMetadata(String),
    /// Nobody offers the service.
    UnknownService(String),
    /// Instances offer the service; none fits the endpoint.
    UnknownEndpoint { service: String, endpoint: String },
    /// Metadata of a fragmented request grew past what is waited for, or took too long.
    MetadataTooLong,
    /// A message in fragments grew past `limits.message`.
    MessageTooLarge,
    /// A message in fragments was not finished in time.
    MessageUnfinished,
    /// More fire-and-forget requests a second than `limits.fire-and-forget`.
    TooManyTold,
    /// Every instance that could take the call is full.
    Overloaded(String),
    /// The process is short of memory.
    OutOfMemory,
    /// The instance picked last did not take the request, and there is no other.
    NotTaken { service: String, why: Untaken },
    /// More requests than the lease that the broker granted.
    NoLease,
    /// The resume token of SETUP is another session's.
    TokenInUse,
    /// The broker is draining.
    Draining,
    /// A plugin that fails closed did not answer.
    PluginFailed(String),
    /// A plugin said no, in its own words.
    Plugin { code: u32, text: String },
    /// A plugin wanted this to go wrong.
    Fault { code: u32, text: String },
    /// More requests are held on purpose than `limits.held-requests` and `limits.held-bytes` allow.
    TooManyHeld,
    /// A plugin wants it held for longer than `limits.held-time`.
    HeldTooLong,
    /// No reply, or no first item, in time.
    Timeout,
    /// The connection of the responder ended in the middle of the call.
    ProviderLost,
    /// The reader is too slow: more waits for it than the hard mark of its outbox.
    SlowReader,
    /// SETUP without application metadata wants to publish services.
    NoApplication,
    /// The broker asks for credentials, and there were none that are good.
    NotAuthenticated,
    /// A plugin did not let it in, in its own words.
    NotVouched(String),
    /// The same, of a request's own.
    RequestNotAuthenticated,
    /// The rules do not let the caller call the service.
    NotAllowed(String),
    /// The rules do not let the application register the service.
    MayNotPublish(String),
    /// A uuid that is too short to be one.
    BadUuid(String),
    /// The uuid of another application.
    DuplicateUuid(String),
    /// Application or registry metadata cannot be read.
    BadApplication(String),
}

impl Refusal {
    /// The number operators look up with `jackfield explain`; none for a plugin's own words.
    pub const fn rst(&self) -> Option<u32> {
        Some(match self {
            Self::NoRoute => 600_404,
            Self::BadMetadata(_) => 600_500,
            Self::UnknownService(_) => 900_404,
            Self::UnknownEndpoint { .. } => 900_405,
            Self::MetadataTooLong | Self::MessageTooLarge | Self::MessageUnfinished => 910_413,
            Self::TooManyTold => 910_430,
            Self::OutOfMemory => 910_507,
            Self::Overloaded(_) | Self::NotTaken { .. } => 910_429,
            Self::NoLease => 910_431,
            Self::TokenInUse => 910_409,
            Self::Draining => 910_503,
            Self::PluginFailed(_) => 910_520,
            Self::TooManyHeld | Self::HeldTooLong => 910_432,
            Self::Plugin { .. } | Self::Fault { .. } | Self::NotVouched(_) => return None,
            Self::Timeout => 910_504,
            Self::ProviderLost => 910_499,
            Self::SlowReader => 910_498,
            Self::NoApplication => 500_411,
            Self::NotAuthenticated => 500_405,
            Self::RequestNotAuthenticated => 910_405,
            Self::NotAllowed(_) => 900_401,
            Self::MayNotPublish(_) => 910_420,
            Self::BadUuid(_) => 500_410,
            Self::DuplicateUuid(_) => 500_409,
            Self::BadApplication(_) => 500_402,
        })
    }

    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NoRoute | Self::BadMetadata(_) | Self::MetadataTooLong => ErrorCode::INVALID,
            Self::UnknownService(_) | Self::UnknownEndpoint { .. } => ErrorCode::INVALID,
            Self::Overloaded(_)
            | Self::OutOfMemory
            | Self::NotTaken { .. }
            | Self::NoLease
            | Self::Draining
            | Self::PluginFailed(_)
            | Self::TooManyHeld
            | Self::HeldTooLong
            | Self::TooManyTold => ErrorCode::REJECTED,
            Self::Plugin { code, .. } | Self::Fault { code, .. } => ErrorCode(*code),
            Self::Timeout
            | Self::ProviderLost
            | Self::SlowReader
            | Self::MessageTooLarge
            | Self::MessageUnfinished => ErrorCode::CANCELED,
            Self::NotAllowed(_) | Self::RequestNotAuthenticated => ErrorCode::APPLICATION_ERROR,
            Self::NoApplication
            | Self::NotAuthenticated
            | Self::NotVouched(_)
            | Self::MayNotPublish(_)
            | Self::BadUuid(_)
            | Self::DuplicateUuid(_)
            | Self::BadApplication(_)
            | Self::TokenInUse => ErrorCode::REJECTED_SETUP,
        }
    }

    /// The outcome label of `jackfield_requests_total`.
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Timeout => Outcome::Timeout,
            Self::ProviderLost => Outcome::Lost,
            _ => Outcome::Refused,
        }
    }

    /// The `reason` label of `jackfield_refused_total`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoRoute => "no_route",
            Self::BadMetadata(_) => "bad_metadata",
            Self::UnknownService(_) => "unknown_service",
            Self::UnknownEndpoint { .. } => "unknown_endpoint",
            Self::MetadataTooLong => "metadata_too_long",
            Self::MessageTooLarge => "message_too_large",
            Self::MessageUnfinished => "message_unfinished",
            Self::TooManyTold => "too_many_fire_and_forget",
            Self::Overloaded(_) => "overloaded",
            Self::OutOfMemory => "memory",
            Self::NotTaken { why, .. } => why.as_str(),
            Self::NoLease => "no_lease",
            Self::TokenInUse => "token_in_use",
            Self::Draining => "draining",
            Self::PluginFailed(_) => "plugin_failed",
            Self::Plugin { .. } => "plugin",
            Self::Fault { .. } => "fault",
            Self::TooManyHeld | Self::HeldTooLong => "held",
            Self::Timeout => "timeout",
            Self::ProviderLost => "provider_lost",
            Self::SlowReader => "slow_reader",
            Self::NoApplication => "no_application",
            Self::NotAuthenticated => "not_authenticated",
            Self::NotVouched(_) => "not_vouched",
            Self::RequestNotAuthenticated => "request_not_authenticated",
            Self::NotAllowed(_) => "not_allowed",
            Self::MayNotPublish(_) => "may_not_publish",
            Self::BadUuid(_) => "bad_uuid",
            Self::DuplicateUuid(_) => "duplicate_uuid",
            Self::BadApplication(_) => "bad_application",
        }
    }

    /// What the peer reads: `RST-n: words`.
    pub fn text(&self) -> String {
        let words = self.words();
        match self.rst() {
            Some(rst) => format!("RST-{rst}: {words}"),
            None => words.into_owned(),
        }
    }

    fn words(&self) -> Cow<'_, str> {
        Cow::Owned(match self {
            Self::NoRoute => return "request has no routing metadata (0x7E or 0x50)".into(),
            Self::MetadataTooLong => {
                return "routing metadata of a fragmented request is too long or too late".into();
            }
            Self::MessageUnfinished => {
                return "message in fragments was not finished in time".into();
            }
            Self::MessageTooLarge => return "message is larger than limits.message".into(),
            Self::TooManyTold => return "more fire-and-forget than limits.fire-and-forget".into(),
            Self::OutOfMemory => return "broker is short of memory; try again later".into(),
            Self::TooManyHeld => {
                return "more requests are held than limits.held-requests and limits.held-bytes allow"
                    .into();
            }
            Self::HeldTooLong => {
                return "a plugin wants the request held for longer than limits.held-time".into();
            }
            Self::NoLease => return "no lease for this request; wait for the next LEASE".into(),
            Self::TokenInUse => return "the resume token is in use".into(),
            Self::Draining => return "broker is draining; connect to another one".into(),
            Self::Timeout => return "no answer in time".into(),
            Self::ProviderLost => return "responder's connection ended during the call".into(),
            Self::SlowReader => return "reader is too slow for this stream".into(),
            Self::NoApplication => {
                return "application metadata (0x51) is missing from SETUP".into();
            }
            Self::NotAuthenticated => {
                return "not accepted: authentication is required, and failed".into();
            }
            Self::RequestNotAuthenticated => {
                return "the credentials of the request are not accepted".into();
            }
            Self::NotAllowed(service) => format!("not allowed to call {service}"),
            Self::MayNotPublish(service) => format!("not allowed to publish {service}"),
            Self::BadUuid(uuid) => {
                format!("uuid {uuid} is too short; send a random one, or none")
            }
            Self::BadMetadata(why) => format!("composite metadata cannot be read: {why}"),
            Self::UnknownService(name) => format!("service not found: {name}"),
            Self::UnknownEndpoint { service, endpoint } => {
                format!("service {service} has no instance at endpoint {endpoint}")
            }
            Self::Overloaded(name) => {
                format!("every instance of {name} is overloaded; try again later")
            }
            Self::NotTaken { service, why } => {
                let why = why.words();
                format!("{service} did not take the request, because {why}; try again later")
            }
            Self::PluginFailed(name) => format!("plugin {name} failed and refuses by policy"),
            Self::Plugin { text, .. } | Self::Fault { text, .. } | Self::NotVouched(text) => {
                text.clone()
            }
            Self::DuplicateUuid(uuid) => format!("uuid {uuid} belongs to another application"),
            Self::BadApplication(why) => format!("application metadata cannot be read: {why}"),
        })
    }
}

/// Why a link gave a request back that it was to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untaken {
    /// Its connection ended.
    Gone,
    /// It has as many streams open as `limits.streams` allows.
    TooManyStreams,
    /// The responder announced that it is closing.
    Draining,
    /// Its connection is interrupted, and may be resumed.
    Parked,
    /// The responder has granted no lease for it.
    NoLease,
}

impl Untaken {
    /// The `reason` label of `jackfield_refused_total`.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Gone => "responder_gone",
            Self::TooManyStreams => "responder_streams",
            Self::Draining => "responder_draining",
            Self::Parked => "responder_parked",
            Self::NoLease => "responder_lease",
        }
    }

    const fn words(self) -> &'static str {
        match self {
            Self::Gone => "its connection ended",
            Self::TooManyStreams => "it has limits.streams open streams",
            Self::Draining => "it is closing",
            Self::Parked => "its connection is interrupted",
            Self::NoLease => "it has granted no lease for it",
        }
    }
}

/// How a request ended: the `outcome` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    AppError,
    Refused,
    Cancelled,
    Timeout,
    Lost,
}

impl Outcome {
    pub const ALL: [Self; 6] = [
        Self::Ok,
        Self::AppError,
        Self::Refused,
        Self::Cancelled,
        Self::Timeout,
        Self::Lost,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::AppError => "app_error",
            Self::Refused => "refused",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
        }
    }
}
