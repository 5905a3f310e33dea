//! `demo`: the whole product in one process, in half a minute.
//!
//! A broker on its embedded defaults, two responders, a requester under steady load, and the canary
//! plugin, which is loaded and swapped by editing a configuration file, as an operator would. No
//! call may fail, and the routing must follow the file.

mod load;
mod stage;

use std::{path::PathBuf, time::Duration};

use clap::Args;

use super::{
    exit::Failure,
    print::print_text,
    run::{compile_with, ready_lines},
};
use crate::{
    config::{self, Surroundings},
    server::{Options, Server, Signals},
    telemetry::start_logging,
};
use load::Load;
use stage::Stage;

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  jackfield demo\n  jackfield demo --once\n\n\
                        It goes on serving until Ctrl-C; in a second terminal:\n  \
                        jackfield call com.example.Greeter.greet --data Ada"
)]
pub(super) struct Demo {
    /// End after the show
    #[arg(long)]
    once: bool,
    /// Take free ports instead of 9999, 9980, 9998 and 9997
    #[arg(long)]
    any_port: bool,
    /// Where the demo's configuration is kept, to be edited while it runs [default: a new folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// How long each act is counted.
const ACT: Duration = Duration::from_secs(2);
/// A changed file is noticed, compiled and swapped in well before this.
const SWAP_MAX: Duration = Duration::from_secs(60);

impl Demo {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.map_err(Failure::failed)?.block_on(self.play())
    }

    async fn play(&self) -> Result<(), Failure> {
        let stage = Stage::set(self.dir.as_deref()).map_err(Failure::failed)?;
        let server = self.start(&stage).await?;
        say(&format!("1. A broker, on {}\n", stage.config().display()))?;
        say(&indent(&ready_lines(&server)))?;
        let uri = server
            .uris()
            .next()
            .cloned()
            .ok_or_else(|| Failure::failed("no listener"))?;

        say("\n2. Two responders of com.example.Greeter dial out to it, and a requester\n")?;
        let load = Load::start(&uri).await.map_err(Failure::failed)?;
        let before = act(&load, "without a plugin", |shares| shares.canary == 0.0).await?;

        say("\n3. The canary plugin is loaded: 30 % of the calls go to version `canary`\n")?;
        stage.write_plugin(30).map_err(Failure::failed)?;
        let thirty = act(&load, "percent = 30", |shares| shares.is_about(30.0)).await?;

        say("\n4. The same plugin is swapped for one with other settings, under load\n")?;
        stage.write_plugin(80).map_err(Failure::failed)?;
        let eighty = act(&load, "percent = 80", |shares| shares.is_about(80.0)).await?;

        say("\n5. And taken out again\n")?;
        stage.write_plain().map_err(Failure::failed)?;
        let after = act(&load, "without a plugin", |shares| shares.canary == 0.0).await?;

        let failed = load.failed();
        let calls = [before, thirty, eighty, after]
            .iter()
            .map(|act| act.calls)
            .sum::<u64>();
        say(&format!(
            "\n{calls} calls counted, {failed} of all calls failed.\n"
        ))?;
        if let Some(text) = load.first_failure() {
            return Err(Failure::failed(format!(
                "a call failed during the show: {text}"
            )));
        }
        if self.once {
            load.stop().await;
            server.drain(Duration::from_secs(5)).await;
            return Ok(());
        }
        load.rest();
        let signals = Signals::new().map_err(Failure::failed)?;
        say(&self.encore(&stage, &uri.to_string(), &server))?;
        server.run(signals).await.map_err(Failure::failed)?;
        Ok(())
    }

    async fn start(&self, stage: &Stage) -> Result<Server, Failure> {
        let mut settings = Vec::new();
        let mut set = |key: &str, value: &str| {
            let (flag, key, value) = ("demo".into(), key.into(), value.into());
            settings.push(config::Setting { flag, key, value });
        };
        let state = stage.state();
        set("node.data-dir", &state.display().to_string());
        set("log.level", "error");
        if self.any_port {
            set("listen.0.uri", "tcp://127.0.0.1:0");
            set("listen.1.uri", "ws://127.0.0.1:0/rsocket");
            set("http.listen", "127.0.0.1:0");
            set("admin.listen", "127.0.0.1:0");
        }
        let surroundings = Surroundings::of_process(Some(stage.config().to_owned()), settings);
        let loaded = config::load(&surroundings).map_err(|problems| Failure::placed(&problems))?;
        let log = start_logging(&loaded.config.log);
        let (compile_with, grace) = (compile_with()?, Duration::from_secs(5));
        let options = Options {
            surroundings,
            compile_with,
            grace,
        };
        Server::start(loaded, log, options)
            .await
            .map_err(Failure::failed)
    }

    fn encore(&self, stage: &Stage, uri: &str, server: &Server) -> String {
        let broker = if self.any_port {
            format!(" --broker {uri}")
        } else {
            String::new()
        };
        let token = stage.state().join("admin.token");
        let admin = format!(
            " --admin {} --token \"$(cat {})\"",
            server.admin_address(),
            token.display(),
        );
        format!(
            "\nThe broker goes on serving. In a second terminal:\n\
             \n  jackfield call com.example.Greeter.greet --data Ada{broker}\
             \n  jackfield apps{admin}\
             \n  curl http://{http}/metrics\n\
             \nEdit {config} and watch the calls follow. Ctrl-C ends it.\n",
            http = server.http_address(),
            config = stage.config().display(),
        )
    }
}

/// What one act counted.
#[derive(Clone, Copy, Debug, Default)]
struct Shares {
    calls: u64,
    /// Percent of the calls that the canary answered.
    canary: f64,
}

impl Shares {
    /// Within what chance allows for so many calls: four standard deviations, and at least 5 percent.
    fn is_about(self, percent: f64) -> bool {
        let share = percent / 100.0;
        let deviation = 100.0 * (share * (1.0 - share) / self.calls.max(1) as f64).sqrt();
        self.calls >= 50 && (self.canary - percent).abs() < (4.0 * deviation).max(5.0)
    }
}

/// Waits until the routing is as `expected`, then counts for a while and prints it.
async fn act(
    load: &Load,
    title: &str,
    expected: impl Fn(Shares) -> bool,
) -> Result<Shares, Failure> {
    let deadline = tokio::time::Instant::now() + SWAP_MAX;
    while !expected(load.count(Duration::from_millis(300)).await) {
        if tokio::time::Instant::now() > deadline {
            return Err(Failure::failed(format!(
                "the routing did not follow the file: {title}"
            )));
        }
    }
    let shares = load.count(ACT).await;
    let bar = "#".repeat((shares.canary / 2.5).round() as usize);
    say(&format!(
        "   {title:<18} {:>6.0} calls/s   stable {:>5.1} %   canary {:>5.1} %  [{bar:<40}]\n",
        shares.calls as f64 / ACT.as_secs_f64(),
        100.0 - shares.canary,
        shares.canary,
    ))?;
    if expected(shares) {
        return Ok(shares);
    }
    Err(Failure::failed(format!(
        "the routing changed by itself: {title}"
    )))
}

fn say(text: &str) -> Result<(), Failure> {
    print_text(text)
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("   {line}\n")).collect()
}
