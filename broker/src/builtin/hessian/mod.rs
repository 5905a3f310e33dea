//! Hessian 2.0, as far as the broker's own services need it: what Java clients send as arguments is
//! read, and what they expect as answers is written.
//!
//! | | read | written |
//! |---|---|---|
//! | null, booleans, ints, longs, strings | all forms | the shortest |
//! | lists | all forms; types are skipped | untyped, of fixed length |
//! | maps | all forms, with keys of text | untyped |
//! | objects | as maps | with a class definition each |
//! | doubles, dates, binary, references | refused | never |

mod decode;
mod encode;

#[cfg(test)]
mod tests;

pub(super) use decode::decode;
pub(super) use encode::encode;
