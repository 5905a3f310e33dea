//! Conformance samples of the two formats: each says one thing that the formats allow or forbid, and what becomes of it.
//!
//! They follow what the readers of Prometheus and the test suite of OpenMetrics look at, in words of our own.

use super::{Rules, clean};

/// Text 0.0.4: what it says, and how it is written here.
const TEXT: &[(&str, &str, &str)] = &[
    ("nothing", "", ""),
    (
        "blank lines and comments",
        "\n\n# a comment\n#\n   \n#HELP x\n",
        "",
    ),
    ("no line end behind the last sample", "a 1", "a 1\n"),
    (
        "a carriage return before the end",
        "a 1\r\nb 2\r\n",
        "a 1\nb 2\n",
    ),
    (
        "blanks and tabs anywhere between",
        "\ta  {\tb = \"1\" ,c=\"2\"\t}\t 3 \n",
        "a{b=\"1\",c=\"2\"} 3\n",
    ),
    (
        "a comma behind the last label",
        "a{b=\"1\",} 2\n",
        "a{b=\"1\"} 2\n",
    ),
    ("braces without labels", "a{} 1\nb{ } 2\n", "a 1\nb 2\n"),
    (
        "names with colons and underscores",
        ":a_b:C9 1\n_ 2\n",
        ":a_b:C9 1\n_ 2\n",
    ),
    (
        "every escape of a value",
        "a{b=\"\\\\ \\\" \\n\"} 1\n",
        "a{b=\"\\\\ \\\" \\n\"} 1\n",
    ),
    (
        "braces, commas and hashes in a value",
        "a{b=\"}{,=# 1\"} 1\n",
        "a{b=\"}{,=# 1\"} 1\n",
    ),
    ("an empty value", "a{b=\"\"} 1\n", "a{b=\"\"} 1\n"),
    (
        "values beyond ASCII",
        "a{b=\"日本語 \u{1F600}\"} 1\n",
        "a{b=\"日本語 \u{1F600}\"} 1\n",
    ),
    (
        "every way to write a number",
        "a 1\nb -1\nc +1\nd 1.5\ne 1e3\nf 1.5E-7\ng .5\nh 5.\ni NaN\nj +Inf\nk -Inf\nl Inf\nm 0\nn -0.0\n",
        "a 1\nb -1\nc +1\nd 1.5\ne 1e3\nf 1.5E-7\ng .5\nh 5.\ni NaN\nj +Inf\nk -Inf\nl Inf\nm 0\nn -0.0\n",
    ),
    (
        "times, also before 1970",
        "a 1 1395066363000\nb 2 -1\n",
        "a 1 1395066363000\nb 2 -1\n",
    ),
    (
        "TYPE before HELP",
        "# TYPE a gauge\n# HELP a A.\na 1\n",
        "# HELP a A.\n# TYPE a gauge\na 1\n",
    ),
    (
        "HELP without text",
        "# HELP a\n# TYPE a gauge\na 1\n",
        "# HELP a \n# TYPE a gauge\na 1\n",
    ),
    (
        "blanks in front of a comment's words",
        "#  \tTYPE \t a \t gauge\na 1\n",
        "# TYPE a gauge\na 1\n",
    ),
    (
        "escapes of a help",
        "# HELP a x\\ny\\\\z\na 1\n",
        "# HELP a x\\ny\\\\z\na 1\n",
    ),
    (
        "a TYPE that nobody follows",
        "# TYPE a gauge\n# HELP b B.\n",
        "",
    ),
    (
        "a histogram with labels of its own",
        "# TYPE h histogram\nh_bucket{a=\"b\",le=\"1\"} 1\nh_bucket{a=\"b\",le=\"+Inf\"} 2\nh_sum{a=\"b\"} 3\nh_count{a=\"b\"} 2\n",
        "# TYPE h histogram\nh_bucket{a=\"b\",le=\"1\"} 1\nh_bucket{a=\"b\",le=\"+Inf\"} 2\nh_sum{a=\"b\"} 3\nh_count{a=\"b\"} 2\n",
    ),
    (
        "a summary that has seen nothing",
        "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 0\ns_count 0\n",
        "# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 0\ns_count 0\n",
    ),
    (
        "le and quantile elsewhere",
        "a{le=\"x\",quantile=\"y\"} 1\n",
        "a{le=\"x\",quantile=\"y\"} 1\n",
    ),
    (
        "names like parts of nothing",
        "a_bucket 1\na_sum 2\na_count 3\n",
        "a_bucket 1\na_sum 2\na_count 3\n",
    ),
    (
        "kinds in capitals",
        "# TYPE a GAUGE\na 1\n",
        "# TYPE a gauge\na 1\n",
    ),
    (
        "untyped",
        "# TYPE a untyped\na 1\n",
        "# TYPE a untyped\na 1\n",
    ),
];

