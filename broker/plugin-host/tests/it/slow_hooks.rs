//! The hooks that may wait: what they see and decide, what they cost, and what becomes of those that misbehave.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use jackfield_plugin_host::{
    Admission, App, Applicant, Asking, Capability, Compiler, Counter, Credential, Engine, Event,
    Family, FamilyKind, Format, Gauge, Happening, Header, HostCalls, HttpFailure, HttpRequest,
    HttpResponse, Level, Limits, Payload, Plugin, PluginError, Rights, Scrape, Settings,
    SlowInstance, Treatment, Waiting,
};

use crate::guests::Guest;

const DEADLINE: Duration = Duration::from_millis(20);

/// Answers every HTTP request after a while.
#[derive(Default)]
struct Host {
    asked: Mutex<Vec<(String, String)>>,
    lines: Mutex<Vec<String>>,
    wait: Duration,
}

impl HostCalls for Host {
    fn log(&self, _: &str, _: Level, message: &str) {
        self.lines.lock().unwrap().push(message.to_owned());
    }

    fn counter(&self, _: &str, _: &str) -> Option<Arc<dyn Counter>> {
        None
    }

    fn gauge(&self, _: &str, _: &str) -> Option<Arc<dyn Gauge>> {
        None
    }

    fn http(&self, plugin: &str, request: HttpRequest) -> Waiting<HttpResponse, HttpFailure> {
        let asked = (plugin.to_owned(), request.url);
        self.asked.lock().unwrap().push(asked);
        let wait = self.wait;
        Box::pin(async move {
            tokio::time::sleep(wait).await;
            Ok(HttpResponse {
                status: 204,
                headers: Vec::new(),
                body: Vec::new(),
            })
        })
    }
}

pub(crate) struct Fixture {
    pub(crate) instance: SlowInstance,
    host: Arc<Host>,
    memory: Arc<AtomicU64>,
    _engine: Engine,
}

pub(crate) async fn start(guest: &Guest, wait: Duration) -> Result<Fixture, PluginError> {
    let engine = Engine::new();
    let plugin = Plugin::load(
        &engine,
        &Compiler::here(),
        &guest.component(),
        &Capability::ALL,
    )?;
    let host = Arc::new(Host {
        wait,
        ..Host::default()
    });
    let settings = Settings {
        name: "guest".into(),
        json: "{}".into(),
        limits: Limits {
            deadline: DEADLINE,
            memory: 16 * 65_536,
        },
        host: Arc::clone(&host) as Arc<dyn HostCalls>,
        kv: Arc::default(),
    };
    let memory = Arc::default();
    Ok(Fixture {
        instance: SlowInstance::start(&plugin, &settings, Arc::clone(&memory)).await?,
        host,
        memory,
        _engine: engine,
    })
}

/// The sixteen words of an applicant; the first is the address of the app's name.
fn authenticates(body: &str) -> Guest {
    let words: String = (2..16).map(|n| format!("(param $p{n} i32) ")).collect();
    let signature = format!("(param $app i32) (param $app_len i32) {words}(result i32)");
    Guest::without_hooks()
        .pages(2)
        .hook("with-authenticator", "authenticate", &signature, body)
}

fn applicant() -> Applicant {
    Applicant {
        app: "shop".into(),
        credentials: vec![Credential::Bearer("secret".into())],
        ..Applicant::default()
    }
}

/// `admit` with the name at 4096, one attribute, the rights call and observe, for a minute.
fn admits(body: &str) -> Guest {
    authenticates(&format!("{body} (i32.const 3072)"))
        .data(4096, b"someone")
        .words(4104, &[4096, 4, 4096, 7])
        .words(3072, &[1, 0, 4096, 7, 4104, 1, 0x0501, 0, 60, 0])
}

#[tokio::test]
async fn a_principal_arrives_whole() {
    let mut it = start(&admits(""), Duration::ZERO).await.unwrap();
    for _ in 0..3 {
        let admission = it.instance.authenticate(&applicant()).await.unwrap();
        let Admission::Admit(principal) = admission else {
            panic!("{admission:?}")
        };
        assert_eq!(principal.name, "someone");
        assert_eq!(principal.attributes, [("some".into(), "someone".into())]);
        assert_eq!(principal.expires, Some(Duration::from_secs(60)));
        let rights = Rights {
            call: true,
            publish: false,
            observe: true,
        };
        assert_eq!(principal.rights, Some(rights));
    }
}

