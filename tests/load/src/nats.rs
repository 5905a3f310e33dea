//! The text protocol of NATS, as far as request and reply need it.
//!
//! `MSG <subject> <sid> [reply-to] <bytes>\r\n<payload>\r\n` is the only line that carries data;
//! of the others just PING (must be answered), PONG (tells that what went before was taken) and
//! `-ERR` matter.

use bytes::BufMut;

use crate::frame::Garbled;

/// Plain, quiet, and no headers: what the payload costs is all we want to see.
pub(crate) const CONNECT: &[u8] =
    b"CONNECT {\"verbose\":false,\"pedantic\":false,\"tls_required\":false,\"lang\":\"raw\",\
      \"version\":\"1\",\"protocol\":1,\"echo\":true}\r\n";
pub(crate) const PING: &[u8] = b"PING\r\n";
pub(crate) const PONG: &[u8] = b"PONG\r\n";

/// A control line is at most 4 KiB by the server's default.
const LINE_MAX: usize = 4096;

/// One received operation.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Op<'a> {
    Msg {
        subject: &'a [u8],
        reply_to: Option<&'a [u8]>,
        data: &'a [u8],
    },
    Ping,
    Pong,
    Err(&'a [u8]),
    /// INFO and +OK.
    Other,
}

/// The first operation of `input` and the bytes it took, or `None` while it is incomplete.
pub(crate) fn split(input: &[u8]) -> Result<Option<(usize, Op<'_>)>, Garbled> {
    let Some(end) = input.iter().position(|&byte| byte == b'\r') else {
        return if input.len() > LINE_MAX {
            Err(Garbled)
        } else {
            Ok(None)
        };
    };
    let line = &input[..end];
    let after = end + 2;
    if let Some(fields) = line.strip_prefix(b"MSG ") {
        return message(fields, input, after);
    }
    if input.len() < after {
        return Ok(None);
    }
    let op = match line {
        b"PING" => Op::Ping,
        b"PONG" => Op::Pong,
        _ if line.starts_with(b"-ERR") => Op::Err(line),
        _ if line.starts_with(b"INFO ") || line == b"+OK" => Op::Other,
        _ => return Err(Garbled),
    };
    Ok(Some((after, op)))
}

fn message<'a>(
    fields: &'a [u8],
    input: &'a [u8],
    after: usize,
) -> Result<Option<(usize, Op<'a>)>, Garbled> {
    let mut fields = fields.split(|&byte| byte == b' ');
    let subject = fields.next().ok_or(Garbled)?;
    let _sid = fields.next().ok_or(Garbled)?;
    let third = fields.next().ok_or(Garbled)?;
    let (reply_to, size) = match fields.next() {
        Some(fourth) => (Some(third), fourth),
        None => (None, third),
    };
    let size = decimal(size).ok_or(Garbled)?;
    let Some(data) = input.get(after..after + size) else {
        return Ok(None);
    };
    let taken = after + size + 2;
    let op = Op::Msg {
        subject,
        reply_to,
        data,
    };
    Ok((input.len() >= taken).then_some((taken, op)))
}

pub(crate) fn put_pub(out: &mut Vec<u8>, subject: &[u8], head: &[u8], tail: &[u8]) {
    out.put_slice(b"PUB ");
    out.put_slice(subject);
    out.put_u8(b' ');
    put_decimal(out, head.len() + tail.len());
    out.put_slice(b"\r\n");
    out.put_slice(head);
    out.put_slice(tail);
    out.put_slice(b"\r\n");
}

/// Digits only; bounded well below the lengths at which a sum could overflow.
pub(crate) fn decimal(digits: &[u8]) -> Option<usize> {
    if digits.is_empty() || digits.len() > 12 {
        return None;
    }
    digits.iter().try_fold(0, |sum, digit| {
        digit
            .is_ascii_digit()
            .then(|| sum * 10 + usize::from(digit - b'0'))
    })
}

/// `std::fmt` costs more than the rest of the line together.
fn put_decimal(out: &mut Vec<u8>, mut value: usize) {
    let mut digits = [b'0'; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_read_back() {
        let input = b"MSG load.Echo 1 _INBOX.7 3\r\nabc\r\nPING\r\n";
        let (taken, op) = split(input).unwrap().unwrap();
        let msg = Op::Msg {
            subject: b"load.Echo",
            reply_to: Some(b"_INBOX.7"),
            data: b"abc",
        };
        assert_eq!(op, msg);
        assert_eq!(split(&input[taken..]), Ok(Some((6, Op::Ping))));
        for end in 0..taken {
            assert_eq!(split(&input[..end]), Ok(None));
        }
        let (_, op) = split(b"MSG inbox 1 0\r\n\r\n").unwrap().unwrap();
        assert_eq!(
            op,
            Op::Msg {
                subject: b"inbox",
                reply_to: None,
                data: b""
            }
        );
        assert_eq!(split(b"MSG inbox 1 x\r\n"), Err(Garbled));
        assert_eq!(split(b"HELLO\r\n"), Err(Garbled));
    }

    #[test]
    fn publishing_counts_its_bytes() {
        let mut out = Vec::new();
        put_pub(&mut out, b"inbox", b"v1", b"0123456789");
        put_pub(&mut out, b"x", b"", b"");
        assert_eq!(out, b"PUB inbox 12\r\nv10123456789\r\nPUB x 0\r\n\r\n");
    }
}
