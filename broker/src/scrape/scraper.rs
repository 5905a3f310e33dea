//! Asks applications, one flight for each at a time, and remembers what they said for a moment.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::join_all;
use jackfield_rsocket::endpoint::Message;
use prometheus::Registry;
use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    Collector, Config, Scraped, Target, TextCollector, Unscraped, Why,
    asking::Asking,
    exposition::{Limits, Merged, Page, Rules, clean},
    held::{Flight, Held, Outcome},
    metrics::Metrics,
    target::is_plain,
};
use crate::{
    directory::AppView,
    relay::{Directory, Relay},
};

/// A page beyond this is read on a thread beside, so that the others' do not wait for it.
const PAGE_LARGE: usize = 256 << 10;
/// Threads for large pages.
const BESIDE: usize = 2;
/// What our own families on the merged page are called.
const OURS: &str = "jackfield_app_scrape_";

/// The door of the room. Dropping it ends the thread; scrapes in flight end with it.
pub struct Scraper {
    desk: Arc<Desk>,
    runtime: runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What flights share.
struct Desk {
    config: Config,
    /// The broker's name.
    node: String,
    directory: Arc<Directory>,
    collectors: Vec<Arc<dyn Collector>>,
    asking: Asking,
    held: Mutex<Held>,
    room: Arc<Semaphore>,
    metrics: Metrics,
}

/// Where scrapers get what they need.
pub struct Parts<'r> {
    pub node: String,
    pub directory: Arc<Directory>,
    pub relay: Arc<Relay>,
    pub registry: &'r Registry,
    /// Asked before the one for text.
    pub collectors: Vec<Arc<dyn Collector>>,
}

