//! What happens in the broker.

pub use crate::bindings::events::exports::jackfield::plugin::events::{
    Deed, Event, Gone, Happening, Offer, Other, PluginChange, Refused,
};
