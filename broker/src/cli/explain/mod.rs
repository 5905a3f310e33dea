//! `jackfield explain CODE`: the page of an error code.
//!
//! Pages are Markdown files beside this one, one for each code that a peer can read on the wire. The first line
//! names the code, the third the RSocket code it travels under.

use std::{fmt::Write, io};

use clap::Args;
use serde::Serialize;

use super::{
    exit::Failure,
    print::{print_json, print_text},
};

#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  jackfield explain RST-900404\n  jackfield explain 900404\n  \
                        jackfield explain REJECTED\n  jackfield explain 0x202"
)]
pub(super) struct Explain {
    /// RST-900404, 900404, 0x202 or REJECTED; without one, all codes are listed
    code: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// One page, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Page {
    /// `RST-900404`, `0x202`.
    code: &'static str,
    title: &'static str,
    /// The RSocket codes it travels under, as words.
    rsocket: &'static str,
    text: &'static str,
}

const PAGES: [&str; 61] = [
    include_str!("pages/RST-100001.md"),
    include_str!("pages/RST-100500.md"),
    include_str!("pages/RST-201400.md"),
    include_str!("pages/RST-201404.md"),
    include_str!("pages/RST-300205.md"),
    include_str!("pages/RST-400202.md"),
    include_str!("pages/RST-500200.md"),
    include_str!("pages/RST-500400.md"),
    include_str!("pages/RST-500402.md"),
    include_str!("pages/RST-500405.md"),
    include_str!("pages/RST-500406.md"),
    include_str!("pages/RST-500407.md"),
    include_str!("pages/RST-500409.md"),
    include_str!("pages/RST-500410.md"),
    include_str!("pages/RST-500411.md"),
    include_str!("pages/RST-600404.md"),
    include_str!("pages/RST-600500.md"),
    include_str!("pages/RST-700404.md"),
    include_str!("pages/RST-900401.md"),
    include_str!("pages/RST-900404.md"),
    include_str!("pages/RST-900405.md"),
    include_str!("pages/RST-900500.md"),
    include_str!("pages/RST-910200.md"),
    include_str!("pages/RST-910400.md"),
    include_str!("pages/RST-910401.md"),
    include_str!("pages/RST-910402.md"),
    include_str!("pages/RST-910405.md"),
    include_str!("pages/RST-910406.md"),
    include_str!("pages/RST-910408.md"),
    include_str!("pages/RST-910409.md"),
    include_str!("pages/RST-910410.md"),
    include_str!("pages/RST-910411.md"),
    include_str!("pages/RST-910412.md"),
    include_str!("pages/RST-910413.md"),
    include_str!("pages/RST-910415.md"),
    include_str!("pages/RST-910420.md"),
    include_str!("pages/RST-910429.md"),
    include_str!("pages/RST-910430.md"),
    include_str!("pages/RST-910431.md"),
    include_str!("pages/RST-910432.md"),
    include_str!("pages/RST-910433.md"),
    include_str!("pages/RST-910434.md"),
    include_str!("pages/RST-910435.md"),
    include_str!("pages/RST-910498.md"),
    include_str!("pages/RST-910499.md"),
    include_str!("pages/RST-910503.md"),
    include_str!("pages/RST-910504.md"),
    include_str!("pages/RST-910507.md"),
    include_str!("pages/RST-910508.md"),
    include_str!("pages/RST-910520.md"),
    include_str!("pages/0x001.md"),
    include_str!("pages/0x002.md"),
    include_str!("pages/0x003.md"),
    include_str!("pages/0x004.md"),
    include_str!("pages/0x101.md"),
    include_str!("pages/0x102.md"),
    include_str!("pages/0x201.md"),
    include_str!("pages/0x202.md"),
    include_str!("pages/0x203.md"),
    include_str!("pages/0x204.md"),
    include_str!("pages/0x301.md"),
];

impl Explain {
    pub(super) fn run(&self) -> Result<(), Failure> {
        let Some(written) = &self.code else {
            return self.list();
        };
        let page = find(written).ok_or_else(|| unknown(written))?;
        if self.json {
            print_json(&page)
        } else {
            print_text(page.text)
        }
    }