#[tokio::test]
async fn an_applicant_is_seen() {
    // Refuses with the name of the app.
    let guest = authenticates(
        "(i32.store (i32.const 3072) (i32.const 2))
        (i32.store (i32.const 3080) (i32.const 0x301))
        (i32.store (i32.const 3084) (local.get $app))
        (i32.store (i32.const 3088) (local.get $app_len))
        (i32.const 3072)",
    );
    let mut it = start(&guest, Duration::ZERO).await.unwrap();
    let admission = it.instance.authenticate(&applicant()).await.unwrap();
    assert!(
        matches!(&admission, Admission::Refuse(refusal) if refusal.text == "shop"),
        "{admission:?}"
    );
    let error = it.instance.on_events(&[], 0).await.unwrap_err();
    assert!(matches!(error, PluginError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn an_endless_loop_is_killed_and_lets_others_run() {
    let guest = authenticates("(loop $for_ever (br $for_ever)) (unreachable)");
    let mut it = start(&guest, Duration::ZERO).await.unwrap();
    // On the same thread: it could not count if the loop did not yield.
    let mut turns = 0;
    let applicant = applicant();
    let error = tokio::select! {
        biased;
        result = it.instance.authenticate(&applicant) => result.unwrap_err(),
        () = async { loop { turns += 1; tokio::task::yield_now().await } } => unreachable!(),
    };
    assert!(
        matches!(error, PluginError::Deadline { limit } if limit == DEADLINE),
        "{error}"
    );
    assert!(turns > 2, "{turns}");
    assert!(it.instance.is_broken());
}

/// Asks for a URL; what comes back lies at 3200.
const FETCH: &str = "(call $send (i32.const 4096) (i32.const 3) (i32.const 4099) (i32.const 8)
    (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3200))";

fn fetches() -> Guest {
    let signature = "(param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)";
    let body = format!("{FETCH} (if (i32.load8_u (i32.const 3200)) (then (unreachable)))");
    authenticates(&format!("{body} (i32.const 3072)"))
        .include("with-http")
        .import("http", "send", "send", signature)
        .data(4096, b"GEThttp://a")
}

#[tokio::test(start_paused = true)]
async fn waiting_is_not_counted() {
    let mut it = start(&fetches(), Duration::from_secs(3_600)).await.unwrap();
    let admission = it.instance.authenticate(&applicant()).await.unwrap();
    assert_eq!(admission, Admission::Abstain);
    let asked = it.host.asked.lock().unwrap().clone();
    assert_eq!(asked, [("guest".to_owned(), "http://a".to_owned())]);
    assert!(!it.instance.is_broken());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_breaks_its_instance() {
    let mut it = start(&fetches(), Duration::from_secs(3_600)).await.unwrap();
    let applicant = applicant();
    let called = it.instance.authenticate(&applicant);
    let gone = tokio::time::timeout(Duration::from_secs(1), called).await;
    assert!(gone.is_err() && it.instance.is_broken());
    drop(it.instance);
    assert_eq!(it.memory.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn traps_memory_and_recursion_end_only_the_call() {
    for (bad, kind) in [
        ("(unreachable)", "trap"),
        ("(drop (call $recurse (i32.const 0)))", "trap"),
        (
            "(loop $more (if (i32.eq (memory.grow (i32.const 4)) (i32.const -1)) (then (unreachable))) (br $more))",
            "memory",
        ),
    ] {
        let guest = admits(bad).functions(
            "(func $recurse (param i32) (result i32) (call $recurse (i32.add (local.get 0) (i32.const 1))))",
        );
        let mut it = start(&guest, Duration::ZERO).await.unwrap();
        let error = it.instance.authenticate(&applicant()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(it.instance.is_broken());
    }
}

#[tokio::test]
async fn nonsense_and_giants_are_refused() {
    // A principal without a name.
    let nameless = authenticates("(i32.const 3072)").words(3072, &[1, 0, 4096, 0]);
    let mut it = start(&nameless, Duration::ZERO).await.unwrap();
    let error = it.instance.authenticate(&applicant()).await.unwrap_err();
    assert!(matches!(error, PluginError::Answer(_)), "{error}");
    assert!(!it.instance.is_broken(), "it ended its call in order");
    // A thousand attributes, each a view of the same 64 KiB.
    let views: Vec<u32> = [65_536, 65_536, 65_536, 65_536].repeat(250);
    let giant = authenticates("(i32.const 3072)")
        .words(8192, &views)
        .words(3072, &[1, 0, 4096, 7, 8192, 250]);
    let mut it = start(&giant, Duration::ZERO).await.unwrap();
    let error = it.instance.authenticate(&applicant()).await.unwrap_err();
    assert!(
        matches!(&error, PluginError::Trap(why) if why.contains("handed over more than")),
        "{error}"
    );
}

#[tokio::test]
async fn a_start_that_fails_is_told() {
    for (body, kind) in [
        (
            "(loop $for_ever (br $for_ever)) (i32.const 1024)",
            "deadline",
        ),
        ("(unreachable)", "trap"),
    ] {
        let guest = admits("").configure(body);
        let error = start(&guest, Duration::ZERO).await.err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
    }
}

fn collects() -> Guest {
    let one = "(param i32) (result i32)";
    let world = "with-metrics-collector";
    Guest::without_hooks()
        .pages(2)
        .data(4096, b"metrics up 1\njob")
        // Some question: request/response to the route "metrics", context "up", a review.
        .words(3072, &[1, 0, 1, 4096, 7, 0, 0, 4104, 2, 1])
        // A part: text, "up 1\n".
        .words(3136, &[0, 0, 4104, 5])
        // A family is dropped.
        .words(3200, &[1])
        // Nothing of a push is kept.
        .hook(world, "greet", one, "(i32.const 3264)")
        .hook(world, "ask", one, "(i32.const 3072)")
        .hook(world, "read", one, "(i32.const 3136)")
        .hook(world, "on-family", one, "(i32.const 3200)")
        .hook(world, "on-push", one, "(i32.const 3264)")
}

#[tokio::test]
async fn a_collector_asks_reads_and_reviews() {
    let mut it = start(&collects(), Duration::ZERO).await.unwrap();
    let app = App::default();
    let scrape = Scrape {
        deadline_ms: 9_500,
        accepts: vec![Format::OpenMetrics, Format::Text],
    };
    assert_eq!(it.instance.greet(&app).await.unwrap(), None);
    let question = it.instance.ask(&app, &scrape).await.unwrap().unwrap();
    assert_eq!(question.asking, Asking::RequestResponse);
    assert_eq!(question.header, Header::Route("metrics".into()));
    assert!(question.review);
    let reply = Payload {
        metadata: None,
        data: b"{}".to_vec(),
    };
    let part = it.instance.read(&app, &question.context, reply.clone());
    let part = part.await.unwrap().unwrap();
    assert_eq!((part.format, &*part.text), (Format::Text, &b"up 1\n"[..]));
    let family = Family {
        name: "up".into(),
        kind: FamilyKind::Gauge,
        help: String::new(),
        unit: String::new(),
        samples: 1,
    };
    let treatment = it.instance.on_family(&app, &family).await.unwrap();
    assert_eq!(treatment, Treatment::Drop);
    assert_eq!(it.instance.on_push(&app, reply).await.unwrap(), Ok(None));
}

#[tokio::test]
async fn events_arrive_in_one_batch() {
    // Logs how many letters the number of events and the number dropped have: "xxx" is three.
    let guest = Guest::without_hooks()
        .include("with-log")
        .import("log", "write", "log", "(param i32 i32 i32)")
        .data(4096, b"xxxxxxxxxx")
        .hook(
            "with-events",
            "on-events",
            "(param $events i32) (param $len i32) (param $dropped i64)",
            "(call $log (i32.const 2) (i32.const 4096)
                (i32.add (local.get $len) (i32.wrap_i64 (local.get $dropped))))",
        );
    let mut it = start(&guest, Duration::ZERO).await.unwrap();
    let event = |sequence| Event {
        sequence,
        at: SystemTime::UNIX_EPOCH,
        what: Happening::DrainEnded,
    };
    it.instance
        .on_events(&[event(1), event(2)], 3)
        .await
        .unwrap();
    assert_eq!(*it.host.lines.lock().unwrap(), ["xxxxx"]);
}
