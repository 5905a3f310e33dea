use std::time::Duration;

/// What `[http]` says of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The largest body, of a request and of a reply or an item.
    pub message: usize,
    /// What all bodies may take that are held at a time.
    pub memory: usize,
    /// Calls at a time, streams included.
    pub concurrency: usize,
    /// A whole call; of a stream, until its first item.
    pub timeout: Duration,
    /// Callers that are told apart and remembered; the one that called longest ago is forgotten.
    pub callers: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            message: 4 << 20,
            memory: 128 << 20,
            concurrency: 1024,
            timeout: Duration::from_secs(30),
            callers: 256,
        }
    }
}
