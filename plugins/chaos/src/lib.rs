//! Breaks a share of the calls on purpose, to see whether their callers bear it.
//!
//! ```toml
//! [[plugin]]
//! name = "chaos"
//! file = "builtin:chaos"
//! match = ["com.example.*"]
//! allow = ["clock"]                  # always: it knows when `from` and `to` are
//! [plugin.settings]
//! from = "22:00"                     # optional, UTC; and to = "06:00": over midnight too
//! to = "06:00"
//! [[plugin.settings.faults]]
//! percent = 5
//! delay-ms = 200                     # or error = "text", black-hole = true, cut-after = 10, slow-ms = 50
//! app = "shop"                       # optional: only calls of this app
//! ```
//!
//! `stop = true` is the kill switch: nothing breaks from then on, and the faults stay written down. The broker notices
//! within a second, as it does with `mode = "off"`.

use jackfield_plugin_sdk::{Chaos, Cutting, Fault, Plan, Plugin, Refusal, Request, clock, plugin};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    faults: Vec<FaultSettings>,
    from: Option<String>,
    to: Option<String>,
    #[serde(default)]
    stop: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FaultSettings {
    percent: f64,
    app: Option<String>,
    delay_ms: Option<u32>,
    error: Option<String>,
    #[serde(default)]
    black_hole: bool,
    cut_after: Option<u32>,
    slow_ms: Option<u32>,
}

/// What the settings come to.
struct Breaker {
    rules: Vec<Rule>,
    /// Minutes of the day, UTC.
    window: Option<(u32, u32)>,
    /// All rules are for everybody.
    same_for_all: bool,
}

struct Rule {
    weight: u32,
    app: Option<String>,
    fault: Fault,
}

impl Plugin for Breaker {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, String> {
        let Settings {
            faults,
            from,
            to,
            stop,
        } = settings;
        let rules: Vec<Rule> = faults
            .into_iter()
            .map(Rule::new)
            .collect::<Result<_, _>>()?;
        let whole: u32 = rules.iter().map(|rule| rule.weight).sum();
        if whole > 10_000 {
            return Err("the percents of all faults together are more than 100".into());
        }
        let window = match (from, to) {
            (None, None) => None,
            (Some(from), Some(to)) => Some((minutes(&from)?, minutes(&to)?)),
            _ => return Err("`from` and `to` go together".into()),
        };
        let same_for_all = rules.iter().all(|rule| rule.app.is_none());
        Ok(Self {
            // What is written is checked all the same: it will be needed when the switch goes back.
            rules: if stop { Vec::new() } else { rules },
            window,
            same_for_all,
        })
    }
}

impl Rule {
    fn new(settings: FaultSettings) -> Result<Self, String> {
        let FaultSettings {
            percent,
            app,
            delay_ms,
            error,
            black_hole,
            cut_after,
            slow_ms,
        } = settings;
        if !(0.0..=100.0).contains(&percent) {
            return Err(format!("percent is {percent}; it must be from 0 to 100"));
        }
        let broken = || Refusal::new(0x201, "broken on purpose");
        let mut faults = Vec::new();
        faults.extend(delay_ms.map(Fault::Delay));
        faults.extend(error.map(|text| Fault::Error(Refusal::new(0x201, text))));
        faults.extend(black_hole.then_some(Fault::BlackHole));
        faults.extend(cut_after.map(|after| {
            let error = broken();
            Fault::Cut(Cutting { after, error })
        }));
        faults.extend(slow_ms.map(Fault::Slow));
        let weight = (percent * 100.0).round() as u32;
        match <[Fault; 1]>::try_from(faults) {
            Ok([fault]) => Ok(Self { weight, app, fault }),
            Err(_) => Err(
                "each fault has exactly one of delay-ms, error, black-hole, cut-after, slow-ms"
                    .into(),
            ),
        }
    }
}

impl Chaos for Breaker {
    /// The host throws the dice, and carries the fault out. A plan without a time window depends on the caller alone,
    /// so the broker asks for it once for each route of each connection.
    fn disturb(&self, request: &Request<'_>) -> Plan {
        if let Some(window) = self.window {
            return match within(window, now()) {
                true => self.plan(request),
                false => Plan::none(),
            };
        }
        self.plan(request).remember()
    }
}

impl Breaker {
    fn plan(&self, request: &Request<'_>) -> Plan {
        let fits = |rule: &&Rule| {
            self.same_for_all || rule.app.as_ref().is_none_or(|app| request.app_is(app))
        };
        { self.rules.iter().filter(fits) }.fold(Plan::none(), |plan, rule| {
            plan.with(rule.weight, rule.fault.clone())
        })
    }
}

