//! What applications say without being asked: the plugins greet who comes, and what one says before it goes is kept.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use super::{Unscraped, Why, scraper::Desk};
use crate::{
    chain::{App, Payload, shown_app},
    directory::Instance,
    relay::{Handle, News},
};

/// Greetings and last words that are being dealt with; the others wait in the channel.
const AT_ONCE: usize = 16;

/// Hears the news of the relay until that ends.
pub(super) async fn listen(desk: Arc<Desk>, mut news: mpsc::Receiver<News>) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(news) = news.recv().await {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let desk = Arc::clone(&desk);
        match &news {
            News::Came(instance) => {
                desk.last().forget(&instance.app.uuid);
                if desk.collectors.plugins().is_empty() {
                    continue;
                }
            }
            // Who says one last word after the other is heard in between.
            News::Said { app, .. } if !desk.last().begin(&app.app.uuid) => continue,
            News::Said { .. } => {}
        }
        tokio::spawn(async move {
            match news {
                News::Came(instance) => desk.greet(&instance).await,
                News::Said {
                    app,
                    metadata,
                    data,
                    room,
                } => {
                    desk.heard(&app, metadata, data).await;
                    drop(room);
                }
            }
            drop(permit);
        });
    }
}

impl Desk {
    /// The first plugin that has something to say says it; what comes back is not read.
    async fn greet(&self, instance: &Instance<Arc<Handle>>) {
        let app = Arc::new(shown_app(instance));
        for plugin in self.collectors.plugins() {
            if let Ok(Some(question)) = plugin.greet(&app).await {
                let asked = self.asking.ask(&app.uuid, &question);
                let _ = tokio::time::timeout(self.config.timeout, asked).await;
                return;
            }
        }
    }

    async fn heard(&self, instance: &Instance<Arc<Handle>>, metadata: Option<Bytes>, data: Bytes) {
        let view = instance.view();
        let (app, name) = (Arc::new(shown_app(instance)), view.name.clone());
        let kept = async {
            let (text, open) = self.said(&app, metadata, data).await?;
            let scraped = self.read(text, open).await?;
            let scraped = Arc::new(scraped.finish());
            match self.last().keep(view, scraped, self.config.last_bytes) {
                true => Ok(()),
                false => {
                    let text = "it has more bytes than metrics.last-bytes";
                    Err(Unscraped::new(Why::Page, text))
                }
            }
        };
        let kept = kept.await;
        self.last().end(&app.uuid);
        self.metrics.pushed(&kept);
        if let Err(error) = kept {
            tracing::info!(app = name, uuid = app.uuid, %error, "last metrics of an application are not kept");
        }
    }

    /// What was said as a page: by the first plugin that knows it. What is said to `jackfield.LastMetrics` is text.
    async fn said(
        &self,
        app: &Arc<App>,
        metadata: Option<Bytes>,
        data: Bytes,
    ) -> Result<(Bytes, Option<bool>), Unscraped> {
        for plugin in self.collectors.plugins() {
            let pushed = Payload {
                metadata: metadata.as_ref().map(|metadata| metadata.to_vec()),
                data: data.to_vec(),
            };
            match plugin.on_push(app, pushed).await {
                Ok(Ok(Some(part))) => return Ok(super::scraper::text_of(vec![part])),
                Ok(Ok(None)) => {}
                Ok(Err(text)) => return Err(Unscraped::new(Why::Page, text)),
                Err(_) => return Err(super::collectors::failed(&plugin)),
            }
        }
        Ok((data, None))
    }
}
