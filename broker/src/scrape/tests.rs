//! The scraper over a real relay, with applications of our own at the far ends.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt;
use jackfield_rsocket::{
    endpoint::{ConnectOptions, Credit, Failure, Message, Requester, Responder, connect},
    metadata::{AppMetadata, Route},
    net::ListenOptions,
};
use prometheus::Registry;
use tokio::sync::Notify;

use super::*;
use crate::{
    chain::Chains,
    directory::AppView,
    identity::{self, Identity},
    relay::{self, Directory, Listening, Relay},
};

/// A page of this many bytes.
pub(crate) fn scraped(len: usize) -> Arc<Scraped> {
    Arc::new(Scraped {
        page: vec![b'x'; len].into(),
        series: 1,
        took: Duration::ZERO,
        findings: Vec::new(),
        findings_left_out: 0,
    })
}

/// An application of this uuid.
pub(crate) fn view(uuid: &str) -> AppView {
    AppView {
        id: 1,
        uuid: uuid.into(),
        name: format!("app-{uuid}"),
        ip: String::new(),
        remote: String::new(),
        transport: "tcp",
        sdk: None,
        connected_at_ms: 0,
        status: Default::default(),
        power: 1,
        services: Vec::new(),
        metadata: BTreeMap::new(),
        in_flight: 0,
    }
}

const LONG: Duration = Duration::from_secs(60);

/// A broker's rooms without its faces; also for the tests of those.
pub(crate) struct World {
    relay: Arc<Relay>,
    directory: Arc<Directory>,
    pub(crate) scraper: Arc<Scraper>,
    registry: Registry,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            timeout: LONG,
            cache: Duration::from_nanos(1),
            ..Config::default()
        };
        change(&mut config);
        let registry = Registry::new();
        let directory = Arc::<Directory>::default();
        let chains = Arc::new(Chains::new(&registry).unwrap());
        let relay = Relay::start(
            relay::Config {
                threads: 1,
                limits: relay::Limits::default(),
                routing: relay::Routing::default(),
            },
            directory.clone(),
            chains.clone(),
            Arc::new(Identity::new(identity::Config::default(), &registry).unwrap()),
            Arc::new(relay::Metrics::register(&registry).unwrap()),
        );
        let relay = Arc::new(relay.unwrap());
        let parts = Parts {
            node: "test".into(),
            directory: directory.clone(),
            relay: relay.clone(),
            registry: &registry,
            chains,
        };
        let scraper = Arc::new(Scraper::start(config, parts).unwrap());
        Self {
            relay,
            directory,
            scraper,
            registry,
        }
    }

    /// An application that answers for its metrics with `answer`.
    pub(crate) async fn app<F, R>(&self, uuid: &str, answer: F) -> Requester
    where
        F: Fn(Message) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Message, Failure>> + Send + 'static,
    {
        self.publishing(uuid, "jackfield.Metrics", answer).await
    }

    async fn publishing<F, R>(&self, uuid: &str, service: &str, answer: F) -> Requester
    where
        F: Fn(Message) -> R + Send + Sync + 'static,
        R: Future<Output = Result<Message, Failure>> + Send + 'static,
    {
        let mut app = AppMetadata::named(format!("app-{uuid}"));
        app.uuid = Some(uuid.into());
        let mut options = ConnectOptions::new().publish(service).unwrap();
        options.app = Some(app);
        let options = options.serve(Responder::new().response(answer));
        // Through a socket: whoever joins from inside is taken for part of the broker.
        let uri = "tcp://127.0.0.1:0".parse().unwrap();
        let listening = self.relay.listen(&uri, &ListenOptions::default()).await;
        let listening = listening.unwrap();
        let requester = connect(listening.uri(), options).await.unwrap();
        while self.directory.app(uuid).is_none() {
            tokio::task::yield_now().await;
        }
        self.directory.publish();
        requester
    }

    async fn page(&self, uuid: &str) -> Result<String, (Why, String)> {
        let outcome = self.scraper.app(uuid, LONG).await;
        let page = outcome.map_err(|error| (error.why, error.text))?;
        Ok(String::from_utf8(page.page.to_vec()).unwrap())
    }

    /// Who connects and says nothing of himself, and where.
    async fn anonymous(&self) -> (Requester, Listening) {
        let uri = "tcp://127.0.0.1:0".parse().unwrap();
        let listening = self.relay.listen(&uri, &ListenOptions::default()).await;
        let listening = listening.unwrap();
        let options = ConnectOptions::new();
        let requester = connect(listening.uri(), options).await.unwrap();
        (requester, listening)
    }

    fn scrapes(&self, outcome: &str) -> f64 {
        self.count("jackfield_app_scrapes_total", outcome)
    }

    fn count(&self, name: &str, outcome: &str) -> f64 {
        let families = self.registry.gather();
        let family = families
            .iter()
            .find(|family| family.name() == name)
            .unwrap();
        let is = |metric: &&prometheus::proto::Metric| metric.get_label()[0].value() == outcome;
        let metric = family.get_metric().iter().find(is).unwrap();
        metric.get_counter().get_value()
    }
}

