//! `jackfield-load`: generate load, answer it, and hold the speed gate.

mod args;

use std::{
    io,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use jackfield_load::{
    Attach, Load, Pace, Registering, Respond, Stall, Tally, Target,
    gate::Gate,
    harm::{Disturbance, Harm, ROUTE, ROUTE_ITEMS, Victim},
    idle::{Cost, Dial, Idle, Transport},
    scrape::Scrape,
};

use crate::args::Args;

const HELP: &str = "\
jackfield-load: load for RSocket brokers and for what they are measured against

  respond  echo requests; answers streams with numbered items
           --connect URI [--service NAME]...   dial a broker and register (default load.Echo)
           --listen ADDR | --raw ADDR          accept RSocket clients | echo plain bytes
           --nats ADDR [--subject NAME]        dial a NATS server, one queue group
           --connections N   to dial, or ports to listen on (1)
           --label TEXT      put in front of every answer, e.g. a version
           --seconds N       stop after (3600); prints one `ready ADDR` line per connection
  call     calls in a closed loop, or an open one with --rate
           --connect URI [--route R] | --raw ADDR | --nats ADDR [--subject NAME]
           --connections N (1)  --window N (1)  --size BYTES (100)  --seconds S (2)
           --warm-up S (0.3)    --rate CALLS_PER_SECOND  --slice MS  --watch PID
           prints one JSON line; with --slice one more for each slice of time
  swap     the load under which a plugin is swapped: call with 8 connections of window 8,
           slices of 100 ms and no warm-up for 30 s
  stall    a stream under endless credit whose reader stops for a while
           --connect URI [--route R]  --items N (100000)  --size BYTES (1024)
           --read-first N (100)  --pause S (3)  --watch PID
  idle     connections that introduce themselves and say nothing
           --connect URI (tcp, tls or ws)  --connections N (1000)  --ca FILE  --seconds N (3600)
           or what they cost a broker in memory, one transport after the other:
           --broker PATH  --connections N (10000)  --only tcp|tls|ws  --json
  harm     what a disturbance does to the p99 of others, in interleaved pairs
           --connect URI [--route R] --disturb COMMAND, or --broker PATH [--only NAME]
           --plugin COMPONENT: what tests/guests/endless becomes; without it no plugin disturbs
           --pairs N (10)  --seconds S (2)  --connections N (8)  --size BYTES (100)
           --share OF_CAPACITY (0.3)  --capacity CALLS_PER_SECOND  --json
  scrape   Prometheus reads many applications through a broker: CPU of the broker for each
           interval, and the time of a scrape beyond the application's own
           --broker PATH  --apps N (1000)  --series N (2000)  --interval S (15)
           --intervals N (3)  --own MS (0): what an application takes by itself
           --core-seconds S, --beyond MS: bars for the CPU and for the p99, none unless told
  disturb  one of the disturbances of `harm`, until it is ended
           --kind flood|push|fragments|keepalive|slow-reader|churn|plugin
           --connect URI [--route R]
  register how long a broker takes to know many services, and what they cost it in memory
           --connect URI  --connections N (1000)  --services N (100, of each)  --watch PID
           --hold SECONDS (0)   stay that long, for somebody to measure what it does to others; 60 at most
  gate     the speed gate, see docs/speed-gate.md
           --broker PATH  --rounds N (9)  --seconds S (1.5)  --only serial|callers|window
           --json

call, swap and stall exit with 1 when anything went wrong, gate, harm, idle and scrape when a bar was missed.

Example: jackfield-load respond --connect tcp://127.0.0.1:9999 --connections 4 &
         jackfield-load call --connect tcp://127.0.0.1:9999 --connections 64
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let words: Vec<_> = words.collect();
    let asks_for_help = |word: &String| ["--help", "-h"].contains(&word.as_str());
    if command == "help" || asks_for_help(&command) || words.iter().any(asks_for_help) {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    let run = match command.as_str() {
        "respond" => respond,
        "call" => call,
        "swap" => swap,
        "stall" => stall,
        "idle" => idle,
        "harm" => harm,
        "scrape" => scrape,
        "disturb" => disturb,
        "register" => register,
        "gate" => gate,
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match Args::parse(words.into_iter()).and_then(run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("jackfield-load {command}: {error}");
            let usage = error.kind() == io::ErrorKind::InvalidInput;
            ExitCode::from(if usage { 2 } else { 1 })
        }
    }
}

fn respond(mut args: Args) -> io::Result<bool> {
    let attach = if let Some(address) = args.address("connect")? {
        let mut services = args.all("service");
        if services.is_empty() {
            services.push("load.Echo".into());
        }
        Attach::Broker { address, services }
    } else if let Some(address) = args.address("nats")? {
        Attach::Nats {
            address,
            subject: args.or("subject", "load.Echo".into())?,
        }
    } else if let Some(address) = args.address("raw")? {
        Attach::Raw(address)
    } else {
        Attach::Listen(
            args.address("listen")?
                .ok_or_else(|| args::usage("say where: --connect, --listen, --raw or --nats"))?,
        )
    };
    let connections = args.or("connections", 1)?;
    let label = args.or("label", String::new())?;
    let limit = Duration::from_secs(args.or("seconds", 3600)?);
    args.finish()?;
    let mut responding = Respond {
        attach,
        connections,
        label,
    }
    .start()?;
    for address in &responding.addresses {
        println!("ready {address}");
    }
    // The limit ends the process, whatever its threads do: nothing of a load stays behind.
    thread::spawn(move || {
        thread::sleep(limit);
        std::process::exit(0);
    });
    responding.end().map(|()| true)
}

fn call(mut args: Args) -> io::Result<bool> {
    let load = load(&mut args, 1, 1, Duration::ZERO, 0.3)?;
    let duration = args.seconds("seconds", 2.0)?;
    args.finish()?;
    report(load, duration)
}

fn swap(mut args: Args) -> io::Result<bool> {
    let load = load(&mut args, 8, 8, Duration::from_millis(100), 0.0)?;
    let duration = args.seconds("seconds", 30.0)?;
    args.finish()?;
    report(load, duration)
}

fn load(
    args: &mut Args,
    connections: usize,
    window: usize,
    slice: Duration,
    warm_up: f64,
) -> io::Result<Load> {
    let target = if let Some(address) = args.address("connect")? {
        Target::RSocket {
            address,
            route: args.or("route", "load.Echo.echo".into())?,
        }
    } else if let Some(address) = args.address("nats")? {
        Target::Nats {
            address,
            subject: args.or("subject", "load.Echo".into())?,
        }
    } else {
        let address = args.address("raw")?;
        Target::Raw {
            address: address.ok_or_else(|| args::usage("say whom: --connect, --raw or --nats"))?,
        }
    };
    let window = args.or("window", window)?;
    let rate = args.or("rate", 0.0)?;
    let mut load = Load::new(target);
    load.connections = args.or("connections", connections)?;
    load.pace = if rate > 0.0 {
        Pace::Open { rate }
    } else {
        Pace::Closed { window }
    };
    load.size = args.or("size", 100)?;
    load.warm_up = args.seconds("warm-up", warm_up)?;
    load.slice = Duration::from_millis(args.or("slice", slice.as_millis() as u64)?);
    load.watch = args.numbers("watch")?;
    Ok(load)
}

fn report(load: Load, duration: Duration) -> io::Result<bool> {
    let slice = load.slice;
    let tally = load.run(duration)?;
    print_slices(&tally, slice);
    let watched = tally
        .watched
        .iter()
        .map(|cpu| format!("{:.3}", tally.per_call(*cpu)));
    let watched = watched.collect::<Vec<_>>().join(",");
    println!("{{{},\"watched_cpu_us\":[{watched}]}}", tally.json_fields());
    Ok(tally.clean() && tally.answered > 0)
}

fn print_slices(tally: &Tally, slice: Duration) {
    for (index, window) in tally.windows.iter().enumerate() {
        let labels = tally.labels.iter().zip(&window.labels);
        let labels = labels.map(|(label, count)| format!(",\"answered_{label}\":{count}"));
        println!(
            "{{\"at_ms\":{},\"answered\":{},\"failed\":{}{}}}",
            slice.as_millis() * index as u128,
            window.answered,
            window.failed,
            labels.collect::<String>(),
        );
    }
}

fn stall(mut args: Args) -> io::Result<bool> {
    let address = args
        .address("connect")?
        .ok_or_else(|| args::usage("say whom: --connect"))?;
    let mut stall = Stall::new(address, &args.or("route", "load.Echo.items".to_owned())?);
    stall.items = args.or("items", stall.items)?;
    stall.item_size = args.or("size", stall.item_size)?;
    stall.read_first = args.or("read-first", stall.read_first)?;
    stall.pause = args.seconds("pause", stall.pause.as_secs_f64())?;
    stall.watch = args.numbers("watch")?.first().copied();
    args.finish()?;
    let report = stall.run()?;
    println!("{}", report.json());
    Ok(report.whole(stall.items))
}

fn idle(mut args: Args) -> io::Result<bool> {
    let Some(uri) = args.one("connect") else {
        return idle_cost(args);
    };
    let scheme = uri.split("://").next().unwrap_or_default();
    let transport = Transport::ALL
        .into_iter()
        .find(|transport| transport.scheme() == scheme)
        .ok_or_else(|| args::usage(format!("--connect {uri}: tcp, tls or ws")))?;
    let host = uri
        .split("://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let address = host.unwrap_or_default().parse();
    let dial = Dial {
        transport,
        address: address.map_err(|error| args::usage(format!("--connect {uri}: {error}")))?,
        connections: args.or("connections", 1000)?,
        ca: args.one("ca").map(Into::into),
    };
    let limit = args.seconds("seconds", 3600.0)?;
    args.finish()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let held = dial.open().await?;
        println!("ready {}", held.count());
        tokio::time::sleep(limit).await;
        Ok(true)
    })
}

