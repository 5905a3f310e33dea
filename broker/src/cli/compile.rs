//! The hidden command that the broker starts as a child for each component it compiles.

use clap::Args;
use jackfield_plugin_host::compile_as_child;

use super::exit::Failure;

#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  jackfield compile-component 1073741824 60 < plugin.wasm > code"
)]
pub(super) struct Compile {
    /// Bytes of memory it may use
    memory: u64,
    /// Seconds of CPU time it may use
    cpu_seconds: u64,
}

impl Compile {
    pub(super) fn run(&self) -> Result<(), Failure> {
        compile_as_child(self.memory, self.cpu_seconds).map_err(Failure::failed)
    }
}