/// Minutes since midnight, UTC.
fn now() -> u32 {
    (clock::unix_ms() / 60_000 % 1_440) as u32
}

const fn within((from, to): (u32, u32), now: u32) -> bool {
    match from <= to {
        true => from <= now && now < to,
        false => from <= now || now < to,
    }
}

fn minutes(time: &str) -> Result<u32, String> {
    let read = || {
        let (hours, minutes) = time.split_once(':')?;
        let (hours, minutes) = (hours.parse::<u32>().ok()?, minutes.parse::<u32>().ok()?);
        (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
    };
    read().ok_or_else(|| format!("`{time}` is no time of day; write it like 22:30"))
}

plugin!(Breaker: Chaos);

#[cfg(test)]
mod tests {
    use jackfield_plugin_sdk::testing::{TestRequest, configured, set_clock};

    use super::*;

    fn plan(settings: &str, app: &str) -> Plan {
        let it = configured::<Breaker>(settings).unwrap();
        TestRequest::new("com.example.User", "find")
            .app(app)
            .disturb(&it)
    }

    #[test]
    fn every_fault_can_be_planned() {
        for (settings, fault) in [
            (r#""delay-ms": 200"#, Fault::Delay(200)),
            (
                r#""error": "boo""#,
                Fault::Error(Refusal::new(0x201, "boo")),
            ),
            (r#""black-hole": true"#, Fault::BlackHole),
            (r#""slow-ms": 7"#, Fault::Slow(7)),
        ] {
            let settings = format!(r#"{{"faults": [{{"percent": 2.5, {settings}}}]}}"#);
            let expected = Plan::none().with(250, fault).remember();
            assert_eq!(plan(&settings, "shop"), expected);
        }
        let cut = plan(r#"{"faults": [{"percent": 1, "cut-after": 10}]}"#, "shop");
        assert!(matches!(&cut.faults[0].fault, Fault::Cut(cut) if cut.after == 10));
    }

    #[test]
    fn a_fault_may_be_for_one_app() {
        let settings = r#"{"faults": [
            {"percent": 10, "delay-ms": 1, "app": "shop"}, {"percent": 5, "slow-ms": 1}]}"#;
        assert_eq!(plan(settings, "shop").faults.len(), 2);
        assert_eq!(plan(settings, "other").faults.len(), 1);
    }

    #[test]
    fn a_window_may_go_over_midnight_and_is_not_remembered() {
        let settings =
            r#"{"faults": [{"percent": 1, "delay-ms": 1}], "from": "22:00", "to": "06:00"}"#;
        for (hour, broken) in [(21, false), (22, true), (23, true), (5, true), (6, false)] {
            set_clock(hour * 3_600_000);
            let plan = plan(settings, "shop");
            assert_eq!((plan.faults.len(), plan.remember), (broken.into(), false));
        }
    }

    #[test]
    fn the_kill_switch_stops_everything_and_still_reads_the_rest() {
        let settings = r#"{"faults": [{"percent": 100, "black-hole": true}], "stop": STOP}"#;
        for (stop, faults) in [("true", 0), ("false", 1)] {
            let plan = plan(&settings.replace("STOP", stop), "shop");
            assert_eq!(plan.faults.len(), faults);
        }
        let wrong = r#"{"faults": [{"percent": 300, "black-hole": true}], "stop": true}"#;
        assert!(configured::<Breaker>(wrong).is_err());
    }

    #[test]
    fn refuses_settings_that_make_no_sense() {
        for (settings, complaint) in [
            (r#"{"faults": [{"percent": 1}]}"#, "exactly one of"),
            (
                r#"{"faults": [{"percent": 1, "delay-ms": 1, "slow-ms": 1}]}"#,
                "exactly one of",
            ),
            (
                r#"{"faults": [{"percent": 101, "delay-ms": 1}]}"#,
                "from 0 to 100",
            ),
            (
                r#"{"faults": [{"percent": 60, "delay-ms": 1}, {"percent": 60, "delay-ms": 1}]}"#,
                "more than 100",
            ),
            (r#"{"faults": [], "from": "22:00"}"#, "go together"),
            (
                r#"{"faults": [], "from": "22:00", "to": "24:00"}"#,
                "no time of day",
            ),
        ] {
            let error = configured::<Breaker>(settings).err().unwrap();
            assert!(error.contains(complaint), "{settings}: {error}");
        }
    }
}
