//! What a guest decided, once it has been checked.
//!
//! These are the inner values: bindings of every contract version map to them.

use crate::{bindings::shared::jackfield::plugin::message, call::Interaction, lifted};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub verdict: Verdict,
    /// Asked for by the guest, and it looked at nothing but route and connection.
    pub remember: bool,
}

/// What is large is boxed: a verdict passes through a dozen hands, and most say `Pass`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    Pass,
    Rewrite(Box<Rewrite>),
    /// Weights add up to at most [`SHARES_WHOLE`]; what is left passes.
    Split(Vec<Share>),
    Refuse(Box<Refusal>),
    /// Only ever for request/response.
    Answer(Box<Payload>),
}

/// What to change in a route; what is none stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// Empty: no group.
    pub group: Option<String>,
    pub service: Option<String>,
    pub method: Option<String>,
    /// Empty: no version.
    pub version: Option<String>,
    /// Empty: any instance.
    pub endpoint: Option<String>,
    /// To be set; an empty value removes the tag.
    pub tags: Vec<(String, String)>,
    /// Whether the caller stays with one instance.
    pub sticky: Option<bool>,
}

impl Rewrite {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// Of [`SHARES_WHOLE`], never 0.
    pub weight: u32,
    pub to: Rewrite,
}

/// The weights of a split are parts of this.
pub const SHARES_WHOLE: u32 = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// 0x201, 0x202, 0x204, or 0x301 and above.
    pub code: u32,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub metadata: Option<Vec<u8>>,
    pub data: Vec<u8>,
}

const SHARES_MAX: usize = 64;
const TAGS_MAX: usize = 64;
const NAME_BYTES_MAX: usize = 1024;
/// A routing tag `key=value` has one byte of length.
const TAG_BYTES_MAX: usize = 255;
const TEXT_BYTES_MAX: usize = 1024;
/// RSocket's REJECTED.
const REJECTED: u32 = 0x202;

/// The verdict, or what is wrong with it.
pub(crate) fn checked(
    verdict: lifted::Verdict,
    interaction: Interaction,
) -> Result<Verdict, &'static str> {
    Ok(match verdict {
        lifted::Verdict::Pass => Verdict::Pass,
        lifted::Verdict::Rewrite(rewrite) => match checked_rewrite(rewrite)? {
            rewrite if rewrite.is_empty() => Verdict::Pass,
            rewrite => Verdict::Rewrite(Box::new(rewrite)),
        },
        lifted::Verdict::Split(shares) => checked_split(shares)?,
        lifted::Verdict::Refuse(lifted::Refusal { code, text }) => {
            Verdict::Refuse(Box::new(refusal(code, text.into())))
        }
        lifted::Verdict::Answer(_) if interaction != Interaction::RequestResponse => {
            return Err("it answers a request that is not request/response");
        }
        lifted::Verdict::Answer(payload) => Verdict::Answer(Box::new(payload.into())),
    })
}

fn checked_rewrite(rewrite: lifted::Rewrite) -> Result<Rewrite, &'static str> {
    let lifted::Rewrite {
        group,
        service,
        method,
        version,
        endpoint,
        tags,
        sticky,
    } = rewrite;
    let names = [&group, &service, &method, &version, &endpoint];
    if { names.into_iter().flatten() }.any(|name| name.len() > NAME_BYTES_MAX) {
        return Err("a name in its rewrite is longer than 1024 bytes");
    }
    if service.as_deref() == Some("") {
        return Err("it rewrites the service to nothing");
    }
    if tags.len() > TAGS_MAX {
        return Err("its rewrite has more than 64 tags");
    }
    let bad_tag = |(key, value): &(Box<str>, Box<str>)| {
        key.is_empty() || key.contains('=') || key.len() + 1 + value.len() > TAG_BYTES_MAX
    };
    if tags.iter().any(bad_tag) {
        return Err("a tag of its rewrite has no key, a `=` in the key, or more than 255 bytes");
    }
    let own = |name: Option<Box<str>>| name.map(String::from);
    Ok(Rewrite {
        group: own(group),
        service: own(service),
        method: own(method),
        version: own(version),
        endpoint: own(endpoint),
        tags: { tags.into_iter() }
            .map(|(key, value)| (key.into(), value.into()))
            .collect(),
        sticky,
    })
}

