use bytes::Bytes;
use proptest::prelude::*;

use super::*;

fn page(text: &str) -> Page {
    clean(text.as_bytes(), &Rules::default()).unwrap_or_else(|refused| panic!("{refused}"))
}

fn text(page: &Page) -> String {
    String::from_utf8(page.render()).unwrap()
}

fn refused(text: &[u8]) -> String {
    clean(text, &Rules::default()).unwrap_err().to_string()
}

fn findings(page: &Page) -> String {
    let line = |finding: &Finding| format!("{}: {}\n", finding.line, finding.what);
    page.findings.iter().map(line).collect()
}

/// The example of the format's own page, with every oddity it shows.
const SAMPLE: &str = r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"}    3 1395066363000

# Escaping in label values:
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9

# Minimalistic line:
metric_without_timestamp_and_labels 12.47

# A weird metric from before the epoch:
something_weird{problem="division by zero"} +Inf -3982045

# A histogram, which has a pretty complex representation in the text format:
# HELP http_request_duration_seconds A histogram of the request duration.
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320

# Finally a summary, which has a complex representation, too:
# HELP rpc_duration_seconds A summary of the RPC duration in seconds.
# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.01"} 3102
rpc_duration_seconds{ quantile = "0.99", } 76656
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
"#;

const SAMPLE_WRITTEN: &str = r#"# HELP http_requests_total The total number of HTTP requests.
# TYPE http_requests_total counter
http_requests_total{method="post",code="200"} 1027 1395066363000
http_requests_total{method="post",code="400"} 3 1395066363000
msdos_file_access_time_seconds{path="C:\\DIR\\FILE.TXT",error="Cannot find file:\n\"FILE.TXT\""} 1.458255915e9
metric_without_timestamp_and_labels 12.47
something_weird{problem="division by zero"} +Inf -3982045
# HELP http_request_duration_seconds A histogram of the request duration.
# TYPE http_request_duration_seconds histogram
http_request_duration_seconds_bucket{le="0.05"} 24054
http_request_duration_seconds_bucket{le="+Inf"} 144320
http_request_duration_seconds_sum 53423
http_request_duration_seconds_count 144320
# HELP rpc_duration_seconds A summary of the RPC duration in seconds.
# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.01"} 3102
rpc_duration_seconds{quantile="0.99"} 76656
rpc_duration_seconds_sum 1.7560473e+07
rpc_duration_seconds_count 2693
"#;

#[test]
fn the_sample_of_the_format_keeps_its_meaning() {
    let rules = Rules {
        timestamps: true,
        ..Rules::default()
    };
    let read = clean(SAMPLE.as_bytes(), &rules).unwrap();
    assert_eq!(text(&read), SAMPLE_WRITTEN);
    assert_eq!((read.series, findings(&read).as_str()), (13, ""));
    let without = text(&page(SAMPLE));
    assert!(
        without.contains("something_weird{problem=\"division by zero\"} +Inf\n"),
        "{without}"
    );
}

