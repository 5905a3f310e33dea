//! All systems of a scene, up and connected.
//!
//! ```text
//! direct     caller ───────────────► responder
//! haproxy    caller ──► haproxy ───► responder (the same)     one upstream connection per caller
//! nats       caller ──► nats ──────► responder                a queue group
//! jackfield  caller ──► broker ────► responder                registered apps
//! ```

use std::{
    env, io,
    net::SocketAddr,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use crate::load::{Load, Target};

use super::{
    process::{Process, Scratch, arg, free_port, installed},
    scene::Scene,
};

const ROUTE: &str = "load.Echo.echo";
const SUBJECT: &str = "load.Echo";
const REACHABLE_MAX: Duration = Duration::from_secs(10);

/// One way from a caller to a responder.
#[derive(Debug)]
pub(super) struct System {
    pub(super) name: &'static str,
    pub(super) target: Target,
    /// Process in the middle.
    pub(super) relay: Option<u32>,
    pub(super) responder: u32,
}

/// Systems and the processes behind them.
#[derive(Debug)]
pub(super) struct World {
    pub(super) systems: Vec<System>,
    _processes: Vec<Process>,
}

impl World {
    pub(super) fn start(
        scene: &Scene,
        broker: Option<&Path>,
        core: Option<usize>,
        scratch: &Scratch,
    ) -> io::Result<Self> {
        let mut build = Build {
            scene,
            core,
            scratch,
            systems: Vec::new(),
            processes: Vec::new(),
        };
        let listening = build.direct()?;
        build.haproxy(&listening)?;
        build.nats()?;
        if let Some(broker) = broker {
            build.jackfield(broker)?;
        }
        for system in &build.systems {
            reach(&system.target)
                .map_err(|error| io::Error::other(format!("{}: {error}", system.name)))?;
        }
        Ok(Self {
            systems: build.systems,
            _processes: build.processes,
        })
    }
}

struct Build<'a> {
    scene: &'a Scene,
    core: Option<usize>,
    scratch: &'a Scratch,
    systems: Vec<System>,
    processes: Vec<Process>,
}

impl Build<'_> {
    fn direct(&mut self) -> io::Result<Vec<SocketAddr>> {
        let (responder, addresses) = self.responder("direct", &["--listen", "127.0.0.1:0"])?;
        let target = rsocket(addresses[0]);
        self.systems.push(System {
            name: "direct",
            target,
            relay: None,
            responder,
        });
        Ok(addresses)
    }

    fn haproxy(&mut self, upstream: &[SocketAddr]) -> io::Result<()> {
        let program = installed("haproxy", "haproxy")?;
        let address = free_port()?;
        let config = self
            .scratch
            .write("haproxy.cfg", &haproxy_config(address, upstream))?;
        let command = [arg(&program)?, "-db", "-f", arg(&config)?];
        let mut relay = self.process("haproxy", &command)?;
        relay.listening(address)?;
        let responder = self.systems[0].responder;
        self.system("haproxy", rsocket(address), relay, responder);
        Ok(())
    }

    fn nats(&mut self) -> io::Result<()> {
        let program = installed("nats-server", "nats-server")?;
        let address = free_port()?;
        let port = address.port().to_string();
        let mut relay = self.process("nats", &[arg(&program)?, "-a", "127.0.0.1", "-p", &port])?;
        relay.listening(address)?;
        let dial = ["--nats", &address.to_string(), "--subject", SUBJECT];
        let (responder, _) = self.responder("nats-responder", &dial)?;
        let target = Target::Nats {
            address,
            subject: SUBJECT.into(),
        };
        self.system("nats", target, relay, responder);
        Ok(())
    }

    fn jackfield(&mut self, broker: &Path) -> io::Result<()> {
        let data = self.scratch.path("jackfield-data");
        let config = self
            .scratch
            .write("jackfield.toml", &broker_config(arg(&data)?))?;
        let command = [arg(broker)?, "run", "--config", arg(&config)?];
        let relay = self.process("jackfield", &command)?;
        let address = relay.ready()?;
        let uri = format!("tcp://{address}");
        let dial = ["--connect", &uri, "--service", SUBJECT];
        let (responder, _) = self.responder("jackfield-responder", &dial)?;
        self.system("jackfield", rsocket(address), relay, responder);
        Ok(())
    }

    /// This program again, as the other end; its number and where it listens or dialled.
    fn responder(&mut self, name: &str, attach: &[&str]) -> io::Result<(u32, Vec<SocketAddr>)> {
        let program = env::current_exe()?;
        let count = self.scene.responders.to_string();
        let mut command = vec![arg(&program)?, "respond", "--connections", &count];
        command.extend(attach);
        let process = self.process(name, &command)?;
        let addresses = (0..self.scene.responders).map(|_| process.ready());
        let addresses = addresses.collect::<io::Result<_>>()?;
        let pid = process.pid();
        self.processes.push(process);
        Ok((pid, addresses))
    }

    fn process(&self, name: &str, command: &[&str]) -> io::Result<Process> {
        Process::start(name, command, self.core, self.scratch)
    }

    fn system(&mut self, name: &'static str, target: Target, relay: Process, responder: u32) {
        self.systems.push(System {
            name,
            target,
            relay: Some(relay.pid()),
            responder,
        });
        self.processes.push(relay);
    }
}

/// Calls until all calls of a short while are answered: a registration may take a moment to show.
pub(crate) fn reach(target: &Target) -> io::Result<()> {
    let deadline = Instant::now() + REACHABLE_MAX;
    loop {
        let mut load = Load::new(target.clone());
        load.grace = Duration::from_secs(1);
        let tally = load.run(Duration::from_millis(50))?;
        if tally.clean() && tally.answered > 0 {
            return Ok(());
        }
        if Instant::now() > deadline {
            let why = tally.first_failure.unwrap_or_else(|| "no answer".into());
            return Err(io::Error::other(format!("it cannot be reached: {why}")));
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn rsocket(address: SocketAddr) -> Target {
    Target::RSocket {
        address,
        route: ROUTE.into(),
    }
}

fn haproxy_config(address: SocketAddr, upstream: &[SocketAddr]) -> String {
    let mut config = format!(
        "global\n  nbthread 1\n  maxconn 1024\n\
         defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 10m\n  timeout server 10m\n\
         frontend callers\n  bind {address}\n  default_backend responders\n\
         backend responders\n  balance roundrobin\n"
    );
    for (index, address) in upstream.iter().enumerate() {
        config.push_str(&format!("  server r{index} {address}\n"));
    }
    config
}

fn broker_config(data: &str) -> String {
    format!(
        "[node]\nname = \"speed-gate\"\nthreads = 1\ndata-dir = \"{data}\"\n\
         [[listen]]\nuri = \"tcp://127.0.0.1:0\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n\
         [admin]\nlisten = \"127.0.0.1:0\"\n"
    )
}
