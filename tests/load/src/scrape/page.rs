//! A page as applications write them: counters, gauges and histograms with a few labels.

use std::fmt::Write;

/// Series of one metric.
const PER_METRIC: usize = 20;

pub(super) fn of(series: usize) -> Vec<u8> {
    let mut page = String::new();
    for at in 0..series {
        let metric = at / PER_METRIC;
        let name = format!("shop_requests_{metric}_total");
        if at % PER_METRIC == 0 {
            let _ = write!(
                page,
                "# HELP {name} Requests of the shop, by how they ended.\n# TYPE {name} counter\n"
            );
        }
        let (status, value) = (200 + at % 5, at * 7919 % 100_000);
        let _ = writeln!(
            page,
            "{name}{{method=\"GET\",path=\"/api/v1/items/{at}\",status=\"{status}\"}} {value}.5"
        );
    }
    page.into_bytes()
}

#[cfg(test)]
mod tests {
    #[test]
    fn it_has_as_many_series_as_it_should() {
        let page = String::from_utf8(super::of(45)).unwrap();
        let series = page.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(series.count(), 45);
        assert_eq!(page.matches("# TYPE").count(), 3);
    }
}
