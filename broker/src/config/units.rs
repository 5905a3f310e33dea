//! Sizes and durations as people write them.

use std::time::Duration;

const SIZE_UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("B", 1),
    ("kB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

const DURATION_UNITS: [(&str, u64); 6] = [
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// `4MiB`, `512 kB`, `16777215`: bytes. The error says how to write one.
pub fn parse_size(text: &str) -> Result<u64, String> {
    scale(text, &SIZE_UNITS)
        .ok_or_else(|| "write a size such as \"4MiB\", \"512KiB\" or a number of bytes".into())
}

/// `30s`, `5ms`, `1.5h`. A bare number is refused, because it could mean anything.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    scale(text, &DURATION_UNITS)
        .map(Duration::from_nanos)
        .ok_or_else(|| "write a duration with its unit, such as \"30s\", \"5ms\" or \"2m\"".into())
}

fn scale(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = (text[..digits].replace('_', ""), text[digits..].trim());
    let (_, factor) = units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    let whole: u64 = whole.parse().ok()?;
    let part = fraction_of(fraction, *factor)?;
    whole.checked_mul(*factor)?.checked_add(part)
}

/// `0.fraction * factor`, rounded down.
fn fraction_of(fraction: &str, factor: u64) -> Option<u64> {
    if fraction.is_empty() {
        return Some(0);
    }
    if fraction.len() > 9 {
        return None;
    }
    let digits: u64 = fraction.parse().ok()?;
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    u64::try_from(u128::from(digits) * u128::from(factor) / scale).ok()
}

/// The shortest exact spelling, as [`parse_size`] reads it.
pub fn show_size(bytes: u64) -> String {
    let fits = |(_, factor): &&(&str, u64)| bytes >= *factor && bytes.is_multiple_of(*factor);
    let binary = SIZE_UNITS
        .iter()
        .rev()
        .filter(|(name, _)| name.contains('i'));
    match binary.clone().find(fits) {
        Some((unit, factor)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, bytes) in [
            ("16777215", Some(16_777_215)),
            ("4MiB", Some(4 << 20)),
            ("4 mib", Some(4 << 20)),
            ("1.5KiB", Some(1536)),
            ("512kB", Some(512_000)),
            ("1_000", Some(1000)),
            ("", None),
            ("MiB", None),
            ("-1", None),
            ("4 parsecs", None),
            ("1.2.3", None),
            ("99999999999GiB", None),
        ] {
            assert_eq!(parse_size(text).ok(), bytes, "{text}");
        }
    }

    #[test]
    fn durations() {
        for (text, nanos) in [
            ("30s", Some(30_000_000_000)),
            ("5ms", Some(5_000_000)),
            ("0.5s", Some(500_000_000)),
            ("2m", Some(120_000_000_000)),
            ("30", None),
            ("s", None),
            ("1y", None),
        ] {
            assert_eq!(
                parse_duration(text).ok(),
                nanos.map(Duration::from_nanos),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for bytes in [0, 1, 1023, 1024, 4 << 20, 16_777_215, 64 << 20, 3 << 30] {
            assert_eq!(parse_size(&show_size(bytes)), Ok(bytes));
        }
    }
}
