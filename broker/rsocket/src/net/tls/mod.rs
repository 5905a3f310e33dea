//! TLS under the stream transports: certificates, handshakes, and who the peer is.
//!
//! ```text
//! PEM ─> TlsMaterial (checked) ─> TlsServer (what listeners hold; can be replaced) ─ accept ─┐
//! PEM ─> TlsClient ─────────────────────────────────────────────────────────────── connect ─┴─> TlsStream, TlsIdentity
//! ```
//!
//! TLS 1.2 and 1.3 by rustls with the `ring` provider, which is named in this folder only.
//!
//! Invariants
//! - A key that does not belong to its certificate is found when it is read, not at a handshake.
//! - A replaced certificate is for new connections; those that live keep what they were made
//!   with. Nothing of an earlier handshake is taken up under replaced settings.
//! - Private keys are never shown, not in `Debug` either.

mod client;
mod error;
mod identity;
mod pem;
mod server;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};

pub use client::{TlsClient, TlsClientOptions};
pub use error::{TlsError, TlsFault, TlsPart};
pub use identity::{AltName, TlsIdentity};
pub use server::{ClientAuth, TlsMaterial, TlsServer};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
