//! What each hot hook is asked: once of the live version, once more of the one in the shadow, and as a copy of a probe.

use std::time::Duration;

use jackfield_plugin_host::{
    Call, Candidates, Decision, Generation, Hook, Outcome, Plan, Selection,
};

use super::{
    case::{Case, OwnedCandidates},
    outcome::CallOutcome,
    request::OwnedCall,
};

/// One question about one request.
pub(super) trait Question {
    type Answer: PartialEq;
    const HOOK: Hook;

    /// Asks, in place, for at most `left` of CPU time.
    fn put(&self, to: &Generation, left: Duration) -> Outcome<Self::Answer>;

    /// What to count.
    fn outcome(answer: &Self::Answer) -> CallOutcome;

    /// The same question, to be asked when the request is long gone.
    fn case(&self) -> Case;
}

/// Where it is to go.
pub(super) struct Filter<'a> {
    pub(super) call: &'a Call<'a>,
}

impl Question for Filter<'_> {
    type Answer = Decision;
    const HOOK: Hook = Hook::RoutingFilter;

    #[inline(always)]
    fn put(&self, to: &Generation, left: Duration) -> Outcome<Decision> {
        to.on_request(self.call, left)
    }

    fn outcome(decision: &Decision) -> CallOutcome {
        CallOutcome::of_verdict(&decision.verdict)
    }

    fn case(&self) -> Case {
        Case::Filter(OwnedCall::of(self.call))
    }
}

/// Who of the candidates gets it.
pub(super) struct Select<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) candidates: &'a dyn Candidates,
}

impl Question for Select<'_> {
    type Answer = Selection;
    const HOOK: Hook = Hook::EndpointSelector;

    #[inline(always)]
    fn put(&self, to: &Generation, left: Duration) -> Outcome<Selection> {
        to.select(self.call, self.candidates, left)
    }

    fn outcome(selection: &Selection) -> CallOutcome {
        CallOutcome::of_selection(selection)
    }

    fn case(&self) -> Case {
        let candidates = OwnedCandidates::of(self.candidates);
        Case::Select(OwnedCall::of(self.call), candidates)
    }
}

/// What is to go wrong with it.
pub(super) struct Disturb<'a> {
    pub(super) call: &'a Call<'a>,
}

impl Question for Disturb<'_> {
    type Answer = Plan;
    const HOOK: Hook = Hook::Chaos;

    #[inline(always)]
    fn put(&self, to: &Generation, left: Duration) -> Outcome<Plan> {
        to.disturb(self.call, left)
    }

    fn outcome(plan: &Plan) -> CallOutcome {
        CallOutcome::of_plan(plan)
    }

    fn case(&self) -> Case {
        Case::Disturb(OwnedCall::of(self.call))
    }
}
