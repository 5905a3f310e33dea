use super::MetadataError;

/// Reads big-endian fields off the front of borrowed bytes.
///
/// Each getter names the field it reads, so that a truncation says where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(
        &mut self,
        len: usize,
        what: &'static str,
    ) -> Result<&'a [u8], MetadataError> {
        let (head, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(MetadataError::Truncated(what))?;
        self.rest = rest;
        Ok(head)
    }

    pub(super) fn u8(&mut self, what: &'static str) -> Result<u8, MetadataError> {
        Ok(self.array::<1>(what)?[0])
    }

    pub(super) fn u16(&mut self, what: &'static str) -> Result<u16, MetadataError> {
        Ok(u16::from_be_bytes(self.array(what)?))
    }

    pub(super) fn u24(&mut self, what: &'static str) -> Result<usize, MetadataError> {
        let [a, b, c] = self.array(what)?;
        Ok(u32::from_be_bytes([0, a, b, c]) as usize)
    }

    pub(super) fn i32(&mut self, what: &'static str) -> Result<i32, MetadataError> {
        Ok(i32::from_be_bytes(self.array(what)?))
    }

    pub(super) fn u64(&mut self, what: &'static str) -> Result<u64, MetadataError> {
        Ok(u64::from_be_bytes(self.array(what)?))
    }

    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], MetadataError> {
        let (head, rest) = self
            .rest
            .split_first_chunk::<N>()
            .ok_or(MetadataError::Truncated(what))?;
        self.rest = rest;
        Ok(*head)
    }
}

/// UTF-8 text, or an error that names the field.
pub(super) fn text<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a str, MetadataError> {
    std::str::from_utf8(bytes).map_err(|_| MetadataError::NotUtf8(what))
}

/// The largest value of a 24-bit length.
pub(super) const U24_MAX: usize = 0x00FF_FFFF;

/// Appends a 24-bit length; `len` has been checked against [`U24_MAX`].
pub(super) fn put_u24(out: &mut Vec<u8>, len: usize) {
    debug_assert!(len <= U24_MAX);
    out.extend_from_slice(&(len as u32).to_be_bytes()[1..]);
}

/// Fails when `len` is over `max`.
pub(super) const fn check_len(
    what: &'static str,
    len: usize,
    max: usize,
) -> Result<(), MetadataError> {
    if len > max {
        Err(MetadataError::TooLong { what, len, max })
    } else {
        Ok(())
    }
}
