//! Asks applications, one flight for each at a time, and remembers what they said for a moment.

use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt, future::join_all, stream};
use prometheus::Registry;
use tokio::{
    runtime,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch},
    time::{Instant, timeout_at},
};

use super::{
    Config, Scraped, Target, Unscraped, Why,
    asking::Asking,
    collectors::{Collectors, Way, failed},
    exposition::{Page, Rules, clean_shared},
    hearing,
    held::{Flight, Held, Outcome},
    last::LastWords,
    merged::merge,
    metrics::Metrics,
    review::review,
    target::is_plain,
};
use crate::{
    chain::{App, Chains, Format, Part, Payload, shown_app},
    directory::{AppView, Instance},
    relay::{Directory, Handle, NEWS_MAX, Relay},
};

/// One connection of an application.
type Connected = Arc<Instance<Arc<Handle>>>;

/// A page beyond this is read on a thread beside, so that the others' do not wait for it.
const PAGE_LARGE: usize = 256 << 10;
/// Threads for large pages.
const BESIDE: usize = 2;
/// Plugins are asked about so many applications at a time whether they know them.
const KNOWN_AT_ONCE: usize = 32;

/// The door of the room. Dropping it ends the thread; scrapes in flight end with it.
pub struct Scraper {
    desk: Arc<Desk>,
    runtime: runtime::Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What flights share.
pub(super) struct Desk {
    pub(super) config: Config,
    /// The broker's name.
    node: String,
    directory: Arc<Directory>,
    pub(super) collectors: Collectors,
    pub(super) asking: Asking,
    held: Mutex<Held>,
    last: Mutex<LastWords>,
    room: Arc<Semaphore>,
    pub(super) metrics: Metrics,
}

/// Where scrapers get what they need.
pub struct Parts<'r> {
    pub node: String,
    pub directory: Arc<Directory>,
    pub relay: Arc<Relay>,
    pub registry: &'r Registry,
    /// Its plugins are asked before the routes of the configuration.
    pub chains: Arc<Chains>,
}

