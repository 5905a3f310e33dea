use serde::Serialize;

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    pub(super) what: String,
    /// The command or change that mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) todo: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    Look,
    Bad,
}

impl Verdict {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Look => "look",
            Self::Bad => "bad",
        }
    }
}

impl Finding {
    pub(super) fn good(name: &'static str, what: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            what: what.into(),
            todo: None,
        }
    }

    /// It works, and could work better.
    pub(super) fn look(
        name: &'static str,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Look,
            todo: Some(todo.into()),
            ..Self::good(name, what)
        }
    }

    pub(super) fn bad(
        name: &'static str,
        what: impl Into<String>,
        todo: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Bad,
            todo: Some(todo.into()),
            ..Self::good(name, what)
        }
    }
}
