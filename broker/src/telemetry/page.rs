//! The registry as a page, in either format.
//!
//! Series are called the same in both, so that a reader who changes the format sees no new ones. OpenMetrics has
//! exemplars besides, names counters without `_total` in what it says about them, and ends with a mark.

use std::{
    fmt::{self, Display, Formatter, Write},
    time::UNIX_EPOCH,
};

use prometheus::proto::{Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::exemplars::{Exemplar, Exemplars};

/// What a page is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageFormat {
    /// Text 0.0.4.
    Text,
    OpenMetrics,
}

impl PageFormat {
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What the family is called in what is said about it, and its type.
    fn head(self, family: &MetricFamily) -> (&str, &'static str) {
        let name = family.name();
        match (self, family.get_field_type(), name.strip_suffix("_total")) {
            (Self::OpenMetrics, MetricType::COUNTER, Some(base)) => (base, "counter"),
            (Self::OpenMetrics, MetricType::COUNTER, None) => (name, "unknown"),
            (Self::Text, MetricType::COUNTER, _) => (name, "counter"),
            (_, MetricType::GAUGE, _) => (name, "gauge"),
            (_, MetricType::HISTOGRAM, _) => (name, "histogram"),
            (Self::OpenMetrics, _, _) => (name, "unknown"),
            (Self::Text, _, _) => (name, "untyped"),
        }
    }
}

pub(super) fn write(
    families: &[MetricFamily],
    format: PageFormat,
    exemplars: &Exemplars,
) -> Result<String, fmt::Error> {
    let mut page = String::new();
    for family in families {
        let (name, kind) = format.head(family);
        let help = Escaped(family.help(), format == PageFormat::OpenMetrics);
        writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}")?;
        for metric in family.get_metric() {
            let labels = Labels(metric.get_label(), None);
            match family.get_field_type() {
                MetricType::HISTOGRAM => {
                    let kept = match format {
                        PageFormat::OpenMetrics => exemplars.of(family.name(), metric.get_label()),
                        PageFormat::Text => &[],
                    };
                    write_histogram(&mut page, family.name(), metric, kept)?;
                }
                kind => {
                    let value = Number(value(metric, kind));
                    writeln!(page, "{}{labels} {value}", family.name())?;
                }
            }
        }
    }
    if format == PageFormat::OpenMetrics {
        page.push_str("# EOF\n");
    }
    Ok(page)
}

fn value(metric: &Metric, kind: MetricType) -> f64 {
    match kind {
        MetricType::COUNTER => metric.get_counter().get_value(),
        _ => metric.get_gauge().get_value(),
    }
}

fn write_histogram(
    page: &mut String,
    name: &str,
    metric: &Metric,
    kept: &[Option<Exemplar>],
) -> fmt::Result {
    let (labels, histogram): (_, &Histogram) = (metric.get_label(), metric.get_histogram());
    let count = histogram.get_sample_count();
    let buckets = histogram.get_bucket().iter();
    let buckets = buckets
        .map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()))
        .filter(|(bound, _)| bound.is_finite())
        .chain([(f64::INFINITY, count)]);
    for (at, (bound, below)) in buckets.enumerate() {
        let labels = Labels(labels, Some(bound));
        write!(page, "{name}_bucket{labels} {below}")?;
        if let Some(Some(exemplar)) = kept.get(at) {
            write_exemplar(page, exemplar)?;
        }
        page.push('\n');
    }
    let (labels, sum) = (Labels(labels, None), Number(histogram.get_sample_sum()));
    writeln!(
        page,
        "{name}_sum{labels} {sum}\n{name}_count{labels} {count}"
    )
}

fn write_exemplar(page: &mut String, exemplar: &Exemplar) -> fmt::Result {
    let Exemplar {
        trace_id,
        value,
        at,
    } = exemplar;
    let digits = if *trace_id >> 64 == 0 { 16 } else { 32 };
    let at = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let value = Number(*value);
    let (seconds, millis) = (at.as_secs(), at.subsec_millis());
    write!(
        page,
        " # {{trace_id=\"{trace_id:0digits$x}\"}} {value} {seconds}.{millis:03}"
    )
}

