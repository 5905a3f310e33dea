//! `jackfield-load`: generate load, answer it, and hold the speed gate.

mod args;

use std::{
    io,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use jackfield_load::{Attach, Load, Pace, Respond, Stall, Tally, Target, gate::Gate};

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
  gate     the speed gate, see docs/speed-gate.md
           --broker PATH  --rounds N (9)  --seconds S (1.5)  --only serial|callers|window
           --json

call, swap and stall exit with 1 when anything went wrong, gate when a bar was missed.

Example: jackfield-load respond --connect tcp://127.0.0.1:9999 --connections 4 &
         jackfield-load call --connect tcp://127.0.0.1:9999 --connections 64
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let run = match command.as_str() {
        "respond" => respond,
        "call" => call,
        "swap" => swap,
        "stall" => stall,
        "gate" => gate,
        "help" | "--help" | "-h" => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match Args::parse(words).and_then(run) {
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
