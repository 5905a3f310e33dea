//! What applications say about themselves: the pass that reads it has what must hold beside it, with a reader of its
//! own that is the judge.

use jackfield::scrape::exposition::{check, check_lines};

/// A page: as text, or, behind an odd byte, as choices among pieces of pages.
pub fn exposition(data: &[u8]) {
    match data.split_first() {
        Some((first, choices)) if first % 2 == 1 => check_lines(choices),
        Some((_, text)) => check(text),
        None => check(data),
    }
}
