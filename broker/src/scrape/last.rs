//! The last metrics of applications that have gone: kept for a while, served once more, then gone.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::time::Instant;

use super::Scraped;
use crate::directory::AppView;

#[derive(Debug, Default)]
pub(super) struct LastWords {
    kept: HashMap<String, Last>,
    bytes: usize,
    /// Whose words are being read: one at a time of each application.
    reading: HashSet<String>,
}

#[derive(Debug)]
struct Last {
    app: AppView,
    scraped: Arc<Scraped>,
    since: Instant,
}

impl LastWords {
    /// False when something that this application said is being read still.
    pub(super) fn begin(&mut self, uuid: &str) -> bool {
        self.reading.insert(uuid.to_owned())
    }

    pub(super) fn end(&mut self, uuid: &str) {
        self.reading.remove(uuid);
    }

    /// Keeps a page; the oldest go where there is too much. False when it is too much by itself.
    pub(super) fn keep(&mut self, app: AppView, scraped: Arc<Scraped>, bytes_max: usize) -> bool {
        let size = scraped.page.len();
        if size > bytes_max {
            return false;
        }
        self.forget(&app.uuid);
        while self.bytes + size > bytes_max
            && let Some(oldest) = self.oldest()
        {
            self.forget(&oldest);
        }
        self.bytes += size;
        let since = Instant::now();
        let uuid = app.uuid.clone();
        self.kept.insert(
            uuid,
            Last {
                app,
                scraped,
                since,
            },
        );
        true
    }

    /// What an application said, for the one who is told.
    pub(super) fn take(&mut self, uuid: &str, age: Duration) -> Option<Arc<Scraped>> {
        let last = self.kept.remove(uuid)?;
        self.bytes -= last.scraped.page.len();
        (last.since.elapsed() < age).then_some(last.scraped)
    }

    /// It is there again, and can be asked.
    pub(super) fn forget(&mut self, uuid: &str) {
        if let Some(last) = self.kept.remove(uuid) {
            self.bytes -= last.scraped.page.len();
        }
    }

    /// Those whose last words nobody has heard yet; what is too old goes.
    pub(super) fn apps(&mut self, age: Duration) -> Vec<AppView> {
        self.kept.retain(|_, last| {
            let keeps = last.since.elapsed() < age;
            self.bytes -= if keeps { 0 } else { last.scraped.page.len() };
            keeps
        });
        self.kept.values().map(|last| last.app.clone()).collect()
    }

    fn oldest(&self) -> Option<String> {
        let oldest = self.kept.iter().min_by_key(|(_, last)| last.since);
        oldest.map(|(uuid, _)| uuid.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scrape::tests::{scraped, view};

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn they_are_heard_once_and_forgotten_by_age_and_by_size() {
        let mut last = LastWords::default();
        assert!(last.keep(view("a"), scraped(40), 100));
        assert!(last.keep(view("a"), scraped(50), 100));
        assert!(last.keep(view("b"), scraped(50), 100));
        assert_eq!((last.kept.len(), last.bytes), (2, 100));
        tokio::time::advance(MINUTE / 2).await;
        assert!(
            last.keep(view("c"), scraped(60), 100),
            "the oldest give way"
        );
        assert_eq!((last.kept.len(), last.bytes), (1, 60));
        assert!(!last.keep(view("d"), scraped(101), 100));
        assert!(last.take("c", MINUTE).is_some());
        assert!(last.take("c", MINUTE).is_none());
        assert!(last.keep(view("e"), scraped(10), 100));
        assert_eq!(last.apps(MINUTE).len(), 1);
        tokio::time::advance(MINUTE).await;
        assert!(last.apps(MINUTE).is_empty());
        assert_eq!(last.bytes, 0);
        assert!(last.keep(view("f"), scraped(10), 100));
        tokio::time::advance(MINUTE).await;
        assert!(last.take("f", MINUTE).is_none());
        assert_eq!((last.kept.len(), last.bytes), (0, 0));
    }
}
