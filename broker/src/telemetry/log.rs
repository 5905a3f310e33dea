//! The log: text for people, JSON for machines, with a level that can change while it runs.

use std::{
    io::{self, IsTerminal},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::Subscriber;
use tracing_subscriber::{
    Layer, Registry,
    filter::Targets,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
    registry::LookupSpan,
    reload,
};

use super::Level;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogConfig {
    pub level: Level,
    pub format: Format,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    Text,
    Json,
}

/// Changes the level of the running log.
#[derive(Clone, Debug)]
pub struct LogHandle {
    filter: reload::Handle<Targets, Registry>,
    level: Arc<Mutex<Level>>,
}

impl LogHandle {
    /// Takes effect for the next event.
    pub fn set(&self, level: &Level) {
        // It fails only when the log is gone, and then there is nothing to set.
        let _ = self.filter.reload(level.targets());
        *self.level.lock().unwrap_or_else(PoisonError::into_inner) = level.clone();
    }

    pub fn level(&self) -> Level {
        self.level
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
impl LogHandle {
    /// Of a log that is not there.
    pub(crate) fn silent() -> Self {
        subscriber(&LogConfig::default(), false, io::sink).1
    }
}

/// Makes the log of this process go to standard error. A second call in one process changes nothing.
pub fn start_logging(config: &LogConfig) -> LogHandle {
    let terminal = io::stderr().is_terminal();
    let (subscriber, handle) = subscriber(config, terminal, io::stderr);
    let _ = tracing::subscriber::set_global_default(subscriber);
    handle
}

fn subscriber<W>(
    config: &LogConfig,
    terminal: bool,
    writer: W,
) -> (impl Subscriber + Send + Sync, LogHandle)
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(config.level.targets());
    let layer = layer(config.format, terminal, writer);
    let subscriber = Registry::default().with(layer.with_filter(filter));
    let level = Arc::new(Mutex::new(config.level.clone()));
    (
        subscriber,
        LogHandle {
            filter: handle,
            level,
        },
    )
}

fn layer<S, W>(format: Format, terminal: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_writer(writer).with_ansi(terminal);
    match (format, terminal) {
        (Format::Json, _) | (Format::Auto, false) => layer.json().flatten_event(true).boxed(),
        (Format::Text, _) | (Format::Auto, true) => layer.boxed(),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn log(format: Format, terminal: bool, then: impl FnOnce(&LogHandle)) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let config = LogConfig {
            level: Level::default(),
            format,
        };
        let (subscriber, handle) = subscriber(&config, terminal, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || then(&handle));
        lines.take()
    }

    #[test]
    fn json_when_nobody_watches() {
        let line = log(Format::Auto, false, |_| {
            tracing::info!(code = "RST-910503", "draining");
        });
        let event: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(event["code"], "RST-910503");
        assert_eq!(event["message"], "draining");
        assert_eq!(event["level"], "INFO");
    }

    #[test]
    fn text_on_a_terminal() {
        let line = log(Format::Auto, true, |_| tracing::info!("hello"));
        assert!(line.contains("hello") && !line.starts_with('{'), "{line}");
    }

    #[test]
    fn the_level_changes_live() {
        let lines = log(Format::Text, false, |handle| {
            tracing::debug!("one");
            handle.set(&Level::parse("debug").unwrap());
            tracing::debug!("two");
            handle.set(&Level::parse("off").unwrap());
            tracing::error!("three");
        });
        assert!(
            !lines.contains("one") && lines.contains("two") && !lines.contains("three"),
            "{lines}"
        );
    }
}
