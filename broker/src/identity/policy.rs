//! Who may do what: three rights, and rules that give and take them.
//!
//! For each right, service and method, in this order:
//! 1. a rule that denies it and fits: refused
//! 2. rules that allow it and are about this service and method: allowed if one of them fits who
//!    asks, refused if none does
//! 3. no rule is about it: the right's default
//!
//! So the order of the rules does not matter, and a service that a rule allows to somebody is
//! closed to all others.
//!
//! | right | default |
//! |---|---|
//! | call | with `auth.required`, the archived broker's rule: caller and responder have an organisation and a service account in common; else allowed |
//! | publish | allowed |
//! | observe | allowed |
//!
//! A call that does not say its method (it names a service, or only the numbers of entry 0x50) may
//! be of any: a rule that denies some methods fits it, one that allows some does not.
//!
//! Parts of the broker may do everything. For whom a plugin vouches may do no more than the plugin says, and no more than
//! the rules say.

use jackfield_rsocket::metadata::ServicePattern;

use super::principal::{Kind, Principal};

/// What somebody may do with a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// Send it requests.
    Call,
    /// Register it.
    Publish,
    /// See that it is there: what the broker's own services tell.
    Observe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Allow,
    Deny,
}

/// One `[[auth.rule]]`. An empty list is no condition; of a list, one must fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub effect: Effect,
    pub rights: Vec<Right>,
    pub services: Vec<ServicePattern>,
    pub methods: Vec<ServicePattern>,
    pub subjects: Vec<ServicePattern>,
    pub roles: Vec<String>,
    pub authorities: Vec<String>,
}

/// What the rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    Allowed,
    Refused,
    /// Allowed where caller and responder are kin ([`Principal::is_kin_of`]).
    AmongKin,
}

impl Judgement {
    /// Whether `caller`, of whom this was judged, may go to `responder`.
    pub fn admits(self, caller: &Principal, responder: &Principal) -> bool {
        match self {
            Self::Allowed => true,
            Self::Refused => false,
            Self::AmongKin => caller.is_kin_of(responder),
        }
    }
}

impl Policy {
    /// Whether everybody may do everything.
    pub(super) const fn is_open(&self) -> bool {
        self.rules.is_empty() && !self.kin_only
    }
}

/// One generation of the rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    pub(super) rules: Vec<Rule>,
    /// Calls that no rule is about are for kin only.
    pub(super) kin_only: bool,
}

/// Whether a rule is about something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum About {
    Yes,
    /// It is about some methods, and which one is asked for is not said.
    Perhaps,
    No,
}

impl Rule {
    fn is_about(&self, right: Right, service: &str, method: &str) -> About {
        let fits = |patterns: &[ServicePattern], name: &str| {
            patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
        };
        if !self.rights.contains(&right) || !fits(&self.services, service) {
            return About::No;
        }
        // Whoever registers or looks does not name a method.
        match right == Right::Call && !fits(&self.methods, method) {
            false => About::Yes,
            true if method.is_empty() => About::Perhaps,
            true => About::No,
        }
    }

    fn is_for(&self, who: &Principal) -> bool {
        let holds = |wanted: &[String], held: &[Box<str>]| {
            wanted.is_empty()
                || held
                    .iter()
                    .any(|name| wanted.iter().any(|it| **it == **name))
        };
        let subject = self.subjects.is_empty()
            || (!who.is_anonymous()
                && self
                    .subjects
                    .iter()
                    .any(|pattern| pattern.matches(&who.subject)));
        subject && holds(&self.roles, &who.roles) && holds(&self.authorities, &who.authorities)
    }
}

impl Policy {
    pub fn judge(&self, who: &Principal, right: Right, service: &str, method: &str) -> Judgement {
        if who.kind == Kind::Broker {
            return Judgement::Allowed;
        }
        if who.lacks(right) {
            return Judgement::Refused;
        }
        let mut spoken = false;
        let mut allowed = false;
        for rule in &self.rules {
            let about = rule.is_about(right, service, method);
            let fits = rule.is_for(who);
            match rule.effect {
                _ if about == About::No => {}
                Effect::Deny if fits => return Judgement::Refused,
                Effect::Deny => {}
                Effect::Allow => {
                    spoken = true;
                    allowed |= fits && about == About::Yes;
                }
            }
        }
        match (spoken, right) {
            (true, _) if allowed => Judgement::Allowed,
            (true, _) => Judgement::Refused,
            (false, Right::Call) if self.kin_only => Judgement::AmongKin,
            (false, _) => Judgement::Allowed,
        }
    }
}

impl Right {
    pub const ALL: [Self; 3] = [Self::Call, Self::Publish, Self::Observe];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Publish => "publish",
            Self::Observe => "observe",
        }
    }
}