#[tokio::test]
async fn each_application_is_asked_for_its_own() {
    let world = World::new();
    let mut apps = Vec::new();
    for uuid in ["one", "two", "three"] {
        let answer = move |request: Message| async move {
            // It sees the route and nothing of how it was found.
            assert_eq!(request.route(), Some("jackfield.Metrics.scrape"));
            assert_eq!(request.tags().count(), 1);
            let page = format!("who{{job=\"forged\",is=\"{uuid}\"}} 1\n");
            Ok(Message::new(page))
        };
        apps.push(world.app(uuid, answer).await);
    }
    for uuid in ["one", "two", "three"] {
        let expected = format!("who{{exported_job=\"forged\",is=\"{uuid}\"}} 1\n");
        assert_eq!(world.page(uuid).await, Ok(expected));
    }
    let targets = world.scraper.targets("h:1").await;
    let instances: Vec<&str> = targets
        .iter()
        .map(|target| target.labels["instance"].as_str())
        .collect();
    assert_eq!(instances, ["one", "three", "two"]);
    assert_eq!(world.scrapes("ok"), 3.0);
}

#[tokio::test]
async fn every_reason_is_told_apart() {
    let world = World::with(|config| config.limits.page = 100);
    let told = async |uuid: &str, answer: Result<Message, Failure>| {
        let _app = world
            .app(uuid, move |_| std::future::ready(answer.clone()))
            .await;
        world.page(uuid).await.unwrap_err()
    };
    let (why, text) = told("fails", Err(Failure::application("no registry"))).await;
    assert_eq!(why, Why::App);
    assert!(text.ends_with("no registry"), "{text}");
    let (why, _) = told("busy", Err(Failure::rejected("later"))).await;
    assert_eq!(why, Why::Overload);
    let (why, text) = told("html", Ok(Message::new("<html>"))).await;
    assert_eq!(
        (why, text.as_str()),
        (Why::Page, "line 1: no metric name: \"<html>\"")
    );
    let (why, text) = told("large", Ok(Message::new("a 1\n".repeat(1000)))).await;
    assert_eq!(why, Why::Page);
    assert!(text.contains("page-bytes"), "{text}");

    let (why, text) = world.page("nobody").await.unwrap_err();
    assert_eq!(why, Why::Unknown);
    assert!(text.starts_with("RST-300205"), "{text}");
    let _mute = world
        .publishing("mute", "com.example.Orders", async |_| Ok(Message::new("")))
        .await;
    let (why, text) = world.page("mute").await.unwrap_err();
    assert_eq!(why, Why::Unknown);
    assert!(text.contains("jackfield.Metrics.scrape"), "{text}");
    assert!(
        world
            .scraper
            .targets("h:1")
            .await
            .iter()
            .all(|it| it.labels["instance"] != "mute")
    );
    assert_eq!(world.scrapes("bad_page"), 2.0);
    assert_eq!(world.scrapes("unknown"), 2.0);
}

#[tokio::test]
async fn one_that_hangs_is_given_up_and_delays_nobody() {
    let world = World::new();
    let dropped = Arc::new(Notify::new());
    let hangs = {
        let dropped = dropped.clone();
        move |_| {
            let notice = NotifyOnDrop(dropped.clone());
            async move {
                std::future::pending::<()>().await;
                drop(notice);
                Ok(Message::new(""))
            }
        }
    };
    let _hung = world.app("hung", hangs).await;
    let _fine = world.app("fine", async |_| Ok(Message::new("a 1\n"))).await;
    let hung = world.scraper.app("hung", Duration::from_millis(50));
    let fine = async {
        for _ in 0..10 {
            assert_eq!(world.page("fine").await.as_deref(), Ok("a 1\n"));
        }
    };
    let (hung, ()) = tokio::join!(hung, fine);
    assert_eq!(hung.unwrap_err().why, Why::Timeout);
    // The application is told.
    dropped.notified().await;
}

