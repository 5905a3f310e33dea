//! The compiling child of this package's own tests. The broker uses itself.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let (Some(memory), Some(cpu)) = (numbers.next(), numbers.next()) else {
        eprintln!("usage: compile-child MEMORY CPU-SECONDS < component > code");
        return ExitCode::from(2);
    };
    match jackfield_plugin_host::compile_as_child(memory, cpu) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