fn idle_cost(mut args: Args) -> io::Result<bool> {
    let broker = args
        .one("broker")
        .ok_or_else(|| args::usage("say --connect or --broker"))?;
    let json = args.flag("json");
    let idle = Idle {
        broker: broker.into(),
        connections: args.or("connections", 10_000)?,
        only: args.one("only"),
    };
    args.finish()?;
    let costs = idle.run()?;
    for cost in &costs {
        if json {
            println!("{}", cost.json());
        } else {
            println!(
                "{:>4}: {} connections, {} bytes each, aim below {}: {}",
                cost.transport.scheme(),
                cost.connections,
                cost.per_connection(),
                cost.aim(),
                if cost.reached() { "reached" } else { "MISSED" }
            );
        }
    }
    Ok(!costs.is_empty() && costs.iter().all(Cost::reached))
}

fn harm(mut args: Args) -> io::Result<bool> {
    let json = args.flag("json");
    let only = args.one("only");
    let broker = args.one("broker").map(PathBuf::from);
    let plugin = args.one("plugin").map(PathBuf::from);
    let mut harm = Harm {
        target: Target::Raw {
            address: ([127, 0, 0, 1], 0).into(),
        },
        connections: args.or("connections", 8)?,
        size: args.or("size", 100)?,
        pairs: args.or("pairs", 10)?,
        cell: args.seconds("seconds", 2.0)?,
        share: args.or("share", 0.3)?,
        capacity: args
            .one("capacity")
            .map(|rate| rate.parse())
            .transpose()
            .map_err(|_| args::usage("--capacity is a number"))?,
        name: String::new(),
        disturbance: String::new(),
    };
    let (victim, address, route, disturbances) = match broker {
        Some(broker) => {
            let victim = Victim::start(&broker, plugin.as_deref())?;
            let Target::RSocket { address, route } = victim.target.clone() else {
                return Err(io::Error::other("the victim speaks RSocket"));
            };
            let program = std::env::current_exe()?;
            let wanted = |kind: &Disturbance| {
                only.as_ref().is_none_or(|only| kind.name() == only)
                    && (*kind != Disturbance::Plugin || plugin.is_some())
            };
            let commands = Disturbance::ALL.into_iter().filter(wanted).map(|kind| {
                let (program, name) = (program.display(), kind.name());
                let uri = format!("tcp://{address}");
                let command = format!("{program} disturb --kind {name} --connect {uri}");
                (name.to_owned(), idle_priority(&command))
            });
            (Some(victim), address, route, commands.collect::<Vec<_>>())
        }
        None => {
            let address = args.address("connect")?;
            let address = address.ok_or_else(|| args::usage("say --connect or --broker"))?;
            let disturb = args
                .one("disturb")
                .ok_or_else(|| args::usage("say --disturb COMMAND"))?;
            (
                None,
                address,
                args.or("route", ROUTE.to_owned())?,
                vec![(disturb.clone(), disturb)],
            )
        }
    };
    args.finish()?;
    harm.target = Target::RSocket { address, route };
    let mut passed = !disturbances.is_empty();
    for (name, disturbance) in disturbances {
        (harm.name, harm.disturbance) = (name, disturbance);
        let report = harm.run()?;
        print!(
            "{}",
            if json {
                report.json() + "\n"
            } else {
                report.table()
            }
        );
        passed &= report.passed();
    }
    drop(victim);
    Ok(passed)
}

