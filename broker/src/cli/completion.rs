//! `completion SHELL`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, exit::Failure, print::print_bytes};

#[derive(Args, Debug)]
#[command(after_help = "Example:\n  jackfield completion bash > /etc/bash_completion.d/jackfield")]
pub(super) struct Completion {
    shell: Shell,
}

impl Completion {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "jackfield", &mut script);
        print_bytes(&script)
    }
}
