//! Prometheus reads what applications measure, though they only dial out: the broker asks them over the connection
//! they hold.
//!
//! ```text
//! GET /metrics/app/{id} ──► Scraper ──one flight per app──► collectors: what to ask
//!                             ▲                               │ an ordinary request, to this one
//!                             │                               ▼ link in memory ──► relay ──► app
//!                           cache ◄── exposition: a legal page ◄── collectors: the text in the reply
//!                         last words ◄───────────────────────── hearing: what it says before it goes
//! ```
//!
//! Invariants
//! - an application has one scrape in flight, however many ask, and one that does not answer delays nobody but those
//!   who ask for it
//! - whoever asks gets an answer within the time he gave: a page, or the reason why there is none
//! - a page is legal ([`exposition`]), and says nothing in the name of another application
//! - all of it runs on a thread of its own, and to the relay it is an ordinary client
//!
//! Looks down at: relay, chain, directory, telemetry. Looked at by: admin, config, server.

mod asking;
mod collectors;
mod config;
pub mod exposition;
mod hearing;
mod held;
mod last;
mod merged;
mod metrics;
mod outcome;
mod review;
mod scraper;
mod target;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use collectors::service_of;
pub use config::{Config, ROUTES};
pub use outcome::{Scraped, Unscraped, Why};
pub use scraper::{Parts, Scraper};
pub use target::Target;
