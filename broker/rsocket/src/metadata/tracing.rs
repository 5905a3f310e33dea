//! Whose trace a request belongs to (0x7D).
//!
//! Spec: "Tracing (Zipkin) Metadata Extension". The flags, then what they announce:
//!
//! ```text
//! u8   80 ids are there, 40 debug, 20 sampled, 10 not sampled, 08 a trace id of 128 bits, 04 a parent
//! u64  of the trace, or u128
//! u64  of the span
//! u64  of its parent
//! ```

use super::MetadataError;
use super::cursor::Cursor;

/// What one entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// None when the entry only says whether to sample.
    pub trace_id: Option<u128>,
    /// Whether somebody keeps the trace.
    pub sampled: bool,
}

impl Tracing {
    pub fn decode(content: &[u8]) -> Result<Self, MetadataError> {
        let mut cursor = Cursor::new(content);
        let flags = cursor.u8("flags of tracing")?;
        let sampled = flags & (DEBUG | SAMPLED) != 0;
        if flags & IDS == 0 {
            let trace_id = None;
            return Ok(Self { trace_id, sampled });
        }
        let high = match flags & WIDE {
            0 => 0,
            _ => cursor.u64("trace id")?,
        };
        let low = cursor.u64("trace id")?;
        cursor.u64("span id")?;
        if flags & PARENT != 0 {
            cursor.u64("id of the parent span")?;
        }
        Ok(Self {
            trace_id: Some(u128::from(high) << 64 | u128::from(low)),
            sampled,
        })
    }
}

const IDS: u8 = 0x80;
const DEBUG: u8 = 0x40;
const SAMPLED: u8 = 0x20;
const WIDE: u8 = 0x08;
const PARENT: u8 = 0x04;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_bytes() {
        let ids = [
            &[0; 7][..],
            &[1],
            &[0; 7],
            &[2],
            &[0; 7],
            &[3],
            &[0; 7],
            &[4],
        ]
        .concat();
        for (flags, len, trace_id, sampled) in [
            (0x10, 0, None, false),
            (0x20, 0, None, true),
            (0xA0, 16, Some(1), true),
            (0x90, 16, Some(1), false),
            (0xC4, 24, Some(1), true),
            (0xA8, 24, Some(1 << 64 | 2), true),
            (0xAC, 32, Some(1 << 64 | 2), true),
        ] {
            let entry = [&[flags], &ids[..len]].concat();
            let read = Tracing { trace_id, sampled };
            assert_eq!(Tracing::decode(&entry), Ok(read), "{flags:x}");
            for cut in 0..entry.len() {
                let error = Tracing::decode(&entry[..cut]).unwrap_err();
                assert!(
                    matches!(error, MetadataError::Truncated(_)),
                    "{flags:x} {cut}"
                );
            }
        }
    }
}
