use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{Gauge, IntGauge, IntGaugeVec, Opts, core::Collector};

use super::{Exemplars, PageFormat, page, process::ProcessCollector};

/// The broker's metrics: each room registers its own, and one page shows them all.
#[derive(Clone, Debug)]
pub struct Registry {
    inner: prometheus::Registry,
    reload_ok: IntGauge,
    reload_at: Gauge,
}

/// A metric could not be made, registered or shown.
#[derive(Debug, thiserror::Error)]
#[error("metrics: {0}")]
pub struct MetricsError(#[from] prometheus::Error);

impl Registry {
    /// With `process_*`, build information and the state of the configuration.
    pub fn new(version: &str) -> Result<Self, MetricsError> {
        let inner = prometheus::Registry::new();
        let build = IntGaugeVec::new(
            Opts::new(
                "jackfield_build_info",
                "Always 1; the labels say what runs.",
            ),
            &["version"],
        )?;
        build.with_label_values(&[version]).set(1);
        let reload_ok = IntGauge::new(
            "jackfield_config_last_reload_successful",
            "Whether the last attempt to load the configuration succeeded.",
        )?;
        let reload_at = Gauge::new(
            "jackfield_config_last_reload_success_timestamp_seconds",
            "When the configuration was last loaded with success.",
        )?;
        inner.register(Box::new(build))?;
        inner.register(Box::new(reload_ok.clone()))?;
        inner.register(Box::new(reload_at.clone()))?;
        inner.register(Box::new(ProcessCollector::new()?))?;
        Ok(Self {
            inner,
            reload_ok,
            reload_at,
        })
    }

    /// For the metrics of a room. Two metrics of one name are refused.
    pub fn register(&self, collector: Box<dyn Collector>) -> Result<(), MetricsError> {
        Ok(self.inner.register(collector)?)
    }

    /// For a room that registers many metrics itself.
    pub fn prometheus(&self) -> &prometheus::Registry {
        &self.inner
    }

    /// Counts a reload, or the first load.
    pub fn config_loaded(&self, success: bool) {
        self.reload_ok.set(i64::from(success));
        if success {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default();
            self.reload_at.set(now.as_secs_f64());
        }
    }

    /// Everything, with these exemplars where the format has a place for them.
    pub fn page(&self, format: PageFormat, exemplars: &Exemplars) -> Result<String, MetricsError> {
        let written = page::write(&self.inner.gather(), format, exemplars);
        Ok(written.map_err(|error| prometheus::Error::Msg(error.to_string()))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(page: &str, metric: &str) -> f64 {
        let line = page.lines().find(|line| line.starts_with(metric));
        let line = line.unwrap_or_else(|| panic!("no {metric} in\n{page}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    fn text(registry: &Registry) -> String {
        let page = registry.page(PageFormat::Text, &Exemplars::default());
        page.unwrap()
    }

    #[test]
    fn the_page_shows_build_process_and_reloads() {
        let registry = Registry::new("1.2.3").unwrap();
        registry.config_loaded(true);
        let page = text(&registry);
        assert!(
            page.contains("jackfield_build_info{version=\"1.2.3\"} 1"),
            "{page}"
        );
        assert_eq!(
            value(&page, "jackfield_config_last_reload_successful "),
            1.0
        );
        let loaded = value(
            &page,
            "jackfield_config_last_reload_success_timestamp_seconds ",
        );
        assert!(loaded > 1.0e9);
        assert!(value(&page, "process_resident_memory_bytes ") > 100_000.0);
        assert!(value(&page, "process_open_fds ") >= 3.0);
        assert!(value(&page, "process_start_time_seconds ") > 1.0e9);

        registry.config_loaded(false);
        let page = text(&registry);
        assert_eq!(
            value(&page, "jackfield_config_last_reload_successful "),
            0.0
        );
        let still = value(
            &page,
            "jackfield_config_last_reload_success_timestamp_seconds ",
        );
        assert_eq!(still, loaded);
    }

    #[test]
    fn a_name_is_registered_once() {
        let registry = Registry::new("1").unwrap();
        let gauge = IntGauge::new("jackfield_test", "A test.").unwrap();
        assert!(registry.register(Box::new(gauge.clone())).is_ok());
        assert!(registry.register(Box::new(gauge)).is_err());
    }
}
