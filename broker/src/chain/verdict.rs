//! What a chain decided about a request.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
pub use jackfield_plugin_host::Rewrite;
use jackfield_plugin_host::{SHARES_WHOLE, Share};

/// What to do with a request, and whether the same route of the same link may have it again.
#[derive(Clone, Debug)]
#[must_use]
pub struct Decision {
    pub verdict: Verdict,
    /// True only when every plugin that was asked wanted it and looked at nothing but route and
    /// link. It holds for the generation that decided.
    pub remember: bool,
    /// What is left of the chain's deadline for [`super::Chain::disturb`] and [`super::Chain::select`].
    pub left: Duration,
}

#[derive(Clone, Debug)]
pub enum Verdict {
    Pass,
    /// Shared: whoever remembers it hands out the same.
    Rewrite(Arc<Rewrite>),
    /// To be diced for each request; what it comes to is a rewrite or a pass.
    Split(Arc<Split>),
    Refuse {
        code: u32,
        text: String,
    },
    /// Only ever for request/response.
    Answer {
        metadata: Option<Bytes>,
        data: Bytes,
    },
    /// This plugin could not answer, and its policy is closed.
    Failed {
        plugin: Arc<str>,
    },
}

/// Weighted rewrites.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Each with the end of its range in 0..[`SHARES_WHOLE`], ascending.
    shares: Vec<(u32, Rewrite)>,
    /// What earlier plugins rewrote: for the weight that is left.
    rest: Option<Rewrite>,
}

impl Split {
    /// `before` is what earlier plugins have rewritten; it holds under every share.
    pub(super) fn new(shares: Vec<Share>, before: Option<&Rewrite>) -> Self {
        let mut end = 0;
        let shares = shares
            .into_iter()
            .map(|share| {
                end += share.weight;
                let mut to = before.cloned().unwrap_or_default();
                add(&mut to, share.to);
                (end, to)
            })
            .collect();
        Self {
            shares,
            rest: before.cloned(),
        }
    }

    /// One of the outcomes, by weight; none: pass unchanged. `random` is any evenly distributed
    /// number.
    pub fn dice(&self, random: u64) -> Option<&Rewrite> {
        let point = ((u128::from(random) * u128::from(SHARES_WHOLE)) >> 64) as u32;
        let share = self.shares.iter().find(|(end, _)| point < *end);
        share.map(|(_, to)| to).or(self.rest.as_ref())
    }

    /// Every outcome but the pass.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = &Rewrite> {
        self.shares.iter().map(|(_, to)| to).chain(&self.rest)
    }
}

/// Puts a later rewrite on top of an earlier one.
pub(super) fn add(earlier: &mut Rewrite, later: Rewrite) {
    let Rewrite {
        group,
        service,
        method,
        version,
        endpoint,
        tags,
        sticky,
    } = later;
    let replace = |old: &mut Option<String>, new: Option<String>| {
        if new.is_some() {
            *old = new;
        }
    };
    replace(&mut earlier.group, group);
    replace(&mut earlier.service, service);
    replace(&mut earlier.method, method);
    replace(&mut earlier.version, version);
    replace(&mut earlier.endpoint, endpoint);
    earlier.sticky = sticky.or(earlier.sticky);
    for (key, value) in tags {
        match earlier.tags.iter_mut().find(|(known, _)| *known == key) {
            Some(tag) => tag.1 = value,
            None => earlier.tags.push((key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(version: &str) -> Rewrite {
        Rewrite {
            version: Some(version.into()),
            ..Rewrite::default()
        }
    }

    #[test]
    fn the_dice_follow_the_weights() {
        let shares = vec![
            Share {
                weight: 3_000,
                to: version("2"),
            },
            Share {
                weight: 500,
                to: version("3"),
            },
        ];
        let split = Split::new(shares, None);
        let step = u64::MAX / 10_000;
        let count = |wanted: Option<&str>| {
            (0..10_000_u64)
                .map(|n| split.dice(n * step + step / 2))
                .filter(|to| to.and_then(|to| to.version.as_deref()) == wanted)
                .count()
        };
        assert_eq!(
            (count(Some("2")), count(Some("3")), count(None)),
            (3_000, 500, 6_500)
        );
        assert_eq!(split.dice(0), Some(&version("2")));
        assert_eq!(split.dice(u64::MAX), None);
    }

    #[test]
    fn a_full_split_leaves_nothing() {
        let split = Split::new(
            vec![Share {
                weight: 10_000,
                to: version("2"),
            }],
            None,
        );
        assert!(
            [0, u64::MAX / 2, u64::MAX]
                .iter()
                .all(|&n| split.dice(n).is_some())
        );
    }

    #[test]
    fn what_came_before_holds_under_every_share() {
        let before = Rewrite {
            group: Some("eu".into()),
            ..Rewrite::default()
        };
        let split = Split::new(
            vec![Share {
                weight: 5_000,
                to: version("2"),
            }],
            Some(&before),
        );
        let first = split.dice(0).unwrap();
        assert_eq!(
            (first.group.as_deref(), first.version.as_deref()),
            (Some("eu"), Some("2"))
        );
        assert_eq!(split.dice(u64::MAX), Some(&before));
    }

    #[test]
    fn the_later_rewrite_wins() {
        let tags = |pairs: &[(&str, &str)]| Rewrite {
            tags: pairs
                .iter()
                .map(|(k, v)| (k.to_string(), v.to_string()))
                .collect(),
            ..Rewrite::default()
        };
        let mut all = tags(&[("a", "1"), ("b", "1")]);
        add(&mut all, tags(&[("b", ""), ("c", "2")]));
        assert_eq!(all, tags(&[("a", "1"), ("b", ""), ("c", "2")]));
        add(&mut all, version("1"));
        add(&mut all, version(""));
        assert_eq!(all.version.as_deref(), Some(""));
    }
}
