//! What a plugin decides, and short ways to say it.

pub use crate::bindings::{
    routing_filter::exports::jackfield::plugin::routing_filter::{
        Decision, Rewrite, Share, Verdict,
    },
    shared::jackfield::plugin::message::{Payload, Refusal},
};

impl Refusal {
    /// 0x201 application error, 0x202 rejected, 0x204 invalid, or a code of your own from 0x301.
    pub fn new(code: u32, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { code, text }
    }
}

impl Decision {
    /// No opinion.
    pub fn pass() -> Self {
        Verdict::Pass.into()
    }

    pub fn rewrite(to: Rewrite) -> Self {
        Verdict::Rewrite(to).into()
    }

    /// Sends `weight` of 10000 to a rewrite, and lets the rest pass. The host throws the dice for
    /// each request, so this can be remembered.
    pub fn split(weight: u32, to: Rewrite) -> Self {
        Verdict::Split(vec![Share { weight, to }]).into()
    }

    /// The caller gets an error: 0x201 application error, 0x202 rejected, 0x204 invalid, or a code
    /// of your own from 0x301.
    pub fn refuse(code: u32, text: impl Into<String>) -> Self {
        Verdict::Refuse(Refusal::new(code, text)).into()
    }

    /// The caller gets this reply. Request/response only.
    pub fn answer(data: impl Into<Vec<u8>>) -> Self {
        let (metadata, data) = (None, data.into());
        Verdict::Answer(Payload { metadata, data }).into()
    }

    /// The same route of the same connection may get this again without asking, as long as the
    /// plugin is not reloaded. Not for decisions that depend on time, on counting, or on chance.
    #[must_use]
    pub fn remember(self) -> Self {
        Self {
            remember: true,
            ..self
        }
    }

    pub fn is_pass(&self) -> bool {
        self.verdict == Verdict::Pass
    }

    pub fn is_refusal(&self) -> bool {
        matches!(self.verdict, Verdict::Refuse(_))
    }
}

impl From<Verdict> for Decision {
    fn from(verdict: Verdict) -> Self {
        Self {
            verdict,
            remember: false,
        }
    }
}

impl Rewrite {
    /// Changes nothing yet.
    pub const fn new() -> Self {
        Self {
            group: None,
            service: None,
            method: None,
            version: None,
            endpoint: None,
            tags: Vec::new(),
            sticky: None,
        }
    }

    /// Whether the caller stays with one instance of the service.
    #[must_use]
    pub fn sticky(self, sticky: bool) -> Self {
        Self {
            sticky: Some(sticky),
            ..self
        }
    }

    #[must_use]
    pub fn group(self, group: impl Into<String>) -> Self {
        Self {
            group: Some(group.into()),
            ..self
        }
    }

    #[must_use]
    pub fn service(self, service: impl Into<String>) -> Self {
        Self {
            service: Some(service.into()),
            ..self
        }
    }

    #[must_use]
    pub fn method(self, method: impl Into<String>) -> Self {
        Self {
            method: Some(method.into()),
            ..self
        }
    }

    #[must_use]
    pub fn version(self, version: impl Into<String>) -> Self {
        Self {
            version: Some(version.into()),
            ..self
        }
    }

    /// A rule such as `zone:eu`.
    #[must_use]
    pub fn endpoint(self, endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: Some(endpoint.into()),
            ..self
        }
    }

    /// An empty value removes the tag.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.push((key.into(), value.into()));
        self
    }
}

impl Default for Rewrite {
    fn default() -> Self {
        Self::new()
    }
}
