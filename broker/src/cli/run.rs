//! `run`: the broker itself.

use std::{ffi::OsString, io, time::Duration};

use clap::Args;

use crate::{
    chain::CompileWith,
    config::{Setting, load, parse_duration},
    server::{Options, Server, Signals, StartError},
    telemetry::start_logging,
};

use super::{
    COMPILE_COMMAND,
    exit::{Exit, Failure},
    print::print_text,
    settings::ConfigArgs,
};

/// Less than the half minute that Kubernetes and systemd give.
const GRACE: &str = "25s";

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  jackfield run\n  jackfield run --config jackfield.toml\n  \
                        jackfield run --listen tcp://127.0.0.1:7000 --log-level debug\n\n\
                        SIGTERM drains, a second one ends at once; SIGHUP reloads the configuration."
)]
pub(super) struct Run {
    /// Accept RSocket here instead of where the configuration says; may be repeated
    #[arg(long = "listen", value_name = "URI")]
    listeners: Vec<String>,
    /// What is logged: error, warn, info, debug, trace or off
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
    /// How long streams may go on when the broker drains
    #[arg(long, value_name = "DURATION", default_value = GRACE, value_parser = parse_duration)]
    grace: Duration,
    #[command(flatten)]
    config: ConfigArgs,
}

impl Run {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let mut surroundings = self.config.surroundings(&self.listeners);
        if let Some(level) = &self.log_level {
            let (flag, key) = ("--log-level".into(), "log.level".into());
            surroundings.settings.push(Setting {
                flag,
                key,
                value: level.clone(),
            });
        }
        let loaded = load(&surroundings).map_err(|problems| Failure::placed(&problems))?;
        let log = start_logging(&loaded.config.log);
        let options = Options {
            surroundings,
            compile_with: compile_with()?,
            grace: self.grace,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.map_err(Failure::failed)?.block_on(async {
            let signals = Signals::new().map_err(Failure::failed)?;
            let plugins = loaded.clone();
            let server =
                Server::start(loaded, log, options)
                    .await
                    .map_err(|error| match error {
                        StartError::Plugins(errors) => Failure::placed(&plugins.place(&errors)),
                        error if error.is_configuration() => Failure::usage(error),
                        error => Failure::failed(error),
                    })?;
            print_text(&ready_lines(&server))?;
            match server.run(signals).await.map_err(Failure::failed)? {
                0 => Ok(()),
                cut => Err(Failure::new(
                    Exit::Cut,
                    format!("calls that were cut: {cut}"),
                )),
            }
        })
    }
}

/// One line for each listener, for people and for scripts that wait.
pub(super) fn ready_lines(server: &Server) -> String {
    let rsocket = server.uris().map(|uri| format!("ready {uri}\n"));
    let (http, admin) = (server.http_address(), server.admin_address());
    let http = [
        format!("ready http://{http}\n"),
        format!("ready http://{admin} (admin)\n"),
    ];
    rsocket.chain(http).collect()
}

/// Components are compiled by a child: this program again.
pub(super) fn compile_with() -> Result<CompileWith, Failure> {
    let program = std::env::current_exe().map_err(|error: io::Error| {
        Failure::failed(format!("the program's own file cannot be found: {error}"))
    })?;
    Ok(CompileWith::Child {
        program,
        args: vec![OsString::from(COMPILE_COMMAND)],
    })
}
