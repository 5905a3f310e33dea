//! RSocket.

pub mod metadata;
