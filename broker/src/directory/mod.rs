//! Who serves what.

mod pattern;
mod views;

pub use pattern::ServicePattern;
pub use views::{AppView, ServiceView};
