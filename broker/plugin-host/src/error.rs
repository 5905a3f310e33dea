//! Everything that can be wrong with a plugin, told so that the operator knows what to do.

use std::{io, time::Duration};

use crate::{Capability, Digest, VERSION};

/// `Display` says what is wrong and, where there is one, the remedy; it does not name the plugin.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    #[error("is not a WebAssembly component: {0}")]
    NotAComponent(String),
    #[error(
        "is a core WebAssembly module, not a component; build it with `jackfield plugin build`"
    )]
    CoreModule,
    #[error("has {size} bytes, and at most {max} are accepted")]
    TooLarge { size: u64, max: u64 },
    #[error("has the digest {found}, but the configuration pins {pinned}")]
    Digest { found: Digest, pinned: Digest },
    #[error(
        "was built for {found}, and this broker speaks {VERSION}; rebuild it with the matching SDK, or update the broker"
    )]
    WrongVersion { found: String },
    #[error("imports `{0}`, which this broker does not offer")]
    UnknownImport(String),
    #[error("exports `{0}`, which this broker does not know; update the broker")]
    UnknownExport(String),
    #[error("imports `{import}`, which is not granted; add \"{capability}\" to its `allow`", capability = .capability.name())]
    Denied {
        import: String,
        capability: Capability,
    },
    #[error("is not signed as `signed-by` asks: {0}")]
    Signature(String),
    #[error("does not export `{0}`")]
    MissingExport(String),
    #[error("implements no hook that this broker knows; it exports {0}")]
    NoHook(String),
    #[error(
        "does not fit the interface it claims: {0}; if it was built for a draft of {VERSION}, build it again"
    )]
    Mismatch(String),
    #[error("cannot be compiled: {0}")]
    Compile(String),
    #[error("was not compiled: the compiler was stopped after {0}")]
    CompileStopped(String),
    #[error("needs at least {needed} bytes of memory, and its limit is {limit}; raise `memory`")]
    Memory { needed: u64, limit: u64 },
    #[error("used more than {limit:?} of CPU time")]
    Deadline { limit: Duration },
    #[error("trapped: {0}")]
    Trap(String),
    #[error("refuses its settings: {0}")]
    Refused(String),
    /// As its schema says; the keys down to the setting, empty for all of them.
    #[error("refuses its settings: {}{what}", of(.path))]
    Setting { path: Vec<String>, what: String },
    #[error("gave an answer that makes no sense: {0}")]
    Answer(String),
    #[error("{0}")]
    Unavailable(String),
    #[error("{what}: {source}")]
    Io { what: String, source: io::Error },
}

fn of(path: &[String]) -> String {
    match path {
        [] => String::new(),
        keys => format!("`{}` ", keys.join(".")),
    }
}

impl PluginError {
    /// What the runtime says when imports or exports have other types than the contract.
    pub(crate) fn mismatch(error: wasmtime::Error) -> Self {
        Self::Mismatch(format!("{error:#}"))
    }

    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// A word for metrics and states.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotAComponent(_) | Self::CoreModule => "not_a_component",
            Self::TooLarge { .. } => "too_large",
            Self::Digest { .. } => "digest",
            Self::Signature(_) => "signature",
            Self::WrongVersion { .. } => "wrong_version",
            Self::UnknownImport(_) => "unknown_import",
            Self::UnknownExport(_) => "unknown_export",
            Self::Denied { .. } => "denied",
            Self::MissingExport(_) | Self::NoHook(_) | Self::Mismatch(_) => "interface",
            Self::Compile(_) | Self::CompileStopped(_) => "compile",
            Self::Memory { .. } => "memory",
            Self::Deadline { .. } => "deadline",
            Self::Trap(_) => "trap",
            Self::Refused(_) | Self::Setting { .. } => "refused",
            Self::Answer(_) => "answer",
            Self::Unavailable(_) => "unavailable",
            Self::Io { .. } => "io",
        }
    }
}
