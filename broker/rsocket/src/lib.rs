//! RSocket.