/// The command for a shell, run only on time that nobody else on this machine wants: the attacker's
/// processor is not the victims', and what it does to them must not be measured as the broker's doing.
fn idle_priority(command: &str) -> String {
    format!("command -v chrt > /dev/null && exec chrt --idle 0 {command}; exec {command}")
}

fn disturb(mut args: Args) -> io::Result<bool> {
    let kind = args.one("kind").unwrap_or_default();
    let kind = Disturbance::ALL
        .into_iter()
        .find(|known| known.name() == kind)
        .ok_or_else(|| {
            args::usage("--kind flood|push|fragments|keepalive|slow-reader|churn|plugin")
        })?;
    let address = args.address("connect")?;
    let address = address.ok_or_else(|| args::usage("say whom: --connect"))?;
    let route = match kind {
        Disturbance::SlowReader => ROUTE_ITEMS,
        _ => ROUTE,
    };
    let route = args.or("route", route.to_owned())?;
    args.finish()?;
    kind.run(address, &route)
}

fn register(mut args: Args) -> io::Result<bool> {
    let address = args.address("connect")?;
    let registering = Registering {
        address: address.ok_or_else(|| args::usage("say whom: --connect"))?,
        connections: args.or("connections", 1000)?,
        services: args.or("services", 100)?,
        watch: args.numbers("watch")?.first().copied(),
    };
    let hold: u64 = args.or("hold", 0)?;
    args.finish()?;
    let registered = registering.run()?;
    println!("{}", registered.json());
    // Longer, and the broker would take them for dead.
    thread::sleep(Duration::from_secs(hold.min(60)));
    Ok(true)
}