impl Scraper {
    pub fn start(config: Config, parts: Parts<'_>) -> io::Result<Self> {
        let metrics = Metrics::register(parts.registry).map_err(io::Error::other)?;
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(BESIDE)
            .build()?;
        let (listener, news) = mpsc::channel(NEWS_MAX);
        parts.relay.hear(listener);
        let desk = Arc::new(Desk {
            node: parts.node,
            directory: parts.directory,
            collectors: Collectors::new(parts.chains, &config.routes),
            asking: Asking::new(parts.relay, config.limits.page),
            held: Mutex::default(),
            last: Mutex::default(),
            room: Arc::new(Semaphore::new(config.concurrency)),
            metrics,
            config,
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let handle = runtime.handle().clone();
        handle.spawn(hearing::listen(Arc::clone(&desk), news));
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
    pub async fn targets(&self, host: &str) -> Vec<Target> {
        let host = self.desk.config.advertise.as_deref().unwrap_or(host);
        let apps = self.desk.apps().await;
        apps.iter()
            .map(|app| Target::of(app, host, &self.desk.node))
            .collect()
    }

    /// One page for all applications, or those of a name. An application that gives none is on it as down.
    pub async fn all(&self, name: Option<&str>, within: Duration) -> Vec<u8> {
        let mut apps = self.desk.apps().await;
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
    /// Those that can be asked, and those that have left a last word.
    async fn apps(&self) -> Vec<AppView> {
        let mut instances = self.directory.instances();
        instances.retain(|instance| is_plain(&instance.app.uuid));
        self.held().gone(&instances);
        let known = stream::iter(instances).map(|instance| async move {
            let known = self.is_known(&instance).await;
            known.then(|| instance.view())
        });
        let known: Vec<_> = known.buffer_unordered(KNOWN_AT_ONCE).collect().await;
        let mut apps: Vec<AppView> = known.into_iter().flatten().collect();
        let mut last = self.last().apps(self.config.last);
        last.retain(|app| apps.iter().all(|other| other.uuid != app.uuid));
        apps.append(&mut last);
        apps.sort_by(|a, b| (&a.name, &a.uuid).cmp(&(&b.name, &b.uuid)));
        apps
    }

    /// Whether anybody knows how to ask it. What a plugin said is remembered for as long as the connection and the
    /// plugins are the same.
    async fn is_known(&self, instance: &Connected) -> bool {
        let generation = self.collectors.generation();
        if let Some(known) = self.held().known(instance, generation) {
            return known;
        }
        let app = Arc::new(shown_app(instance));
        match self.collectors.way(&app, self.config.timeout).await {
            Ok(way) => {
                let known = way.is_some();
                self.held().learned(instance, generation, known);
                known
            }
            // Whoever scrapes it will see what is wrong.
            Err(_) => true,
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last(&self) -> MutexGuard<'_, LastWords> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn app(
        self: Arc<Self>,
        runtime: &runtime::Handle,
        uuid: &str,
        within: Duration,
    ) -> Outcome {
        let end = Instant::now() + within.min(self.config.timeout);
        let instance = self.directory.instance(uuid);
        let Some(app) = instance.filter(|instance| is_plain(&instance.app.uuid)) else {
            let last = self.last().take(uuid, self.config.last);
            let unknown = "RST-300205: no such application is connected";
            return last.ok_or_else(|| Unscraped::new(Why::Unknown, unknown));
        };
        let mut flight = match self.clone().join(runtime, app, end)? {
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
        instance: Connected,
        end: Instant,
    ) -> Result<Joined, Unscraped> {
        let app = &instance.app;
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
            let asked = timeout_at(end, self.fly(&instance, end)).await;
            let outcome = asked.unwrap_or_else(|_| {
                let text = "the application did not answer in time";
                Err(Unscraped::new(Why::Timeout, text))
            });
            // Before the flight is forgotten, so that whoever comes next finds one or the other.
            if let Ok(page) = &outcome {
                self.keep(&instance, page);
            }
            drop(under_way);
            landing.send_replace(Some(outcome));
        });
        Ok(Joined::Flight(flight))
    }

    fn keep(&self, instance: &Connected, page: &Arc<Scraped>) {
        let app = &instance.app;
        let Config {
            cache, cache_bytes, ..
        } = self.config;
        let page = Arc::clone(page);
        self.held()
            .keep(&app.uuid, app.connected_at_ms, page, cache, cache_bytes);
    }

    /// Asks, and reads the answer.
    async fn fly(&self, instance: &Connected, end: Instant) -> Outcome {
        let began = Instant::now();
        let app = Arc::new(shown_app(instance));
        let way = self.collectors.way(&app, end - began).await?;
        let way = way.ok_or_else(|| self.nobody_knows())?;
        let (text, open) = self.answer(&app, &way).await?;
        let mut page = self.read(text, open).await?;
        if let Some(plugin) = way.plugin.filter(|_| way.question.review) {
            page = review(page, &plugin, &app).await?;
        }
        let mut scraped = page.finish();
        scraped.took = began.elapsed();
        self.metrics.asked(&scraped);
        Ok(Arc::new(scraped))
    }

    fn nobody_knows(&self) -> Unscraped {
        let routes = self.config.routes.join(", ");
        let text = format!("the application publishes nothing that is asked for metrics: {routes}");
        Unscraped::new(Why::Unknown, text)
    }

    /// What an application answers, as text; and whether that is OpenMetrics, if somebody said so.
    async fn answer(&self, app: &Arc<App>, way: &Way) -> Result<(Bytes, Option<bool>), Unscraped> {
        let replies = self.asking.ask(&app.uuid, &way.question).await?;
        let Some(plugin) = &way.plugin else {
            let reply = replies.into_iter().next();
            return Ok((reply.map(|reply| reply.data).unwrap_or_default(), None));
        };
        let mut parts = Vec::new();
        for reply in replies {
            let payload = Payload {
                metadata: reply.metadata.map(Into::into),
                data: reply.data.into(),
            };
            let context = way.question.context.as_slice().into();
            let read = plugin.read(app, context, payload).await;
            let part = read.map_err(|_| failed(plugin))?;
            parts.push(part.map_err(|text| Unscraped::new(Why::Page, text))?);
        }
        Ok(text_of(parts))
    }

    pub(super) async fn read(&self, text: Bytes, open: Option<bool>) -> Result<Page, Unscraped> {
        let (limits, timestamps) = (self.config.limits, self.config.timestamps);
        let large = text.len() > PAGE_LARGE;
        let read = move || {
            let rules = Rules {
                limits,
                timestamps,
                open,
                ..Rules::default()
            };
            clean_shared(&text, &rules)
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

/// Parts of a page as one, in the format of the first.
pub(super) fn text_of(parts: Vec<Part>) -> (Bytes, Option<bool>) {
    let open = parts.first().map(|part| part.format == Format::OpenMetrics);
    let mut texts = parts.into_iter().map(|part| part.text);
    let mut text = texts.next().unwrap_or_default();
    texts.for_each(|more| text.extend_from_slice(&more));
    (text.into(), open)
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
