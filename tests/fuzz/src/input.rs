/// Bytes read as choices. When they have run out, every choice is zero.
#[derive(Clone, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.0
    }

    /// At most `len` bytes.
    pub(crate) fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    pub(crate) fn flip(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte()) % bound.max(1)
    }

    pub(crate) fn word(&mut self) -> u32 {
        let mut word = [0; 4];
        let taken = self.take(4);
        word[..taken.len()].copy_from_slice(taken);
        u32::from_be_bytes(word)
    }

    /// A number that is small, large or near a power of two, as protocols care for.
    pub(crate) fn number(&mut self) -> u32 {
        match self.byte() % 4 {
            0 => u32::from(self.byte() % 8),
            1 => u32::from(self.byte()),
            2 => {
                let shift = self.byte() % 32;
                (1_u32 << shift)
                    .wrapping_add(u32::from(self.byte() % 3))
                    .wrapping_sub(1)
            }
            _ => self.word(),
        }
    }

    /// So many bytes that depend on nothing but their number and the next choice.
    pub(crate) fn filler(&mut self, len: usize) -> Vec<u8> {
        let first = self.byte();
        (0..len).map(|at| first.wrapping_add(at as u8)).collect()
    }
}