impl Scraper {
    pub fn start(config: Config, parts: Parts<'_>) -> io::Result<Self> {
        let metrics = Metrics::register(parts.registry).map_err(io::Error::other)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BESIDE)
            .build()?;
        let mut collectors = parts.collectors;
        collectors.push(Arc::new(TextCollector::new(&config.routes)));
        let desk = Arc::new(Desk {
            node: parts.node,
            directory: parts.directory,
            collectors,
            asking: Asking::new(parts.relay, config.limits.page),
            held: Mutex::default(),
            room: Arc::new(Semaphore::new(config.concurrency)),
            metrics,
            config,
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        let thread = thread::Builder::new()
            .name("jackfield-scrape".into())
            .spawn(move || {
                // Resolves when the sender is dropped.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })?;
        Ok(Self {
            desk,
            runtime: handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    pub fn config(&self) -> &Config {
        &self.desk.config
    }

    /// The page of one application, or why there is none; within `within`, and within the configured time.
    pub async fn app(&self, uuid: &str, within: Duration) -> Outcome {
        let result = self.desk.clone().app(&self.runtime, uuid, within).await;
        self.desk.metrics.answered(&result);
        result
    }

    /// All applications that can be asked, in a stable order.
    pub fn targets(&self, host: &str) -> Vec<Target> {
        let host = self.desk.config.advertise.as_deref().unwrap_or(host);
        let apps = self.desk.apps();
        apps.iter()
            .map(|app| Target::of(app, host, &self.desk.node))
            .collect()
    }

    /// One page for all applications, or those of a name. An application that gives none is on it as down.
    pub async fn all(&self, name: Option<&str>, within: Duration) -> Vec<u8> {
        let mut apps = self.desk.apps();
        apps.retain(|app| name.is_none_or(|name| app.name == name));
        let asked = apps.iter().map(|app| self.app(&app.uuid, within));
        let outcomes = join_all(asked).await;
        let limit = self.desk.config.merged_bytes;
        let merging = self
            .runtime
            .spawn_blocking(move || merge(apps.iter().zip(outcomes), limit));
        // It fails only when the broker ends.
        merging.await.unwrap_or_default()
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread has been printed already.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Scraper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scraper").finish_non_exhaustive()
    }
}

impl Desk {
    fn apps(&self) -> Vec<AppView> {
        let mut apps = self.directory.apps();
        apps.retain(|app| is_plain(&app.uuid) && self.collector(app).is_some());
        apps
    }

    fn collector(&self, app: &AppView) -> Option<&Arc<dyn Collector>> {
        self.collectors
            .iter()
            .find(|collector| collector.covers(app))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn app(
        self: Arc<Self>,
        runtime: &runtime::Handle,
        uuid: &str,
        within: Duration,
    ) -> Outcome {
        let unknown = |text: String| Unscraped::new(Why::Unknown, text);
        let app = self
            .directory
            .app(uuid)
            .filter(|app| is_plain(&app.uuid))
            .ok_or_else(|| unknown("RST-300205: no such application is connected".into()))?;
        let Some(collector) = self.collector(&app).cloned() else {
            let routes = self.config.routes.join(", ");
            return Err(unknown(format!(
                "the application publishes nothing that is asked for metrics: {routes}"
            )));
        };
        let end = Instant::now() + within.min(self.config.timeout);
        let mut flight = match self.clone().join(runtime, app, collector, end)? {
            Joined::Page(page) => return Ok(page),
            Joined::Flight(flight) => flight,
        };
        let late = || Unscraped::new(Why::Timeout, "the application did not answer in time");
        let landed = timeout_at(end, flight.wait_for(Option::is_some)).await;
        match landed.map_err(|_| late())? {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(late())),
            Err(_) => Err(Unscraped::new(Why::Overload, "the scrape was given up")),
        }
    }

    /// The page of a moment ago, the flight that is under way, or a new one.
    fn join(
        self: Arc<Self>,
        runtime: &runtime::Handle,
        app: AppView,
        collector: Arc<dyn Collector>,
        end: Instant,
    ) -> Result<Joined, Unscraped> {
        let mut held = self.held();
        if let Some(page) = held.page(&app.uuid, app.connected_at_ms, self.config.cache) {
            return Ok(Joined::Page(page));
        }
        if let Some(flight) = held.flight(&app.uuid) {
            return Ok(Joined::Flight(flight));
        }
        let permit = Arc::clone(&self.room).try_acquire_owned().map_err(|_| {
            let text = "metrics.concurrency applications are being asked already";
            Unscraped::new(Why::Overload, text)
        })?;
        let (landing, flight) = watch::channel(None);
        held.took_off(&app.uuid, flight.clone());
        drop(held);
        let under_way = UnderWay {
            desk: Arc::clone(&self),
            uuid: app.uuid.clone(),
            _permit: permit,
        };
        runtime.spawn(async move {
            let asked = timeout_at(end, self.fly(&app, collector)).await;
            let outcome = asked.unwrap_or_else(|_| {
                let text = "the application did not answer in time";
                Err(Unscraped::new(Why::Timeout, text))
            });
            // Before the flight is forgotten, so that whoever comes next finds one or the other.
            if let Ok(page) = &outcome {
                self.keep(&app, page);
            }
            drop(under_way);
            landing.send_replace(Some(outcome));
        });
        Ok(Joined::Flight(flight))
    }

    fn keep(&self, app: &AppView, page: &Arc<Scraped>) {
        let Config {
            cache, cache_bytes, ..
        } = self.config;
        let page = Arc::clone(page);
        self.held()
            .keep(&app.uuid, app.connected_at_ms, page, cache, cache_bytes);
    }

    /// Asks, and reads the answer.
    async fn fly(&self, app: &AppView, collector: Arc<dyn Collector>) -> Outcome {
        let began = Instant::now();
        let question = collector.question(app).await;
        let question = question.map_err(|text| Unscraped::new(Why::App, text))?;
        let reply: Message = self.asking.ask(&app.uuid, question).await?;
        let text = collector.text(app, reply).await;
        let text = text.map_err(|text| Unscraped::new(Why::Page, text))?;
        let mut page = self.read(text).await?;
        let findings = std::mem::take(&mut page.findings);
        let scraped = Arc::new(Scraped {
            page: page.render().into(),
            series: page.series,
            took: began.elapsed(),
            findings,
            findings_left_out: page.findings_left_out,
        });
        self.metrics.asked(&scraped);
        Ok(scraped)
    }

    async fn read(&self, text: Bytes) -> Result<Page, Unscraped> {
        let (limits, timestamps) = (self.config.limits, self.config.timestamps);
        let large = text.len() > PAGE_LARGE;
        let read = move || {
            let rules = Rules {
                limits,
                timestamps,
                ..Rules::default()
            };
            clean(&text, &rules)
        };
        let read = match large {
            true => tokio::task::spawn_blocking(read)
                .await
                .map_err(|_| Unscraped::new(Why::Overload, "the broker ends"))?,
            false => read(),
        };
        read.map_err(|refused| Unscraped::new(Why::Page, refused.to_string()))
    }
}

enum Joined {
    Page(Arc<Scraped>),
    Flight(Flight),
}

/// Forgets the flight however it ends.
struct UnderWay {
    desk: Arc<Desk>,
    uuid: String,
    _permit: OwnedSemaphorePermit,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.desk.held().landed(&self.uuid);
    }
}

/// The pages of several applications as one, and what became of each.
fn merge<'a>(outcomes: impl Iterator<Item = (&'a AppView, Outcome)>, limit: usize) -> Vec<u8> {
    let mut merged = Merged::default();
    let mut left = limit;
    for (app, outcome) in outcomes {
        let add = [("job", app.name.as_str()), ("instance", app.uuid.as_str())];
        let rules = Rules {
            // What has passed once passes again, with the labels that are added.
            limits: Limits::ENDLESS,
            timestamps: true,
            add: &add,
            ..Rules::default()
        };
        let page = outcome.ok().and_then(|scraped| {
            let mut page = clean(&scraped.page, &rules).ok()?;
            page.families
                .retain(|family| !family.name.starts_with(OURS));
            let size = page.render().len();
            left = left.checked_sub(size)?;
            Some((page, scraped.took))
        });
        let (up, took) = page
            .as_ref()
            .map_or((0, 0.0), |page| (1, page.1.as_secs_f64()));
        let about = format!(
            "# HELP {OURS}up Whether the application gave a page.\n# TYPE {OURS}up gauge\n{OURS}up {up}\n\
             # HELP {OURS}seconds How long it took.\n# TYPE {OURS}seconds gauge\n{OURS}seconds {took}\n"
        );
        for page in [
            clean(about.as_bytes(), &rules).ok(),
            page.map(|page| page.0),
        ] {
            page.into_iter().for_each(|page| merged.add(page));
        }
    }
    merged.finish().render()
}