fn checked_split(shares: Box<[lifted::Share]>) -> Result<Verdict, &'static str> {
    if shares.len() > SHARES_MAX {
        return Err("its split has more than 64 shares");
    }
    let whole: u64 = shares.iter().map(|share| u64::from(share.weight)).sum();
    if whole > u64::from(SHARES_WHOLE) {
        return Err("the weights of its split add up to more than 10000");
    }
    let mut checked = Vec::with_capacity(shares.len());
    for lifted::Share { weight, to } in shares {
        let to = checked_rewrite(to)?;
        if weight > 0 {
            checked.push(Share { weight, to });
        }
    }
    Ok(if checked.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Split(checked)
    })
}

pub(crate) fn checked_refusal(message::Refusal { code, text }: message::Refusal) -> Refusal {
    refusal(code, text)
}

fn refusal(code: u32, mut text: String) -> Refusal {
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    let code = match code {
        0x201 | 0x202 | 0x204 | 0x301.. => code,
        _ => REJECTED,
    };
    Refusal { code, text }
}

impl From<lifted::Payload> for Payload {
    fn from(lifted::Payload { metadata, data }: lifted::Payload) -> Self {
        let metadata = metadata.map(Vec::from);
        Self {
            metadata,
            data: data.into(),
        }
    }
}

impl From<message::Payload> for Payload {
    fn from(message::Payload { metadata, data }: message::Payload) -> Self {
        Self { metadata, data }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(edit: impl FnOnce(&mut lifted::Rewrite)) -> lifted::Rewrite {
        let mut rewrite = lifted::Rewrite::default();
        edit(&mut rewrite);
        rewrite
    }

    fn check(verdict: lifted::Verdict) -> Result<Verdict, &'static str> {
        checked(verdict, Interaction::Stream)
    }

    fn tag(key: &str, value: String) -> lifted::Rewrite {
        rewrite(|to| to.tags = [(key.into(), value.into())].into())
    }

    #[test]
    fn a_rewrite_of_nothing_passes() {
        assert_eq!(
            check(lifted::Verdict::Rewrite(rewrite(|_| ()))),
            Ok(Verdict::Pass)
        );
        let to = rewrite(|to| to.group = Some("".into()));
        assert!(matches!(
            check(lifted::Verdict::Rewrite(to)),
            Ok(Verdict::Rewrite(_))
        ));
    }

    #[test]
    fn nonsense_is_refused() {
        for bad in [
            rewrite(|to| to.service = Some("".into())),
            rewrite(|to| to.method = Some("x".repeat(1025).into())),
            rewrite(|to| to.tags = vec![("a".into(), "b".into()); 65].into()),
            tag("", "x".into()),
            tag("a=b", "x".into()),
            tag("a", "x".repeat(254)),
        ] {
            assert!(
                check(lifted::Verdict::Rewrite(bad.clone())).is_err(),
                "{bad:?}"
            );
            let share = lifted::Share { weight: 0, to: bad };
            assert!(check(lifted::Verdict::Split([share].into())).is_err());
        }
        assert!(check(lifted::Verdict::Rewrite(tag("a", "x".repeat(253)))).is_ok());
    }

    #[test]
    fn weights_stay_within_the_whole() {
        let share = |weight| lifted::Share {
            weight,
            to: rewrite(|to| to.version = Some("2".into())),
        };
        assert!(check(lifted::Verdict::Split([share(10_000), share(1)].into())).is_err());
        assert!(
            check(lifted::Verdict::Split(
                [share(u32::MAX), share(u32::MAX)].into()
            ))
            .is_err()
        );
        assert!(check(lifted::Verdict::Split((0..65).map(|_| share(1)).collect())).is_err());
        assert_eq!(
            check(lifted::Verdict::Split([share(0)].into())),
            Ok(Verdict::Pass)
        );
        let split = check(lifted::Verdict::Split([share(0), share(9_999)].into()));
        assert!(matches!(split, Ok(Verdict::Split(shares)) if shares.len() == 1));
    }

    #[test]
    fn codes_stay_within_an_applications_range() {
        for (code, becomes) in [
            (0x201, 0x201),
            (0x202, 0x202),
            (0x203, 0x202),
            (0x204, 0x204),
            (0, 0x202),
            (0x101, 0x202),
            (0x300, 0x202),
            (0x301, 0x301),
            (u32::MAX, u32::MAX),
        ] {
            let text = "é".repeat(600);
            let refusal = checked_refusal(message::Refusal { code, text });
            assert_eq!(refusal.code, becomes);
            assert_eq!(refusal.text.len(), 1024);
        }
    }

    #[test]
    fn only_request_response_can_be_answered() {
        let answer = || {
            let (metadata, data) = (None, [1].into());
            lifted::Verdict::Answer(lifted::Payload { metadata, data })
        };
        assert!(check(answer()).is_err());
        assert!(checked(answer(), Interaction::RequestResponse).is_ok());
    }
}
