//! `[metrics]`.

use crate::scrape::{self, exposition::Limits, service_of};

use super::{
    address::HostPort,
    reader::{Reader, Section},
};

/// More than this of anything is a typo.
const COUNT_MAX: i64 = 1 << 24;
/// Pages are held in memory as a whole.
const BYTES_MAX: u64 = 1 << 30;
const BYTES_MIN: u64 = 1 << 10;

pub(super) fn metrics(reader: &Reader<'_>) -> scrape::Config {
    let section = reader.section("metrics");
    let default = scrape::Config::default();
    let flag = |key: &str, default: bool| section.boolean(key).unwrap_or(default);
    let size = |key: &str, default: usize| {
        let bytes = section.size(key, BYTES_MIN..=BYTES_MAX);
        bytes
            .and_then(|bytes| usize::try_from(bytes).ok())
            .unwrap_or(default)
    };
    let count = |key: &str, default: usize| section.count(key, COUNT_MAX).unwrap_or(default);
    let advertise = section.read("advertise", HostPort::parse_full);
    scrape::Config {
        calls: flag("calls", default.calls),
        routes: routes(reader, &section).unwrap_or(default.routes),
        timeout: section.duration("timeout").unwrap_or(default.timeout),
        cache: section.duration("cache").unwrap_or(default.cache),
        cache_bytes: size("cache-bytes", default.cache_bytes),
        concurrency: count("concurrency", default.concurrency),
        limits: Limits {
            page: size("page-bytes", default.limits.page),
            line: size("line-bytes", default.limits.line),
            series: count("series", default.limits.series),
            families: count("families", default.limits.families),
            labels: count("labels", default.limits.labels),
        },
        timestamps: flag("timestamps", default.timestamps),
        merged: flag("merged", default.merged),
        merged_bytes: size("merged-bytes", default.merged_bytes),
        last: section.duration("last").unwrap_or(default.last),
        last_bytes: size("last-bytes", default.last_bytes),
        advertise: advertise.map(|placed| placed.value.to_string()),
    }
}

fn routes(reader: &Reader<'_>, section: &Section<'_>) -> Option<Vec<String>> {
    let written = section.list("routes")?;
    let mut routes = Vec::new();
    for route in written {
        match service_of(route.value) {
            Some(_) => routes.push(route.value.to_owned()),
            None => reader.wrong(
                route.place,
                format!("metrics.routes names `{}`", route.value),
                "write [group!]service.method[:version]",
            ),
        }
    }
    Some(routes)
}