struct NotifyOnDrop(Arc<Notify>);

impl Drop for NotifyOnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn however_many_ask_the_application_is_asked_once() {
    let world = World::with(|config| config.cache = LONG);
    let asked = Arc::new(AtomicUsize::new(0));
    let go = Arc::new(Notify::new());
    let answer = {
        let (asked, go) = (asked.clone(), go.clone());
        move |_| {
            let (asked, go) = (asked.clone(), go.clone());
            async move {
                let turn = asked.fetch_add(1, Ordering::SeqCst);
                go.notified().await;
                Ok(Message::new(format!("turn {turn}\n")))
            }
        }
    };
    let app = world.app("u", answer).await;
    let ask = || world.page("u");
    let wait = async {
        while asked.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        go.notify_one();
    };
    let (a, b, c, ()) = tokio::join!(ask(), ask(), ask(), wait);
    for page in [a, b, c, ask().await] {
        assert_eq!(page.as_deref(), Ok("turn 0\n"));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // A page of a moment ago is no answer for an application that has gone.
    app.close();
    while world.directory.app("u").is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.page("u").await.unwrap_err().0, Why::Unknown);
}

#[tokio::test]
async fn beyond_the_limit_it_is_busy() {
    let world = World::with(|config| config.concurrency = 1);
    let asked = Arc::new(Notify::new());
    let answer = {
        let asked = asked.clone();
        move |_| {
            asked.notify_one();
            std::future::pending()
        }
    };
    let _hung = world.app("hung", answer).await;
    let _fine = world.app("fine", async |_| Ok(Message::new("a 1\n"))).await;
    let hung = world.scraper.app("hung", Duration::from_millis(200));
    let fine = async {
        asked.notified().await;
        assert_eq!(world.page("fine").await.unwrap_err().0, Why::Overload);
    };
    let (hung, ()) = tokio::join!(hung, fine);
    assert_eq!(hung.unwrap_err().why, Why::Timeout);
    while world.page("fine").await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_merged_page_says_who_is_down_and_nobody_forges() {
    let world = World::new();
    let _a = world
        .app("a", async |_| {
            Ok(Message::new(
                "# TYPE x gauge\nx{instance=\"b\"} 1\njackfield_app_scrape_up 7\n",
            ))
        })
        .await;
    let _b = world
        .app("b", async |_| Ok(Message::new("# TYPE x gauge\nx 2\n")))
        .await;
    let _c = world
        .app("c", async |_| Err(Failure::application("no")))
        .await;
    let page = String::from_utf8(world.scraper.all(None, LONG).await).unwrap();
    let ours = |line: &&str| !line.starts_with('#') && !line.contains("_seconds");
    let lines: Vec<&str> = page.lines().filter(ours).collect();
    assert_eq!(
        lines,
        [
            "jackfield_app_scrape_up{job=\"app-a\",instance=\"a\"} 1",
            "jackfield_app_scrape_up{job=\"app-b\",instance=\"b\"} 1",
            "jackfield_app_scrape_up{job=\"app-c\",instance=\"c\"} 0",
            "x{job=\"app-a\",instance=\"a\",exported_instance=\"b\"} 1",
            "x{job=\"app-b\",instance=\"b\"} 2",
        ]
    );
    let page = String::from_utf8(world.scraper.all(Some("app-b"), LONG).await).unwrap();
    assert!(
        page.contains("x{job=\"app-b\"") && !page.contains("app-a"),
        "{page}"
    );
}

#[tokio::test(start_paused = true)]
async fn pages_are_forgotten_by_age_and_by_size() {
    use super::held::Held;

    let mut held = Held::default();
    let second = Duration::from_secs(1);
    let keep = |held: &mut Held, uuid: &str, len| held.keep(uuid, 7, scraped(len), second, 100);
    keep(&mut held, "a", 40);
    assert!(held.page("a", 7, second).is_some());
    assert!(
        held.page("a", 8, second).is_none(),
        "of an earlier connection"
    );
    keep(&mut held, "a", 50);
    keep(&mut held, "b", 50);
    assert_eq!(held.sizes(), (0, 2, 100));
    keep(&mut held, "c", 1);
    assert_eq!(held.sizes(), (0, 2, 51));
    keep(&mut held, "d", 1000);
    assert_eq!(held.sizes(), (0, 0, 0));
    keep(&mut held, "a", 40);
    tokio::time::advance(second).await;
    assert!(held.page("a", 7, second).is_none());
    keep(&mut held, "b", 10);
    assert_eq!(held.sizes(), (0, 1, 10));
}

#[test]
fn routes_are_services_and_methods() {
    for (route, service) in [
        ("jackfield.Metrics.scrape", Some("jackfield.Metrics")),
        ("g!a.b:1", Some("g!a:1")),
        ("a", None),
        ("", None),
        ("a.b?e=uuid:x", None),
    ] {
        assert_eq!(service_of(route).as_deref(), service, "{route}");
    }
    assert!(ROUTES.iter().all(|route| service_of(route).is_some()));
    assert_eq!(Route::parse(ROUTES[1]).method, "scrape");
}

/// An application that has said its last word is down only when that has been heard.
#[tokio::test]
async fn last_words_are_served_once() {
    let world = World::new();
    let app = world.app("u", async |_| Ok(Message::new("a 1\n"))).await;
    let last = Message::new("# TYPE a gauge\na{job=\"x\"} 2\n");
    let last = last.to("jackfield.LastMetrics").unwrap();
    app.request_response(last).await.unwrap();
    let kept = |outcome: &str| world.count("jackfield_app_last_metrics_total", outcome);
    while kept("kept") == 0.0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.page("u").await.as_deref(), Ok("a 1\n"), "it lives");
    app.close();
    while world.directory.app("u").is_some() {
        tokio::task::yield_now().await;
    }
    let targets = world.scraper.targets("h:1").await;
    assert_eq!(targets[0].labels["instance"], "u");
    let page = world.page("u").await;
    assert_eq!(
        page.as_deref(),
        Ok("# TYPE a gauge\na{exported_job=\"x\"} 2\n")
    );
    assert_eq!(world.page("u").await.unwrap_err().0, Why::Unknown);
    assert!(world.scraper.targets("h:1").await.is_empty());
}

