//! Which instance a guest chose, once that has been checked.

use crate::bindings::endpoint_selector::exports::jackfield::plugin::endpoint_selector as wit;

/// Indexes into the candidates that were shown; all are within bounds, none is there twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// No opinion.
    Any,
    /// To be balanced among; empty: nobody fits.
    Among(Vec<u32>),
    /// The first that can take the request; empty: nobody fits.
    Ranking(Vec<u32>),
    /// This one, or nobody.
    One(u32),
}

/// What is shown to a guest at most.
pub const CANDIDATES_MAX: usize = 1024;

pub(crate) fn checked(selection: wit::Selection, count: usize) -> Result<Selection, &'static str> {
    Ok(match selection {
        wit::Selection::Any => Selection::Any,
        wit::Selection::Among(named) => Selection::Among(within(named, count)?),
        wit::Selection::Ranking(named) => Selection::Ranking(within(named, count)?),
        wit::Selection::One(index) if (index as usize) < count => Selection::One(index),
        wit::Selection::One(_) => return Err(OUT_OF_BOUNDS),
    })
}

const OUT_OF_BOUNDS: &str = "it selects a candidate that does not exist";

fn within(named: Vec<u32>, count: usize) -> Result<Vec<u32>, &'static str> {
    if named.len() > count {
        return Err("it names more candidates than there are");
    }
    let mut seen = vec![false; count];
    for &index in &named {
        let seen = seen.get_mut(index as usize).ok_or(OUT_OF_BOUNDS)?;
        if std::mem::replace(seen, true) {
            return Err("it names a candidate twice");
        }
    }
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_shown_can_be_selected() {
        let check = |selection| checked(selection, 3);
        assert_eq!(check(wit::Selection::Any), Ok(Selection::Any));
        assert_eq!(check(wit::Selection::One(2)), Ok(Selection::One(2)));
        assert!(check(wit::Selection::One(3)).is_err());
        let ranking = wit::Selection::Ranking(vec![2, 0]);
        assert_eq!(check(ranking), Ok(Selection::Ranking(vec![2, 0])));
        assert_eq!(
            check(wit::Selection::Among(vec![])),
            Ok(Selection::Among(vec![]))
        );
        for bad in [vec![0, 3], vec![1, 1], vec![0, 1, 2, 0], vec![u32::MAX]] {
            assert!(
                check(wit::Selection::Among(bad.clone())).is_err(),
                "{bad:?}"
            );
            assert!(check(wit::Selection::Ranking(bad)).is_err());
        }
    }
}
