//! Prometheus itself, over the broker and the applications behind it; and promtool over everything we ship for it.

mod collectors;
mod exemplars;

use std::{
    collections::BTreeSet,
    env, fs,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use jackfield_rsocket::endpoint::{
    ConnectOptions, Credit, Failure, Message, Requester, Responder, connect,
};
use rcgen::{CertificateParams, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

use super::{
    admin::{exchange, metrics, until},
    caller::{request, requester, responder, wait_for},
    run,
};
use crate::{
    broker::{Broker, CONFIG, Transport, binary, build},
    interop::{installed, root},
    process::Process,
};

const FOLDER: &str = "target/prometheus/usr/bin";

/// A program of Prometheus; without it there is nothing to test.
fn tool(test: &str, name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file());
    found.or_else(|| {
        let file = format!("{FOLDER}/{name}");
        installed(test, &[&file], "prometheus").then(|| root().join(file))
    })
}

fn output(mut command: Command, input: Option<&str>) -> (bool, String) {
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), input.unwrap_or_default()).expect("a file");
    command.stdin(fs::File::open(file.path()).expect("a file"));
    let output = command.output().expect("it runs");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

/// A running Prometheus, which ends with the value.
struct Prometheus {
    process: Process,
    address: String,
}

impl Prometheus {
    /// With the file that we ship, but for the broker's address and for how often it looks.
    fn start(program: PathBuf, broker: &Broker) -> Self {
        let shipped = fs::read_to_string(root().join("ops/prometheus/prometheus.yml"));
        let config = shipped
            .expect("the file we ship")
            .replace("127.0.0.1:9998", broker.http())
            .replace("15s", "2s")
            .replace("30s", "7s");
        let folder = broker.folder();
        fs::write(folder.join("prometheus.yml"), config).expect("a file");
        let rules = "ops/prometheus/jackfield.rules.yml";
        fs::copy(root().join(rules), folder.join("jackfield.rules.yml")).expect("a file");
        let mut command = Command::new(program);
        command.current_dir(folder).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=tsdb",
            "--web.listen-address=127.0.0.1:0",
            "--enable-feature=exemplar-storage",
        ]);
        let process = Process::start("prometheus", command, folder);
        let end = Instant::now() + Duration::from_secs(60);
        let address = loop {
            let log = fs::read_to_string(process.errors_file()).unwrap_or_default();
            let line = log
                .lines()
                .find(|line| line.contains("msg=\"Listening on\""));
            match line.and_then(|line| line.split("address=").nth(1)) {
                Some(address) => break address.split(' ').next().unwrap_or_default().to_owned(),
                None => assert!(Instant::now() < end, "Prometheus does not listen:\n{log}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        Self { process, address }
    }

    /// The one value of an expression, if there is exactly one.
    fn value(&self, expression: &str) -> Option<f64> {
        let result = self.query(expression);
        match result.as_array()?.as_slice() {
            [one] => one["value"][1].as_str()?.parse().ok(),
            _ => None,
        }
    }

    fn query(&self, expression: &str) -> Value {
        self.ask("query", expression)["result"].clone()
    }

    /// Those of the series of an expression.
    fn exemplars(&self, expression: &str) -> Value {
        self.ask("query_exemplars", expression)
    }

    fn ask(&self, what: &str, expression: &str) -> Value {
        let escape = |byte: u8| match byte {
            b if b.is_ascii_alphanumeric() => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        };
        let query: String = expression.bytes().map(escape).collect();
        let address = &self.address;
        let answer = exchange(
            address,
            &format!("GET /api/v1/{what}?query={query} HTTP/1.0\r\nHost: {address}\r\n\r\n"),
        );
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let answer: Value = serde_json::from_str(body).unwrap_or_default();
        answer["data"].clone()
    }

    async fn until(&self, expression: &str, value: Option<f64>) {
        until_within(Duration::from_secs(90), || self.value(expression) == value)
            .await
            .unwrap_or_else(|()| {
                let (got, up) = (self.query(expression), self.query("up"));
                panic!(
                    "{expression} is {got}, not {value:?}; up: {up}; {}",
                    self.process.errors()
                )
            });
    }
}

async fn until_within(limit: Duration, so: impl Fn() -> bool) -> Result<(), ()> {
    let end = Instant::now() + limit;
    while !so() {
        if Instant::now() > end {
            return Err(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// An application in this process that answers a scrape as told.
async fn metered<F, R>(broker: &Broker, name: &str, answer: F) -> Requester
where
    F: Fn() -> R + Send + Sync + 'static,
    R: Future<Output = Result<Message, Failure>> + Send + 'static,
{
    let app = ConnectOptions::app(name)
        .publish("jackfield.Metrics")
        .expect("a name")
        .serve(Responder::new().response(move |_| answer()));
    let uri = broker.uri(Transport::Tcp).parse().expect("a uri");
    connect(&uri, app).await.expect("the broker accepts")
}

/// The examples that are installed, as processes.
fn examples(broker: &Broker) -> Vec<(&'static str, Process)> {
    let mut commands = vec![("metered-rust", Command::new(build("metrics")))];
    let js = "examples/javascript/node_modules";
    if installed("metrics of JavaScript", &[js], "js") {
        let mut node = Command::new("node");
        node.arg("metrics.js")
            .current_dir(root().join("examples/javascript"));
        commands.push(("metered-js", node));
    }
    let python = "examples/python/.venv/bin/python";
    if installed("metrics of Python", &[python], "python") {
        let mut program = Command::new(root().join(python));
        program
            .arg("metrics.py")
            .current_dir(root().join("examples/python"));
        commands.push(("metered-py", program));
    }
    let start = |(name, mut command): (&'static str, Command)| {
        command.arg(broker.uri(Transport::Tcp));
        let process = Process::start(name, command, broker.folder());
        process.expect("line that says it serves", |line| {
            line.starts_with("serving").then_some(())
        });
        (name, process)
    };
    commands.into_iter().map(start).collect()
}

#[test]
fn prometheus_sees_the_broker_and_every_application_behind_it() {
    let Some(program) = tool("prometheus", "prometheus") else {
        return;
    };
    let broker = collectors::broker(true);
    let mut apps = examples(&broker);
    if let Some(app) = collectors::micrometer(&broker) {
        apps.push(("micrometer", app));
    }
    run(async {
        let page = |text: String| async move { Ok(Message::new(text)) };
        let _hung = metered(&broker, "hung", std::future::pending).await;
        // Within what a page may weigh, and more series than it may have; and more of both.
        let series = (0..200_000).map(|n| format!("a{{n=\"{n}\"}} 1\n"));
        let series: String = series.collect();
        let _many = metered(&broker, "many", move || page(series.clone())).await;
        let bomb: String = (0..1_000_000)
            .map(|n| format!("a{{n=\"{n}\"}} 1\n"))
            .collect();
        let _bomb = metered(&broker, "bomb", move || page(bomb.clone())).await;
        let line = format!("a{{b=\"{}\"}} 1\n", "x".repeat(1 << 20));
        let _long = metered(&broker, "long", move || page(line.clone())).await;
        let _latin = metered(&broker, "latin", || async {
            Ok(Message::new(&b"a{b=\"\xe9\"} 1\n"[..]))
        })
        .await;
        let forged = "up 1\nforged{job=\"jackfield\",instance=\"victim\"} 7\n";
        let _forger = metered(&broker, "forger", move || page(forged.to_owned())).await;
        let _fails = metered(&broker, "fails", || async {
            Err(Failure::application("no registry"))
        })
        .await;

        let prometheus = Prometheus::start(program, &broker);
        prometheus.until("up{job=\"jackfield\"}", Some(1.0)).await;
        prometheus
            .until("jackfield_apps", Some(7.0 + apps.len() as f64))
            .await;
        for (name, _) in &apps {
            prometheus
                .until(&format!("up{{job=\"{name}\"}}"), Some(1.0))
                .await;
            prometheus
                .until(&format!("app_answer{{job=\"{name}\"}}"), Some(42.0))
                .await;
        }
        // Each under the name of its application, and its uuid.
        let mut instances = BTreeSet::new();
        for (name, _) in &apps {
            let found = prometheus.query(&format!("app_answer{{job=\"{name}\"}}"));
            let labels = &found[0]["metric"];
            let instance = labels["instance"].as_str().expect("a uuid").to_owned();
            assert!(instance.len() >= 32, "{labels}");
            assert!(instances.insert(instance), "{labels}");
        }
        let labels = &prometheus.query("app_answer{job=\"metered-rust\"}")[0]["metric"];
        assert_eq!(labels["language"], "rust");

        for name in ["hung", "many", "bomb", "long", "latin", "fails"] {
            prometheus
                .until(&format!("up{{job=\"{name}\"}}"), Some(0.0))
                .await;
        }
        // Whoever hangs takes his own time only.
        let slowest = prometheus
            .value("max(scrape_duration_seconds{job=~\"metered-.*|micrometer|jackfield\"})");
        let hung = prometheus.value("scrape_duration_seconds{job=\"hung\"}");
        assert!(slowest < hung, "{slowest:?} {hung:?}");

        prometheus.until("forged{job=\"forger\"}", Some(7.0)).await;
        let labels = &prometheus.query("forged")[0]["metric"];
        assert_eq!(labels["exported_job"], "jackfield", "{labels}");
        assert_eq!(labels["exported_instance"], "victim", "{labels}");

        // One that is killed is down, and then no longer listed.
        drop(apps.remove(0));
        prometheus
            .until("min_over_time(up{job=\"metered-rust\"}[2m])", Some(0.0))
            .await;
        prometheus.until("up{job=\"metered-rust\"}", None).await;
        prometheus.until("up{job=\"jackfield\"}", Some(1.0)).await;

        // Every reason is counted.
        let page = metrics(&broker);
        for outcome in ["ok", "app_error", "bad_page", "timeout"] {
            let start = format!("jackfield_app_scrapes_total{{outcome=\"{outcome}\"}} ");
            let line = page.lines().find_map(|line| line.strip_prefix(&start));
            assert!(line.is_some_and(|count| count != "0"), "{outcome}: {page}");
        }
    });
}

/// An application of the archived broker's SDK is read as it is: its service for metrics is the SDK's own.
#[test]
fn prometheus_sees_an_application_of_the_alibaba_sdk() {
    let jar = "tests/interop/java-alibaba/target/peer.jar";
    let program = tool("prometheus", "prometheus");
    let (Some(program), true) = (program, installed("metrics of the SDK", &[jar], "java")) else {
        return;
    };
    let broker = collectors::broker(false);
    let mut java = Command::new("java");
    java.arg("-Xmx256m")
        .arg("-jar")
        .arg(root().join(jar))
        .args([
            "--server.port=0",
            "--spring.main.banner-mode=off",
            "--spring.application.name=metered-alibaba",
            "--peer.name=metered",
            "--rsocket.jwt-token=none",
        ]);
    java.arg(format!("--rsocket.brokers={}", broker.uri(Transport::Tcp)));
    let _app = Process::start("metered-alibaba", java, broker.folder());
    run(async {
        until_within(Duration::from_secs(120), || {
            metrics(&broker).contains("jackfield_apps 1\n")
        })
        .await
        .expect("the SDK connects");
        let prometheus = Prometheus::start(program, &broker);
        let up = "up{job=\"metered-alibaba\"}";
        prometheus.until(up, Some(1.0)).await;
        let threads = "jvm_threads_live_threads{job=\"metered-alibaba\"} > bool 1";
        prometheus.until(threads, Some(1.0)).await;
    });
}

/// A broker in whose metrics every family that it has shows, after some traffic.
///
/// Started outside of a test's time limit: it may have to be built.
fn start_busy() -> (Broker, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(["localhost".to_owned()]).expect("names");
    let certificate = params.self_signed(&key).expect("a certificate");
    let file = |name: &str, text: String| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (cert, key) = (
        file("cert.pem", certificate.pem()),
        file("key.pem", key.serialize_pem()),
    );
    let broker = Broker::start_with(&format!(
        "{CONFIG}\n[[listen]]\nuri = \"tls://127.0.0.1:0\"\n\
         tls = {{ cert = \"{cert}\", key = \"{key}\" }}\n\
         [[plugin]]\nname = \"canary\"\nfile = \"builtin:canary\"\n\
         [plugin.settings]\npercent = 100\nversion = \"canary\"\n"
    ));
    (broker, folder)
}

async fn busy(broker: &Broker) -> Vec<Requester> {
    let uri = broker.uri(Transport::Tcp);
    let app = responder(uri, "shop.Orders", "answer").await;
    let caller = requester(uri).await;
    wait_for(&caller, "shop.Orders.list").await;
    // The application has no stream to give; the broker counts that too.
    let stream = caller.request_stream(request("shop.Orders.list"), Credit::default());
    let _ = stream.await.expect("it is sent").next().await;
    let _ = caller.request_response(request("nobody.Here.at")).await;
    let page = broker.http().to_owned();
    exchange(
        &page,
        &format!("GET /metrics/app/nobody HTTP/1.0\r\nHost: {page}\r\n\r\n"),
    );
    until("a refusal is counted", || {
        metrics(broker).contains("jackfield_refused_total{")
    })
    .await;
    vec![app, caller]
}

/// The body of the page.
fn body(page: &str) -> &str {
    page.split_once("\r\n\r\n").map_or(page, |(_, body)| body)
}

/// Families that show only when something has happened that a short test does not bring about.
const ON_OCCASION: [&str; 10] = [
    "jackfield_auth_key_refreshes_total",
    "jackfield_auth_total",
    "jackfield_plugin_counter_total",
    "jackfield_plugin_events_dropped_total",
    "jackfield_plugin_gauge",
    "jackfield_plugin_shadow_total",
    "jackfield_pushes_total",
    "jackfield_sessions_total",
    "jackfield_http_calls_total",
    "jackfield_slow_peers_total",
];

#[test]
fn alerts_and_dashboard_name_what_there_is() {
    let (broker, _folder) = start_busy();
    run(async {
        let _apps = busy(&broker).await;
        let page = metrics(&broker);
        let families: BTreeSet<&str> = body(&page)
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .chain(ON_OCCASION)
            .collect();
        for file in [
            "ops/prometheus/jackfield.rules.yml",
            "ops/grafana/jackfield.json",
            "docs/metrics.md",
            "docs/runbook.md",
        ] {
            let text = fs::read_to_string(root().join(file)).expect(file);
            let names = names(&text);
            assert!(names.len() > 4, "{file} names hardly any metric");
            for name in names {
                let whole = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|part| name.strip_suffix(part))
                    .unwrap_or(&name);
                let known = families.contains(whole) || families.contains(name.as_str());
                assert!(known, "{file} names {name}, which is not in\n{page}");
            }
        }
        // And the other way round: what there is, is explained.
        let documented =
            names(&fs::read_to_string(root().join("docs/metrics.md")).expect("a page"));
        for family in families
            .iter()
            .filter(|name| name.starts_with("jackfield_"))
        {
            assert!(
                documented.contains(*family),
                "docs/metrics.md does not name {family}"
            );
        }
    });
}

/// Words that look like our metrics; those of the merged page stand on a page of their own.
fn names(text: &str) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(|c| !is_name(c))
        .filter(|word| word.starts_with("jackfield_") || word.starts_with("process_"))
        .filter(|word| !word.starts_with("jackfield_app_scrape_up") && !word.ends_with('_'))
        .filter(|word| *word != "jackfield_app_scrape_seconds")
        .map(str::to_owned)
        .collect()
}

#[test]
fn promtool_finds_nothing_wrong() {
    let Some(promtool) = tool("promtool", "promtool") else {
        return;
    };
    let (broker, _folder) = start_busy();
    run(async {
        let _apps = busy(&broker).await;
        let page = metrics(&broker);
        let mut check = Command::new(&promtool);
        check.args(["check", "metrics"]);
        assert_eq!(
            output(check, Some(body(&page))),
            (true, String::new()),
            "{page}"
        );
        // What passes our own pass, passes there too, and so does what `metrics scrape` prints.
        let text = "# TYPE a_total counter\na_total{job=\"x\"} 1\nb{c=\"\\q\"} NaN\n# TYPE s summary\n\
                    s_sum 1\ns_count 1\n# TYPE s_sum gauge\ns{quantile=\"0.5\"} 2\n";
        let _app = metered(
            &broker,
            "shop",
            move || async move { Ok(Message::new(text)) },
        )
        .await;
        until("it is a target", || {
            super::admin::admin(&broker, "GET", "/api/v1/metrics/targets", "")["targets"]
                .as_array()
                .is_some_and(|targets| !targets.is_empty())
        })
        .await;
        let mut scrape = Command::new(binary());
        scrape.args([
            "metrics",
            "scrape",
            "shop",
            "--json",
            "--admin",
            broker.admin(),
        ]);
        let token = fs::read_to_string(broker.folder().join("data/admin.token")).expect("a token");
        scrape.env("JACKFIELD_ADMIN_TOKEN", token.trim());
        // The application answers on this thread.
        let scraped = tokio::task::spawn_blocking(|| output(scrape, None));
        let (ok, printed) = scraped.await.expect("no panic");
        assert!(ok, "{printed}");
        let scraped: Value = serde_json::from_str(&printed).expect("JSON");
        let found = scraped["findings"].to_string();
        assert!(found.contains("a_total sets a label"), "{found}");
        assert!(found.contains("b has no TYPE"), "{found}");
        let page = scraped["page"].as_str().expect("text");
        let mut check = Command::new(&promtool);
        check.args(["check", "metrics"]);
        let (_, said) = output(check, Some(page));
        // Style is the application's; a parse error would be ours.
        assert!(!said.contains("error while linting"), "{said}\n{page}");
    });
    for arguments in [
        ["check", "config", "prometheus.yml"],
        ["test", "rules", "jackfield.rules.test.yml"],
    ] {
        let mut command = Command::new(&promtool);
        command
            .args(arguments)
            .current_dir(root().join("ops/prometheus"));
        let (ok, said) = output(command, None);
        assert!(ok, "{said}");
    }
}

/// Each alert has its page, and each page its alert.
#[test]
fn every_alert_has_a_page() {
    let read = |file: &str| fs::read_to_string(root().join(file)).expect(file);
    let rules = read("ops/prometheus/jackfield.rules.yml");
    let alerts: BTreeSet<&str> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    let runbook = read("docs/runbook.md");
    let pages: BTreeSet<&str> = runbook
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .filter(|title| title.starts_with("Jackfield"))
        .collect();
    assert_eq!(alerts, pages);
    for alert in alerts {
        let link = format!("docs/runbook.md#{}\n", alert.to_lowercase());
        assert!(rules.contains(&link), "{alert} links to no page");
    }
}