    fn list(&self) -> Result<(), Failure> {
        let pages: Vec<Page> = PAGES.into_iter().filter_map(Page::parse).collect();
        if self.json {
            return print_json(&pages);
        }
        let text = pages.iter().fold(String::new(), |mut text, page| {
            let _ = writeln!(text, "{:<12}{}", page.code, page.title);
            text
        });
        print_text(&text)
    }
}

impl Page {
    fn parse(text: &'static str) -> Option<Self> {
        let (heading, rest) = text.strip_prefix("# ")?.split_once('\n')?;
        let (code, title) = heading.split_once(": ")?;
        let rsocket = rest
            .trim_start()
            .strip_prefix("RSocket code: ")?
            .lines()
            .next()?;
        Some(Self {
            code: code.split(' ').next()?,
            title,
            rsocket,
            text,
        })
    }

    /// The name of a page about an RSocket code: `REJECTED`.
    fn name(&self) -> &'static str {
        self.rsocket.split(' ').next().unwrap_or_default()
    }

    fn is_rsocket(&self) -> bool {
        self.code.starts_with("0x")
    }
}

/// Codes from here on belong to applications.
const OWN_CODES: u32 = 0x301;

pub(super) fn find(written: &str) -> Option<Page> {
    let written = written.trim().to_ascii_uppercase();
    let mut pages = PAGES.into_iter().filter_map(Page::parse);
    if let Some(hex) = written.strip_prefix("0X") {
        let number = u32::from_str_radix(hex, 16).ok()?.min(OWN_CODES);
        let code = format!("0x{number:03x}");
        return pages.find(|page| page.code == code);
    }
    // A whole line may be pasted: `RST-900404: service not found`.
    let code = written.split(':').next().unwrap_or_default();
    let digits = code.trim().trim_start_matches("RST-");
    pages.find(|page| {
        let rst = page.code.strip_prefix("RST-") == Some(digits);
        rst || (page.is_rsocket() && page.name() == code.replace(['-', ' '], "_"))
    })
}

fn unknown(written: &str) -> Failure {
    let near = |code: &str| {
        let wanted = written.to_ascii_uppercase();
        let wanted = wanted.trim_start_matches("RST-");
        code.trim_start_matches("RST-")
            .chars()
            .zip(wanted.chars())
            .filter(|(a, b)| a == b)
            .count()
    };
    let codes = PAGES.into_iter().filter_map(Page::parse);
    let best = codes
        .max_by_key(|page| near(page.code))
        .filter(|page| near(page.code) > 3);
    let todo = match best {
        Some(page) => format!("did you mean {} ({})?", page.code, page.title),
        None => "run `jackfield explain` for all codes".into(),
    };
    Failure::usage(io::Error::other(format!(
        "there is no page for `{written}`; {todo}"
    )))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_page_is_whole_and_about_one_code() {
        let mut codes = BTreeSet::new();
        for text in PAGES {
            let page = Page::parse(text).unwrap_or_else(|| panic!("no heading: {text}"));
            assert!(codes.insert(page.code), "{} has two pages", page.code);
            for section in ["What happened", "How to confirm", "What to do"] {
                assert!(
                    text.contains(&format!("\n## {section}\n\n")),
                    "{}: {section}",
                    page.code
                );
            }
            assert!(
                text.lines().all(|line| line.len() <= 120),
                "{}: long line",
                page.code
            );
        }
    }

    #[test]
    fn codes_are_found_however_they_are_written() {
        for (written, code) in [
            ("RST-900404", "RST-900404"),
            ("rst-900404", "RST-900404"),
            ("900404", "RST-900404"),
            ("RST-900404: service not found: a", "RST-900404"),
            ("0x202", "0x202"),
            ("0X00000202", "0x202"),
            ("REJECTED", "0x202"),
            ("rejected-setup", "0x003"),
            ("0x4711", "0x301"),
        ] {
            assert_eq!(find(written).map(|page| page.code), Some(code), "{written}");
        }
        for written in [
            "",
            "900",
            "RST-",
            "999999",
            "0x",
            "0x205",
            "RST-900404x",
            "0x9999999999",
        ] {
            assert_eq!(find(written), None, "{written}");
        }
    }

    #[test]
    fn a_near_miss_is_suggested() {
        let message = unknown("RST-900403").to_string();
        assert!(message.contains("did you mean RST-90040"), "{message}");
        assert!(
            unknown("xyz")
                .to_string()
                .contains("run `jackfield explain`")
        );
    }
}
