//! The seed corpus: one text file for each target, one input per line in hex.
//!
//! Blanks are for the reader, `#` begins a comment.

/// The seeds of a target; none of an unknown one.
pub(crate) fn seeds_of(target: &str) -> Vec<Vec<u8>> {
    let text = match target {
        "decoder" => include_str!("../seeds/decoder.hex"),
        "framed" => include_str!("../seeds/framed.hex"),
        "websocket" => include_str!("../seeds/websocket.hex"),
        "composite" => include_str!("../seeds/composite.hex"),
        "operations" => include_str!("../seeds/operations.hex"),
        "setup_resume" => include_str!("../seeds/setup_resume.hex"),
        "positions" => include_str!("../seeds/positions.hex"),
        "leases" => include_str!("../seeds/leases.hex"),
        "exposition" => include_str!("../seeds/exposition.hex"),
        _ => "",
    };
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Vec<u8>> {
    let hex: Vec<u8> = line
        .split('#')
        .next()?
        .chars()
        .filter_map(|c| c.to_digit(16).map(|digit| digit as u8))
        .collect();
    let bytes: Vec<u8> = hex
        .chunks_exact(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect();
    (!bytes.is_empty()).then_some(bytes)
}
