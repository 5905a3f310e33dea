//! What the program can be asked to do.
//!
//! One file for each command: its flags, what it does, what it prints.
//!
//! ```text
//! exit code   0 ok · 1 failed · 2 bad usage or configuration · 3 the service answered with an error
//!             4 timed out · 5 streams were cut
//! ```
//!
//! Invariants
//! - results go to standard output, everything else to standard error
//! - an error says what, where, and what to do
//! - every command has an example in its help, and `--json` where it prints data

mod broker;
mod call;
mod check;
mod client;
mod compile;
mod completion;
mod context;
mod contexts;
mod demo;
mod doctor;
mod exit;
mod explain;
mod look;
mod metrics;
mod plugin;
mod print;
mod respond;
mod run;
mod settings;
mod settings_schema;
mod show;
mod token;
mod top;
mod wasm_toolchain;

#[cfg(test)]
mod tests;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser, Debug)]
#[command(
    name = "jackfield",
    version,
    about = "A programmable RSocket broker",
    propagate_version = true,
    arg_required_else_help = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Start the broker
    Run(run::Run),
    /// Validate the configuration and load every plugin, change nothing
    Check(check::Check),
    /// See a plugin swapped under load: broker, responders and requester in one process
    Demo(demo::Demo),
    /// Call a service
    Call(call::Call),
    /// Serve echoes, for trying things out
    Respond(respond::Respond),
    /// List connected applications
    Apps(look::Apps),
    /// List registered services
    Services(look::Services),
    /// Watch applications, services and plugins
    Top(top::Top),
    /// See what Prometheus gets from applications
    Metrics(metrics::Metrics),
    /// Take no new work, let streams finish, then end
    Drain(look::Drain),
    /// Build plugins and look into them
    Plugin(plugin::Plugin),
    /// Show the page of an error code
    Explain(explain::Explain),
    /// Say what this machine lacks for the configuration, and how to mend it
    Doctor(doctor::Doctor),
    /// Name brokers, so that commands find them and their tokens
    #[command(subcommand)]
    Context(context::ContextCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(show::ConfigCommand),
    /// Tokens for development: make, look into
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Print a completion script for a shell
    Completion(completion::Completion),
    /// Compile a component from standard input to standard output, within limits
    #[command(name = COMPILE_COMMAND, hide = true)]
    Compile(compile::Compile),
}

/// What the broker runs in a child process.
const COMPILE_COMMAND: &str = "compile-component";

/// The whole program: reads the command line and does what it says.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            failure.exit.into()
        }
    }
}

impl Command {
    fn run(&self) -> Result<(), exit::Failure> {
        match self {
            Self::Run(command) => command.run(),
            Self::Demo(command) => command.run(),
            Self::Call(command) => command.run(),
            Self::Respond(command) => command.run(),
            Self::Check(command) => command.run(),
            Self::Apps(command) => command.run(),
            Self::Services(command) => command.run(),
            Self::Top(command) => command.run(),
            Self::Context(command) => command.run(),
            Self::Metrics(command) => command.run(),
            Self::Drain(command) => command.run(),
            Self::Plugin(command) => command.run(),
            Self::Explain(command) => command.run(),
            Self::Doctor(command) => command.run(),
            Self::Config(command) => command.run(),
            Self::Token(command) => command.run(),
            Self::Completion(command) => command.run(),
            Self::Compile(command) => command.run(),
        }
    }
}