fn gate(mut args: Args) -> io::Result<bool> {
    let gate = Gate {
        broker: args.one("broker").map(Into::into),
        rounds: args.or("rounds", 9)?,
        cell: args.seconds("seconds", 1.5)?,
        only: args.one("only"),
        json: args.flag("json"),
    };
    args.finish()?;
    let began = Instant::now();
    let passed = gate.run()?;
    eprintln!("took {:.0} s", began.elapsed().as_secs_f64());
    Ok(passed)
}

fn scrape(mut args: Args) -> io::Result<bool> {
    let broker = args.one("broker").map(PathBuf::from);
    let scrape = Scrape {
        broker: broker.ok_or_else(|| args::usage("say which broker: --broker PATH"))?,
        apps: args.or("apps", 1000)?,
        series: args.or("series", 2000)?,
        interval: args.seconds("interval", 15.0)?,
        intervals: args.or("intervals", 3)?,
        own: Duration::from_millis(args.or("own", 0)?),
    };
    let core_seconds = args.or("core-seconds", f64::INFINITY)?;
    let beyond = args.or("beyond", f64::INFINITY)?;
    args.finish()?;
    let scraped = scrape.run()?;
    println!("{}", scraped.json());
    let p99 = scraped.beyond.value_at_quantile(0.99) as f64 / 1e3;
    Ok(scraped.failed == 0 && scraped.cpu.as_secs_f64() <= core_seconds && p99 <= beyond)
}
