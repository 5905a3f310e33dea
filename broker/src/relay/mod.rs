//! Links, dispatch, splices: the data plane.

mod limits;

pub use limits::Limits;
