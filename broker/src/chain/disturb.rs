//! What is to go wrong with a request, as plugins of the hook `chaos` want it.

use std::{sync::Arc, time::Duration};

pub use jackfield_plugin_host::Fault;
use jackfield_plugin_host::{Odds, SHARES_WHOLE};

/// The plans of all plugins that were asked, to be diced for each request.
#[derive(Clone, Debug, Default)]
pub struct Plans(Option<Arc<[Vec<Odds>]>>);

/// What the chain says, and whether the same route of the same link may have it again.
#[derive(Clone, Debug)]
#[must_use]
pub struct Disturbance {
    pub plans: Plans,
    /// As in [`super::Decision`].
    pub remember: bool,
    /// What is left of the chain's deadline for [`super::Chain::select`].
    pub left: Duration,
}

impl Plans {
    /// Those without a fault are left out.
    pub(super) fn new(plans: Vec<Vec<Odds>>) -> Self {
        Self((!plans.is_empty()).then(|| plans.into()))
    }

    /// Nothing ever goes wrong.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The first fault that the dice come to. `random` gives evenly distributed numbers, one for each plan.
    pub fn dice(&self, mut random: impl FnMut() -> u64) -> Option<&Fault> {
        let plans = self.0.as_deref().unwrap_or_default();
        plans.iter().find_map(|odds| {
            let point = (u128::from(random()) * u128::from(SHARES_WHOLE)) >> 64;
            let mut end = 0;
            let odds = odds.iter().find(|odds| {
                end += u128::from(odds.weight);
                point < end
            })?;
            Some(&odds.fault)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odds(weight: u32, ms: u64) -> Odds {
        Odds {
            weight,
            fault: Fault::Slow(Duration::from_millis(ms)),
        }
    }

    fn count(plans: &Plans, ms: Option<u64>) -> usize {
        let step = u64::MAX / 10_000;
        (0..10_000_u64)
            .filter(|n| {
                let fault = plans.dice(|| n * step + step / 2);
                fault == ms.map(|ms| odds(0, ms).fault).as_ref()
            })
            .count()
    }

    #[test]
    fn dice_follow_the_weights() {
        let plans = Plans::new(vec![vec![odds(3_000, 1), odds(500, 2)]]);
        assert_eq!(count(&plans, Some(1)), 3_000);
        assert_eq!(count(&plans, Some(2)), 500);
        assert_eq!(count(&plans, None), 6_500);
    }

    #[test]
    fn the_first_plugin_whose_dice_fall_wins() {
        let plans = Plans::new(vec![vec![odds(1_000, 1)], vec![odds(10_000, 2)]]);
        let mut numbers = [u64::MAX, 0].into_iter();
        let fault = plans.dice(|| numbers.next().unwrap());
        assert_eq!(fault, Some(&odds(0, 2).fault));
        let fault = plans.dice(|| 0);
        assert_eq!(fault, Some(&odds(0, 1).fault));
    }

    #[test]
    fn without_plans_nothing_is_diced() {
        let plans = Plans::default();
        assert!(plans.is_empty());
        assert_eq!(plans.dice(|| unreachable!("no dice")), None);
    }
}
