//! Fuzz targets: functions over bytes that panic when something is wrong.
//!
//! | target | what the bytes are | what must hold |
//! |---|---|---|
//! | `decoder` | one frame | no panic; what is read and written again reads the same |
//! | `framed` | a byte stream of frames, and where to cut it | the same frames wherever it is cut, and what a plain splitter says |
//! | `websocket` | what a client sends behind its handshake | the same messages wherever it is cut, and what RFC 6455 says |
//! | `composite` | a metadata block and an edit | no panic; entries survive; an edit touches what it names |
//! | `operations` | frames of a peer and commands of ours | the engine says what a model says that was written from the protocol sheet |
//! | `setup_resume` | first frames, and a session cut and resumed | the code the sheet names; nothing lost or doubled |
//! | `positions` | sends, acknowledgements and resumes | what is kept is what a list of all frames says |
//! | `exposition` | a page of metrics, as bytes or as pieces of pages | no panic; what passes is a page to a reader of its own, and passes again unchanged; nobody speaks for another |
//! | `leases` | grants and requests over time | what is admitted is what a counter says |
//!
//! Two fronts drive them: this package's program, on stable Rust, without coverage; and cargo-fuzz,
//! from the folder `cargo-fuzz` beside this one.

mod composite;
mod decoder;
pub mod driver;
mod exposition;
mod framed;
mod input;
mod leases;
mod model;
mod mutate;
mod operations;
mod positions;
mod random;
mod seeds;
mod setup_resume;
mod split;
mod websocket;

pub use composite::composite;
pub use decoder::decoder;
pub use exposition::exposition;
pub use framed::framed;
pub use leases::leases;
pub use operations::operations;
pub use positions::positions;
pub use setup_resume::setup_resume;
pub use websocket::websocket;

/// A fuzz target.
pub type Target = fn(&[u8]);

/// All of them, by name.
pub const TARGETS: [(&str, Target); 9] = [
    ("decoder", decoder),
    ("framed", framed),
    ("websocket", websocket),
    ("composite", composite),
    ("operations", operations),
    ("setup_resume", setup_resume),
    ("positions", positions),
    ("leases", leases),
    ("exposition", exposition),
];

#[cfg(test)]
mod tests;
