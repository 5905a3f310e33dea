//! `plugin`: make components, try them, and operate those of a running broker.
//!
//! ```text
//! new ──> build ──> inspect, test ──> dev: again at each change, and into a running broker
//! list, load, reload, disable, enable, promote, rollback, reset: through the admin API
//! ```
//!
//! Looks down at: plugin-host (`test` runs guests in the broker's own engine), the admin API's client.

mod build;
mod cases;
mod dev;
mod inspect;
mod live;
mod scaffold;

use clap::{Args, Subcommand};

use super::exit::Failure;

#[derive(Args, Debug)]
pub(super) struct Plugin {
    #[command(subcommand)]
    command: PluginCommand,
}

#[derive(Subcommand, Debug)]
enum PluginCommand {
    /// Begin a plugin: a folder that builds and passes its test at once
    New(scaffold::New),
    /// Compile a plugin to a sealed component
    Build(build::Build),
    /// Show what a component implements, imports and needs
    Inspect(inspect::Inspect),
    /// Run the cases of a plugin in the broker's own engine
    Test(cases::Test),
    /// Build, test and load into a running broker, again at each change
    Dev(dev::Dev),
    /// List the plugins of a running broker
    List(live::List),
    /// Bring a component in: at once, for a share of the connections, or in the shadow
    Load(live::Load),
    /// Read the components again that the configuration names
    #[command(after_help = "Example:\n  jackfield plugin reload canary")]
    Reload(live::Named),
    /// Switch a plugin off, whatever the configuration says
    #[command(after_help = "Example:\n  jackfield plugin disable canary")]
    Disable(live::Named),
    /// Undo `disable`
    #[command(after_help = "Example:\n  jackfield plugin enable canary")]
    Enable(live::Named),
    /// Make the version on trial the live one
    #[command(after_help = "Example:\n  jackfield plugin promote canary\n\n\
        When it then fails too often, the broker goes back by itself.")]
    Promote(live::Named),
    /// Go back to the version before the live one, or to a digest that is kept
    Rollback(live::Rollback),
    /// Forget what operators changed: the configuration holds again
    #[command(after_help = "Example:\n  jackfield plugin reset canary")]
    Reset(live::Named),
}

impl Plugin {
    pub(super) fn run(&self) -> Result<(), Failure> {
        match &self.command {
            PluginCommand::New(command) => command.run(),
            PluginCommand::Build(command) => command.run(),
            PluginCommand::Inspect(command) => command.run(),
            PluginCommand::Test(command) => command.run(),
            PluginCommand::Dev(command) => command.run(),
            PluginCommand::List(command) => command.run(),
            PluginCommand::Load(command) => command.run(),
            PluginCommand::Reload(command) => command.run("reload"),
            PluginCommand::Disable(command) => command.run("disable"),
            PluginCommand::Enable(command) => command.run("enable"),
            PluginCommand::Promote(command) => command.run("promote"),
            PluginCommand::Rollback(command) => command.run(),
            PluginCommand::Reset(command) => command.run("reset"),
        }
    }
}