/// What is no page is not kept, and whoever comes back is asked himself.
#[tokio::test]
async fn last_words_give_way_to_the_living() {
    let world = World::with(|config| config.last_bytes = 100);
    let app = world.app("u", async |_| Ok(Message::new("a 1\n"))).await;
    let say = |text: String| {
        let last = Message::new(text).to("jackfield.LastMetrics").unwrap();
        app.fire_and_forget(last)
    };
    let of = |outcome: &str| world.count("jackfield_app_last_metrics_total", outcome);
    for (text, refused) in [("<html>".to_owned(), 1.0), ("b 1\n".repeat(100), 1.0)] {
        let before = of("refused");
        say(text).await.unwrap();
        // The second has one series a hundred times, which is one.
        while of("refused") + of("kept") < before + refused {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!((of("refused"), of("kept")), (1.0, 1.0));
    app.close();
    while world.directory.app("u").is_some() {
        tokio::task::yield_now().await;
    }
    let _again = world.app("u", async |_| Ok(Message::new("a 3\n"))).await;
    assert_eq!(world.page("u").await.as_deref(), Ok("a 3\n"));
}

/// Who is nobody has no last words, and a stream is no way to say them.
#[tokio::test]
async fn not_everything_is_a_last_word() {
    let world = World::new();
    let app = world.app("u", async |_| Ok(Message::new("a 1\n"))).await;
    let (nobody, _listening) = world.anonymous().await;
    let last = || Message::new("a 1\n").to("jackfield.LastMetrics").unwrap();
    let error = nobody.request_response(last()).await.unwrap_err();
    assert!(error.to_string().contains("no application's"), "{error}");
    let stream = app.request_stream(last(), Credit::default()).await;
    let error = stream.unwrap().next().await.unwrap().unwrap_err();
    assert!(error.to_string().contains("streams nothing"), "{error}");
}