#[test]
fn open_metrics_becomes_text() {
    let open = "# TYPE foo counter\n# UNIT foo seconds\n# HELP foo Says \\\"hi\\\" and C:\\\\x.\n\
        foo_total{a=\"1\"} 17.0 1520879607.789 # {trace=\"x\"} 0.5 1\nfoo_created{a=\"1\"} 1520430000.123\n\
        # TYPE i info\ni_info{version=\"1\"} 1\n\
        # TYPE s stateset\ns{s=\"on\"} 1\n\
        # TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 4\nh_created 5\n\
        # TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 3\ng_gcount 3\ng_gsum 4\n\
        # TYPE u unknown\nu 7\n# EOF\n";
    let written = "# HELP foo_total Says \"hi\" and C:\\\\x.\n# TYPE foo_total counter\nfoo_total{a=\"1\"} 17.0\n\
        # HELP foo_created Says \"hi\" and C:\\\\x.\n# TYPE foo_created gauge\nfoo_created{a=\"1\"} 1520430000.123\n\
        # TYPE i_info gauge\ni_info{version=\"1\"} 1\n\
        # TYPE s gauge\ns{s=\"on\"} 1\n\
        # TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_count 3\nh_sum 4\n\
        # TYPE h_created gauge\nh_created 5\n\
        # TYPE g_bucket untyped\ng_bucket{le=\"+Inf\"} 3\n# TYPE g_gcount untyped\ng_gcount 3\n\
        # TYPE g_gsum untyped\ng_gsum 4\n# TYPE u untyped\nu 7\n";
    let read = page(open);
    assert_eq!(text(&read), written);
    let timed = Rules {
        timestamps: true,
        ..Rules::default()
    };
    let timed = text(&clean(open.as_bytes(), &timed).unwrap());
    assert!(
        timed.contains("foo_total{a=\"1\"} 17.0 1520879607789\n"),
        "{timed}"
    );
}

#[test]
fn what_is_scattered_comes_together_and_what_is_double_goes() {
    let read = page(
        "# TYPE a gauge\na{x=\"1\",y=\"2\"} 1\nb 2\na{x=\"2\"} 3\na{y=\"2\",x=\"1\"} 4\n# TYPE a counter\n# TYPE b gauge\n",
    );
    assert_eq!(
        text(&read),
        "# TYPE a gauge\na{x=\"1\",y=\"2\"} 1\na{x=\"2\"} 3\nb 2\n"
    );
    assert_eq!(
        findings(&read),
        "5: a is there twice with the same labels: the first is kept\n\
         6: a has a second TYPE, which is left out\n\
         7: TYPE of b comes after its series and is left out\n"
    );
}

#[test]
fn nobody_says_who_he_is_and_nobody_speaks_for_prometheus() {
    let read = page(
        "up 1\na{job=\"forged\",exported_job=\"x\",b=\"c\"} 1\nb{instance=\"forged\"} 2\nscrape_duration_seconds 9\n",
    );
    assert_eq!(
        text(&read),
        "a{exported_exported_job=\"forged\",exported_job=\"x\",b=\"c\"} 1\nb{exported_instance=\"forged\"} 2\n"
    );
    assert_eq!(read.findings.len(), 4);
    let add = [("job", "shop"), ("instance", "a\"b\\c\nd")];
    let rules = Rules {
        add: &add,
        ..Rules::default()
    };
    let read = clean(b"a{job=\"forged\"} 1\nb 2\n", &rules).unwrap();
    assert_eq!(
        text(&read),
        "a{job=\"shop\",instance=\"a\\\"b\\\\c\\nd\",exported_job=\"forged\"} 1\n\
         b{job=\"shop\",instance=\"a\\\"b\\\\c\\nd\"} 2\n"
    );
}

/// Readers take `foo_sum` for part of the summary `foo`, and its TYPE for a second one.
#[test]
fn a_name_like_a_part_of_another_metric_confuses_nobody() {
    let read = page("# TYPE foo summary\nfoo_sum 1\n# TYPE foo_sum gauge\nfoo_sum{a=\"b\"} 2\n");
    assert_eq!(
        text(&read),
        "# TYPE foo summary\nfoo_sum 1\nfoo_sum{a=\"b\"} 2\n"
    );
    assert_eq!(
        findings(&read),
        "3: foo_sum belongs to foo: its TYPE is left out\n"
    );
    let read = page("# HELP foo_sum Mine.\n# TYPE foo summary\nfoo{quantile=\"1\"} 1\nfoo_sum 2\n");
    assert_eq!(
        text(&read),
        "# HELP foo_sum Mine.\nfoo_sum 2\n# TYPE foo summary\nfoo{quantile=\"1\"} 1\n"
    );
}

