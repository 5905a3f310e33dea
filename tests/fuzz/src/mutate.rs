use crate::random::Random;

/// Longer inputs find nothing that shorter ones do not.
const LEN_MAX: usize = 4096;

const NUMBERS: [u32; 14] = [
    0,
    1,
    5,
    6,
    63,
    64,
    127,
    128,
    255,
    0xFFFF,
    0x00FF_FFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    u32::MAX,
];

/// A new input: random bytes, or a seed with a few things done to it.
pub(crate) fn input(seeds: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    if seeds.is_empty() || random.below(8) == 0 {
        let most = 1 << random.below(11);
        let len = random.below(most);
        return (0..len).map(|_| random.byte()).collect();
    }
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(6) {
        mutate(&mut bytes, seeds, random);
    }
    bytes.truncate(LEN_MAX);
    bytes
}

fn mutate(bytes: &mut Vec<u8>, seeds: &[Vec<u8>], random: &mut Random) {
    let at = random.below(bytes.len());
    match random.below(10) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        1 if !bytes.is_empty() => bytes[at] = random.byte(),
        2 => bytes.insert(at, random.byte()),
        3 if !bytes.is_empty() => {
            let len = 1 + random.below(8);
            bytes.drain(at..(at + len).min(bytes.len()));
        }
        4 => bytes.truncate(at),
        5 => {
            let len = random.below(64).min(bytes.len() - at);
            let copy = bytes[at..at + len].to_vec();
            let to = random.below(bytes.len());
            bytes.splice(to..to, copy);
        }
        6 => {
            let number = NUMBERS[random.below(NUMBERS.len())].to_be_bytes();
            let number = &number[random.below(4)..];
            let end = (at + number.len()).min(bytes.len());
            bytes.splice(at..end, number.iter().copied());
        }
        7 => {
            let other = &seeds[random.below(seeds.len())];
            let from = random.below(other.len());
            bytes.truncate(at);
            bytes.extend_from_slice(&other[from..]);
        }
        8 => {
            let other = &seeds[random.below(seeds.len())];
            bytes.splice(at..at, other.iter().copied());
        }
        _ => bytes.extend((0..random.below(16)).map(|_| random.byte())),
    }
}
