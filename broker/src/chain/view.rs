//! A plugin as operators see it.

use serde::Serialize;

use super::{FailurePolicy, Override};

/// One row of `/api/v1/plugins`.
#[derive(Clone, Debug, Serialize)]
pub struct PluginView {
    pub name: String,
    /// A path, or `builtin:NAME`.
    pub source: String,
    /// SHA-256 of the component; none when it is off and was not loaded.
    pub digest: Option<String>,
    /// Bytes of the component.
    pub size: Option<u64>,
    pub state: PluginState,
    /// Of the chain it runs in.
    pub generation: u64,
    pub order: i32,
    pub hooks: Vec<&'static str>,
    /// Full names of what it imports.
    pub imports: Vec<String>,
    /// What it is granted.
    pub allow: Vec<&'static str>,
    /// Empty: every service.
    #[serde(rename = "match")]
    pub matches: Vec<String>,
    /// None: what each hook has by itself.
    pub on_failure: Option<FailurePolicy>,
    /// Linear memory of its instances, in bytes.
    pub memory: u64,
    /// Since the process began.
    pub calls: u64,
    /// Among the calls.
    pub failures: u64,
    /// Of this generation.
    pub last_error: Option<String>,
    /// What operators changed about it; none: it is as the configuration says.
    #[serde(rename = "override")]
    pub overridden: Option<Override>,
    /// The digests that were live and can be gone back to; the newest comes last.
    pub versions: Vec<String>,
    /// Failures of the version on trial, and whether its circuit is open; none: there is no trial.
    pub trial: Option<TrialView>,
}

/// How a version on trial does.
#[derive(Clone, Debug, Serialize)]
pub struct TrialView {
    pub digest: String,
    /// Of 10000 connections; none: in the shadow.
    pub share: Option<u32>,
    /// Its circuit is open: the live version answers for it.
    pub open: bool,
    pub last_error: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginState {
    Live,
    /// Asked, and without effect.
    Shadow,
    /// Its circuit is open: the failure policy answers for it.
    Open,
    /// Configured, and switched off.
    Off,
}

impl PluginState {
    pub(super) const ALL: [Self; 4] = [Self::Live, Self::Shadow, Self::Open, Self::Off];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Shadow => "shadow",
            Self::Open => "open",
            Self::Off => "off",
        }
    }
}
