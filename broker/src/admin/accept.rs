//! Which format a reader of metrics wants.

use axum::http::{HeaderMap, header};

use crate::telemetry::PageFormat;

const OPEN_METRICS: &str = "application/openmetrics-text";

/// OpenMetrics for who names it and likes it no less than text; what it says of other versions is not for us. Text for
/// everybody else.
pub(super) fn accepted(headers: &HeaderMap) -> PageFormat {
    let (mut open, mut text) = (0.0_f32, 0.0_f32);
    let values = headers.get_all(header::ACCEPT).iter();
    for range in values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|it| it.split(','))
    {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let (mut quality, mut version) = (1.0_f32, "");
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            match name.trim() {
                "q" => quality = value.trim().parse().unwrap_or(0.0),
                "version" => version = value.trim().trim_matches('"'),
                _ => {}
            }
        }
        if kind.eq_ignore_ascii_case(OPEN_METRICS) && matches!(version, "" | "1.0.0") {
            open = quality.max(open);
        } else if kind.eq_ignore_ascii_case("text/plain") && matches!(version, "" | "0.0.4") {
            text = quality.max(text);
        }
    }
    match open > 0.0 && open >= text {
        true => PageFormat::OpenMetrics,
        false => PageFormat::Text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_openmetrics_gets_it() {
        let prometheus_2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        let prometheus_3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
        for (accept, open) in [
            (prometheus_2, true),
            (prometheus_3, true),
            ("application/openmetrics-text", true),
            (
                "Application/OpenMetrics-Text; version=\"1.0.0\"; charset=utf-8",
                true,
            ),
            (
                "text/plain;q=0.5, application/openmetrics-text;q=0.4",
                false,
            ),
            ("application/openmetrics-text;version=0.0.1", false),
            ("application/openmetrics-text;version=2.0.0", false),
            ("application/openmetrics-text;q=0", false),
            ("application/openmetrics-text;q=x", false),
            ("text/plain", false),
            ("*/*", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, accept.parse().unwrap());
            assert_eq!(
                accepted(&headers) == PageFormat::OpenMetrics,
                open,
                "{accept}"
            );
        }
        assert_eq!(accepted(&HeaderMap::new()), PageFormat::Text);
    }
}