/// Between braces, with the bound of a bucket.
struct Labels<'l>(&'l [LabelPair], Option<f64>);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut before = '{';
        for pair in self.0 {
            let value = Escaped(pair.value(), true);
            write!(f, "{before}{}=\"{value}\"", pair.name())?;
            before = ',';
        }
        if let Some(bound) = self.1 {
            // OpenMetrics wants a point in it, and Prometheus takes another spelling for another series.
            let point = if bound.fract() == 0.0 { ".0" } else { "" };
            write!(f, "{before}le=\"{}{point}\"", Number(bound))?;
            before = ',';
        }
        if before == ',' {
            f.write_str("}")
        } else {
            Ok(())
        }
    }
}

struct Number(f64);

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.0 {
            f64::INFINITY => f.write_str("+Inf"),
            f64::NEG_INFINITY => f.write_str("-Inf"),
            value => write!(f, "{value}"),
        }
    }
}

/// With the escapes of both formats, and of quotes where they have one.
struct Escaped<'t>(&'t str, bool);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.1 => f.write_str("\\\"")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use prometheus::{HistogramOpts, HistogramVec, IntCounterVec, IntGauge, Opts, Registry};

    use super::*;

    fn families() -> Vec<MetricFamily> {
        let registry = Registry::new();
        let counter = IntCounterVec::new(Opts::new("a_total", "A \"quote\"\n."), &["b"]).unwrap();
        counter.with_label_values(&["c\\\"\n"]).inc();
        let opts = HistogramOpts::new("h", "H.").buckets(vec![0.5, 1.0]);
        let histogram = HistogramVec::new(opts, &["z", "b"]).unwrap();
        histogram.with_label_values(&["1", "2"]).observe(0.75);
        let gauge = IntGauge::new("g", "G.").unwrap();
        registry.register(Box::new(counter)).unwrap();
        registry.register(Box::new(histogram)).unwrap();
        registry.register(Box::new(gauge)).unwrap();
        registry.gather()
    }

    #[test]
    fn both_formats_have_the_same_series() {
        let mut exemplars = Exemplars::default();
        let kept = |trace_id| {
            let at = UNIX_EPOCH + Duration::from_millis(1_500);
            Some(Exemplar {
                trace_id,
                value: 0.75,
                at,
            })
        };
        let of = vec![None, kept(0xABC), kept(1 << 64)];
        exemplars.insert("h", &[("z", "1"), ("b", "2")], of);
        let text = "# HELP a_total A \"quote\"\\n.\n# TYPE a_total counter\na_total{b=\"c\\\\\\\"\\n\"} 1\n\
            # HELP g G.\n# TYPE g gauge\ng 0\n# HELP h H.\n# TYPE h histogram\n\
            h_bucket{b=\"2\",z=\"1\",le=\"0.5\"} 0\nh_bucket{b=\"2\",z=\"1\",le=\"1.0\"} 1\n\
            h_bucket{b=\"2\",z=\"1\",le=\"+Inf\"} 1\nh_sum{b=\"2\",z=\"1\"} 0.75\nh_count{b=\"2\",z=\"1\"} 1\n";
        let written = |format| write(&families(), format, &exemplars).unwrap();
        assert_eq!(written(PageFormat::Text), text);
        let open = text
            .replace("HELP a_total A \"quote\"", "HELP a A \\\"quote\\\"")
            .replace("TYPE a_total", "TYPE a")
            .replace(
                "le=\"1.0\"} 1",
                "le=\"1.0\"} 1 # {trace_id=\"0000000000000abc\"} 0.75 1.500",
            )
            .replace(
                "le=\"+Inf\"} 1",
                "le=\"+Inf\"} 1 # {trace_id=\"00000000000000010000000000000000\"} 0.75 1.500",
            );
        assert_eq!(written(PageFormat::OpenMetrics), format!("{open}# EOF\n"));
    }
}
