//! What came of one call of a plugin, as metrics tell it.

use jackfield_plugin_host::{Plan, PluginError, Selection, Verdict};

/// The label `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallOutcome {
    Pass,
    Rewrite,
    Split,
    Refuse,
    Answer,
    /// A selector had an opinion.
    Select,
    /// Chaos may happen.
    Disturb,
    /// An authenticator let somebody in.
    Admit,
    /// A slow hook did what it was asked for.
    Done,
    Trap,
    Deadline,
    Memory,
    Invalid,
    /// Not called: its circuit is open.
    CircuitOpen,
    /// Not called, or cut short: the chain's deadline is used up.
    ChainDeadline,
    /// Not called: too many calls of this slow hook wait already.
    QueueFull,
    /// A slow hook took too long, its wait in the queue included.
    Timeout,
}

impl CallOutcome {
    pub(super) const ALL: [Self; 17] = [
        Self::Pass,
        Self::Rewrite,
        Self::Split,
        Self::Refuse,
        Self::Answer,
        Self::Select,
        Self::Disturb,
        Self::Admit,
        Self::Done,
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Invalid,
        Self::CircuitOpen,
        Self::ChainDeadline,
        Self::QueueFull,
        Self::Timeout,
    ];
    pub(super) const FAILURES: [Self; 8] = [
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Invalid,
        Self::CircuitOpen,
        Self::ChainDeadline,
        Self::QueueFull,
        Self::Timeout,
    ];

    pub(super) const fn of_verdict(verdict: &Verdict) -> Self {
        match verdict {
            Verdict::Pass => Self::Pass,
            Verdict::Rewrite(_) => Self::Rewrite,
            Verdict::Split(_) => Self::Split,
            Verdict::Refuse(_) => Self::Refuse,
            Verdict::Answer(_) => Self::Answer,
        }
    }

    pub(super) const fn of_selection(selection: &Selection) -> Self {
        match selection {
            Selection::Any => Self::Pass,
            _ => Self::Select,
        }
    }

    pub(super) const fn of_plan(plan: &Plan) -> Self {
        match plan.faults.is_empty() {
            true => Self::Pass,
            false => Self::Disturb,
        }
    }

    pub(super) const fn of_error(error: &PluginError) -> Self {
        match error {
            PluginError::Deadline { .. } => Self::Deadline,
            PluginError::Memory { .. } => Self::Memory,
            PluginError::Answer(_) => Self::Invalid,
            _ => Self::Trap,
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Rewrite => "rewrite",
            Self::Split => "split",
            Self::Refuse => "refuse",
            Self::Answer => "answer",
            Self::Select => "select",
            Self::Disturb => "disturb",
            Self::Admit => "admit",
            Self::Done => "done",
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Invalid => "invalid",
            Self::CircuitOpen => "circuit_open",
            Self::ChainDeadline => "chain_deadline",
            Self::QueueFull => "queue_full",
            Self::Timeout => "timeout",
        }
    }
}