/// OpenMetrics, without its last line.
const OPEN: &[(&str, &str, &str)] = &[
    ("nothing", "", ""),
    (
        "a counter",
        "# TYPE a counter\na_total 1\n",
        "# TYPE a_total counter\na_total 1\n",
    ),
    (
        "a counter that begins",
        "# TYPE a counter\na_total 1\na_created 2\n",
        "# TYPE a_total counter\na_total 1\n# TYPE a_created gauge\na_created 2\n",
    ),
    (
        "a gauge whose name ends like a counter's",
        "# TYPE a_total gauge\na_total 1\n",
        "# TYPE a_total gauge\na_total 1\n",
    ),
    (
        "an unknown metric",
        "# TYPE a unknown\na 1\n",
        "# TYPE a untyped\na 1\n",
    ),
    (
        "an info",
        "# TYPE a info\na_info{v=\"1\"} 1\n",
        "# TYPE a_info gauge\na_info{v=\"1\"} 1\n",
    ),
    (
        "a state set",
        "# TYPE a stateset\na{a=\"on\"} 1\na{a=\"off\"} 0\n",
        "# TYPE a gauge\na{a=\"on\"} 1\na{a=\"off\"} 0\n",
    ),
    (
        "a unit",
        "# TYPE a_seconds gauge\n# UNIT a_seconds seconds\na_seconds 1\n",
        "# TYPE a_seconds gauge\na_seconds 1\n",
    ),
    (
        "exemplars",
        "# TYPE a counter\na_total 1 # {t=\"x\"} 0.5\na_total{b=\"c\"} 2 3.5 # {} 1 4.5\n",
        "# TYPE a_total counter\na_total 1\na_total{b=\"c\"} 2 3500\n",
    ),
    (
        "times with a part of a second",
        "# TYPE a gauge\na 1 1520879607.789\n",
        "# TYPE a gauge\na 1 1520879607789\n",
    ),
    (
        "a quote in a help",
        "# HELP a \\\"x\\\" \\\\ \\n\n# TYPE a gauge\na 1\n",
        "# HELP a \"x\" \\\\ \\n\n# TYPE a gauge\na 1\n",
    ),
    (
        "a histogram that begins",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 2\nh_created 3\n",
        "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_count 1\nh_sum 2\n# TYPE h_created gauge\nh_created 3\n",
    ),
    (
        "a gauge histogram",
        "# TYPE g gaugehistogram\ng_bucket{le=\"+Inf\"} 1\ng_gcount 1\ng_gsum -2\n",
        "# TYPE g_bucket untyped\ng_bucket{le=\"+Inf\"} 1\n# TYPE g_gcount untyped\ng_gcount 1\n# TYPE g_gsum untyped\ng_gsum -2\n",
    ),
    (
        "a summary",
        "# TYPE s summary\ns{quantile=\"0.9\"} 1\ns_count 2\ns_sum 3\n",
        "# TYPE s summary\ns{quantile=\"0.9\"} 1\ns_count 2\ns_sum 3\n",
    ),
    ("no TYPE at all", "a 1\n", "a 1\n"),
];

/// What no reader takes, in either format.
const WRONG: &[(&str, &str)] = &[
    ("a name that begins with a digit", "1a 1\n"),
    ("a name with a dash", "a-b 1\n"),
    ("no value", "a\n"),
    ("no value behind labels", "a{b=\"c\"}\n"),
    ("a word for a value", "a one\n"),
    ("a number in base sixteen", "a 0x1p2\n"),
    ("a number with underscores", "a 1_000\n"),
    ("a value in quotes", "a \"1\"\n"),
    ("braces that do not end", "a{b=\"c\" 1\n"),
    ("a value that does not end", "a{b=\"c} 1\n"),
    ("a label without quotes", "a{b=c} 1\n"),
    ("a label without a value", "a{b} 1\n"),
    ("a label without a name", "a{=\"c\"} 1\n"),
    ("a label whose name begins with a digit", "a{1b=\"c\"} 1\n"),
    ("two commas", "a{b=\"c\",,d=\"e\"} 1\n"),
    ("a comma alone", "a{,} 1\n"),
    ("no comma", "a{b=\"c\"d=\"e\"} 1\n"),
    ("the same label twice", "a{b=\"c\",b=\"d\"} 1\n"),
    ("braces twice", "a{b=\"c\"}{d=\"e\"} 1\n"),
    ("a time that is none", "a 1 now\n"),
    ("more behind the time", "a 1 2 3\n"),
    ("a TYPE of no name", "# TYPE 1a gauge\na 1\n"),
    (
        "a bound that is no number",
        "# TYPE h histogram\nh_bucket{le=\"x\"} 1\n",
    ),
    (
        "a quantile that is no number",
        "# TYPE s summary\ns{quantile=\"x\"} 1\n",
    ),
];

fn read(text: &str, open: Option<bool>) -> Result<(String, usize), String> {
    let rules = Rules {
        timestamps: true,
        open,
        ..Rules::default()
    };
    let page = clean(text.as_bytes(), &rules).map_err(|refused| refused.to_string())?;
    let text = String::from_utf8(page.render()).expect("a page is UTF-8");
    Ok((text, page.findings.len()))
}

#[test]
fn text_keeps_its_meaning() {
    for (what, text, written) in TEXT {
        assert_eq!(read(text, None), Ok(((*written).to_owned(), 0)), "{what}");
        assert_eq!(
            read(written, None),
            Ok(((*written).to_owned(), 0)),
            "{what}, again"
        );
    }
}

#[test]
fn open_metrics_keeps_its_meaning() {
    for (what, text, written) in OPEN {
        let expected = Ok(((*written).to_owned(), 0));
        // The last line may end, and may not.
        for end in ["# EOF", "# EOF\n"] {
            assert_eq!(read(&format!("{text}{end}"), None), expected, "{what}");
        }
        let said = read(&format!("{text}# EOF\n"), Some(true));
        assert_eq!(said, expected, "{what}, and somebody said so");
        let cut = read(text, Some(true)).unwrap_err();
        assert!(cut.contains("it was cut off"), "{what}: {cut}");
    }
}

#[test]
fn what_no_reader_takes_is_refused() {
    for (what, text) in WRONG {
        assert!(read(text, None).is_err(), "{what}");
        assert!(
            read(&format!("{text}# EOF\n"), None).is_err(),
            "{what}, as OpenMetrics"
        );
    }
}