#[test]
fn escapes_of_nothing_stand_for_themselves() {
    let read = page("# HELP a C:\\x \\\\ \\n \\\" \\\na{p=\"C:\\x\\\\\"} 1\r\n");
    assert_eq!(
        text(&read),
        "# HELP a C:\\\\x \\\\ \\n \\\\\" \\\\\na{p=\"C:\\\\x\\\\\"} 1\n"
    );
}

#[test]
fn what_cannot_be_mended_is_refused_with_the_line() {
    for (text, reason) in [
        ("a 1\nb\n", "line 2: no value"),
        (
            "a 1 2 3\n",
            "line 1: more than a timestamp follows the value: \"3\"",
        ),
        ("a x\n", "line 1: no number: \"x\""),
        ("a 1e999\n", "line 1: no number: \"1e999\""),
        ("a +NaN\n", "line 1: no number: \"+NaN\""),
        ("a 0x10\n", "line 1: no number: \"0x10\""),
        ("a 1 1.5\n", "line 1: no timestamp: \"1.5\""),
        ("9a 1\n", "line 1: no metric name: \"9a 1\""),
        ("é 1\n", "line 1: no metric name: \"é 1\""),
        ("a-b 1\n", "line 1: no metric name: \"a-b 1\""),
        ("<html>\n", "line 1: no metric name: \"<html>\""),
        (
            "{\"a.b\"} 1\n",
            "line 1: names in quotes are a later format; write [a-zA-Z_:][a-zA-Z0-9_:]*",
        ),
        (
            "a{b=\"1\",b=\"2\"} 1\n",
            "line 1: the label b is there twice",
        ),
        (
            "a{__name__=\"b\"} 1\n",
            "line 1: no label name: \"__name__=\\\"b\\\"} 1\"",
        ),
        (
            "a{b:c=\"1\"} 1\n",
            "line 1: no label name: \"b:c=\\\"1\\\"} 1\"",
        ),
        ("a{b} 1\n", "line 1: no = after the label b"),
        ("a{b=1} 1\n", "line 1: no quote before the value of b"),
        ("a{b=\"1} 1\n", "line 1: the value of b does not end"),
        ("a{b=\"1\\", "line 1: the value of b does not end"),
        (
            "a{b=\"1\"c=\"2\"} 1\n",
            "line 1: no comma or brace: \"c=\\\"2\\\"} 1\"",
        ),
        (
            "# TYPE 9a gauge\n",
            "line 1: TYPE of what is no metric name: \"9a\"",
        ),
        (
            "# TYPE h histogram\nh_bucket{le=\"x\"} 1\n",
            "line 2: le is no number: \"x\"",
        ),
        (
            "# TYPE s summary\ns{quantile=\"\"} 1\n",
            "line 2: quantile is no number: \"\"",
        ),
        (
            "a 1 # {t=\"1\"} 1\n",
            "line 1: an exemplar, which only OpenMetrics has",
        ),
        (
            "a 1\n# EOF\nb 1\n# EOF\n",
            "line 3: something follows # EOF",
        ),
    ] {
        assert_eq!(refused(text.as_bytes()), reason, "{text}");
    }
    assert_eq!(refused(b"a 1\nb{c=\"\xff\"} 1\n"), "line 2 is not UTF-8");
}

