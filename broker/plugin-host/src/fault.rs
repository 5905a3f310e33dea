//! What a guest wants to go wrong, once that has been checked.

use std::time::Duration;

use crate::{
    Refusal, SHARES_WHOLE, bindings::chaos::exports::jackfield::plugin::chaos as wit,
    verdict::checked_refusal,
};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Weights add up to at most [`SHARES_WHOLE`]; for what is left nothing happens.
    pub faults: Vec<Odds>,
    /// Asked for by the guest, and it looked at nothing but route and connection.
    pub remember: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Odds {
    /// Of [`SHARES_WHOLE`], never 0.
    pub weight: u32,
    pub fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The request goes on after this.
    Delay(Duration),
    /// The request ends with this.
    Error(Refusal),
    /// Nobody answers.
    BlackHole,
    /// The reply ends with this after so many items.
    Cut { after: u32, error: Refusal },
    /// At least this between two items.
    Slow(Duration),
}

const FAULTS_MAX: usize = 16;

/// The faults of a plan, or what is wrong with them.
pub(crate) fn checked(faults: Vec<wit::Odds>) -> Result<Vec<Odds>, &'static str> {
    if faults.len() > FAULTS_MAX {
        return Err("its plan has more than 16 faults");
    }
    let whole: u64 = faults.iter().map(|odds| u64::from(odds.weight)).sum();
    if whole > u64::from(SHARES_WHOLE) {
        return Err("the weights of its plan add up to more than 10000");
    }
    let likely = faults.into_iter().filter(|odds| odds.weight > 0);
    Ok(likely
        .map(|wit::Odds { weight, fault }| Odds {
            weight,
            fault: checked_fault(fault),
        })
        .collect())
}

fn checked_fault(fault: wit::Fault) -> Fault {
    let ms = |ms: u32| Duration::from_millis(ms.into());
    match fault {
        wit::Fault::Delay(delay) => Fault::Delay(ms(delay)),
        wit::Fault::Error(refusal) => Fault::Error(checked_refusal(refusal)),
        wit::Fault::BlackHole => Fault::BlackHole,
        wit::Fault::Cut(wit::Cutting { after, error }) => Fault::Cut {
            after,
            error: checked_refusal(error),
        },
        wit::Fault::Slow(pace) => Fault::Slow(ms(pace)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn odds(weight: u32) -> wit::Odds {
        wit::Odds {
            weight,
            fault: wit::Fault::BlackHole,
        }
    }

    #[test]
    fn weights_stay_within_the_whole() {
        assert!(checked(vec![odds(10_000), odds(1)]).is_err());
        assert!(checked(vec![odds(u32::MAX), odds(u32::MAX)]).is_err());
        assert!(checked(vec![odds(1); 17]).is_err());
        let plan = checked(vec![odds(0), odds(9_999), odds(1)]).unwrap();
        assert_eq!(
            plan.iter().map(|odds| odds.weight).collect::<Vec<_>>(),
            [9_999, 1]
        );
    }

    #[test]
    fn an_errors_code_stays_within_an_applications_range() {
        let error = crate::bindings::shared::jackfield::plugin::message::Refusal {
            code: 0x101,
            text: "x".repeat(2_000),
        };
        let plan = checked(vec![wit::Odds {
            weight: 1,
            fault: wit::Fault::Error(error),
        }]);
        let Fault::Error(refusal) = &plan.unwrap()[0].fault else {
            panic!("it was an error")
        };
        assert_eq!((refusal.code, refusal.text.len()), (0x202, 1_024));
    }
}