#[test]
fn limits_refuse_and_say_which() {
    let limits = Limits {
        page: 200,
        line: 60,
        series: 3,
        families: 2,
        labels: 2,
    };
    let rules = Rules {
        limits,
        ..Rules::default()
    };
    let refused = |text: &str| clean(text.as_bytes(), &rules).unwrap_err().to_string();
    let long = format!("a{{b=\"{}\"}} 1\n", "x".repeat(60));
    assert!(clean(b"a 1\na{b=\"1\"} 1\nb 3\n", &rules).is_ok());
    assert_eq!(
        refused(&"a 1\n".repeat(60)),
        "the page has 240 bytes; metrics.page-bytes allows 200"
    );
    assert_eq!(
        refused(&long),
        "line 1 is longer than metrics.line-bytes, 60"
    );
    assert_eq!(
        refused("a{b=\"1\"} 1\na{b=\"2\"} 1\na{b=\"3\"} 1\na{b=\"4\"} 1\n"),
        "line 4: the page has more than 3 series; metrics.series allows no more"
    );
    assert_eq!(
        refused("a 1\nb 1\nc 1\n"),
        "line 3: the page has more than 2 metrics; metrics.families allows no more"
    );
    assert_eq!(
        refused("# TYPE a gauge\n# TYPE b gauge\n# TYPE c gauge\n"),
        "line 3: the page has more than 2 metrics; metrics.families allows no more"
    );
    assert_eq!(
        refused("a{b=\"1\",c=\"2\",d=\"3\"} 1\n"),
        "line 1 has more than 2 labels; metrics.labels allows no more"
    );
}

#[test]
fn pages_merge_family_by_family() {
    let mut merged = Merged::default();
    for (name, text) in [
        ("one", "# HELP a A.\n# TYPE a gauge\na 1\nb 1\n"),
        ("two", "# TYPE a gauge\na 2\n# TYPE b counter\nb 2\nc 2\n"),
    ] {
        let add = [("instance", name)];
        let rules = Rules {
            add: &add,
            ..Rules::default()
        };
        merged.add(clean(text.as_bytes(), &rules).unwrap());
    }
    assert_eq!((merged.series, merged.left_out), (4, 1));
    assert_eq!(
        text(&merged.finish()),
        "# HELP a A.\n# TYPE a gauge\na{instance=\"one\"} 1\na{instance=\"two\"} 2\n\
         b{instance=\"one\"} 1\nc{instance=\"two\"} 2\n"
    );
}

#[test]
fn findings_are_bounded_and_lint_adds_what_is_legal() {
    let read = page(&"a 1\n".repeat(1000));
    assert_eq!(
        (read.findings.len(), read.findings_left_out),
        (FINDINGS_MAX, 899)
    );
    let mut read = page("# TYPE requests counter\nrequests 1\n");
    read.lint();
    assert_eq!(
        findings(&read),
        "0: requests has no HELP\n0: requests is a counter, and its name does not end in _total\n"
    );
}

/// Deterministic, so that a failure comes back.
#[test]
fn a_changed_page_is_a_page_or_refused() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for _ in 0..2000 {
        let mut bytes = SAMPLE.as_bytes().to_vec();
        for _ in 0..=next(8) {
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] = next(256) as u8,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, b"{}\"\\\n# ,="[next(9)]),
                _ => {
                    let (from, len) = (next(bytes.len()), next(80));
                    let piece = bytes[from..(from + len).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        check(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_bytes_hold(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn any_pieces_hold(choices in proptest::collection::vec(any::<u8>(), 0..120)) {
        check_lines(&choices);
    }
}

/// What needs no change is not copied, and what does is.
#[test]
fn a_large_page_that_is_right_is_handed_on_as_it_is() {
    let lines = (0..8000).map(|n| format!("a{{n=\"{n}\"}} 1\n"));
    let right = format!("# TYPE a gauge\n{}", lines.collect::<String>());
    let right = Bytes::from(right);
    let page = clean_shared(&right, &Rules::default()).unwrap();
    assert_eq!(page.text().as_ptr(), right.as_ptr());
    for more in [
        "a{n=\"0\"} 1\n",
        "\n",
        "b 1",
        "b{} 1\n",
        "# x\n",
        "# HELP a x\n",
    ] {
        let text = Bytes::from([&right, more.as_bytes()].concat());
        let page = clean_shared(&text, &Rules::default()).unwrap();
        assert_ne!(page.text().as_ptr(), text.as_ptr(), "{more}");
        assert_eq!(page.text(), page.render(), "{more}");
        assert!(page.text().ends_with(b"\n"));
    }
}
