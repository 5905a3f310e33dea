/// The archived broker's hash of service and handler names: Murmur3 x86 32-bit, seed 104729.
///
/// It departs from Murmur3 in one place, which wire compatibility keeps: the one to three tail
/// bytes are sign-extended. Only names whose tail is not ASCII can tell.
pub fn murmur3(bytes: &[u8]) -> i32 {
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = SEED;
    for block in blocks {
        hash ^= scramble(u32::from_le_bytes(*block));
        hash = hash
            .rotate_left(13)
            .wrapping_mul(5)
            .wrapping_add(0xE654_6B64);
    }
    let tail = tail
        .iter()
        .enumerate()
        .fold(0, |k, (at, &byte)| k ^ (sign_extend(byte) << (8 * at)));
    hash ^= scramble(tail);
    finish(hash ^ bytes.len() as u32) as i32
}

const SEED: u32 = 104_729;

const fn sign_extend(byte: u8) -> u32 {
    byte as i8 as i32 as u32
}

const fn scramble(k: u32) -> u32 {
    k.wrapping_mul(0xCC9E_2D51)
        .rotate_left(15)
        .wrapping_mul(0x1B87_3593)
}

const fn finish(mut hash: u32) -> u32 {
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85EB_CA6B);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xC2B2_AE35);
    hash ^ (hash >> 16)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(bytes: &[u8]) -> i32 {
        ::murmur3::murmur3_32(&mut std::io::Cursor::new(bytes), SEED).expect("a slice") as i32
    }

    #[test]
    fn the_archived_brokers_vectors() {
        for (name, hash) in [
            ("", -965_378_730),
            ("1", -1_848_669_458),
            ("com.alibaba.user.UserService", -638_683_557),
            ("com.alibaba.user.UserService.findById", 1_567_202_038),
            ("com.alibaba.user.UserService:1.0.0", -140_868_446),
            ("dc1!com.alibaba.user.UserService:1.0.0", -41_418_261),
            (
                "com.alibaba.rsocket.health.RSocketServiceHealth",
                1_802_071_242,
            ),
            (
                "com.alibaba.rsocket.discovery.DiscoveryService",
                1_355_976_595,
            ),
            (
                "com.alibaba.rsocket.cloudevents.CloudEventsNotifyService",
                618_636_580,
            ),
            (
                "com.alibaba.rsocket.observability.MetricsService",
                -386_030_054,
            ),
            (
                "com.alibaba.rsocket.rpc.ReactiveServiceDiscovery",
                -1_417_224_180,
            ),
            (
                "com.alibaba.rsocket.config.ConfigurationService",
                181_264_026,
            ),
            (
                "com.alibaba.rsocket.health.RSocketServiceHealth.check",
                1_962_433_339,
            ),
            (
                "com.alibaba.rsocket.discovery.DiscoveryService.getInstances",
                -1_311_337_594,
            ),
            ("用户服务", -823_009_945),
        ] {
            assert_eq!(murmur3(name.as_bytes()), hash, "{name}");
            assert_eq!(canonical(name.as_bytes()), hash, "{name}");
        }
    }

    #[test]
    fn a_tail_beyond_ascii_is_sign_extended() {
        for (name, hash, standard) in [
            ("服务", 0x2536_E5F8, 0xBD8F_00EB_u32 as i32),
            ("a服务é", 0xAE7B_E91D_u32 as i32, 0xAD45_CA7D_u32 as i32),
            ("用户", -1_663_733_083, -521_872_559),
            ("服务.查询", -2_126_113_612, 924_471_511),
            ("user-é", 22_218_574, -27_018_545),
        ] {
            assert_eq!(murmur3(name.as_bytes()), hash, "{name}");
            assert_eq!(canonical(name.as_bytes()), standard, "{name}");
        }
    }

    proptest! {
        #[test]
        fn ascii_hashes_as_the_standard_says(bytes in proptest::collection::vec(0u8..0x80, 0..64)) {
            prop_assert_eq!(murmur3(&bytes), canonical(&bytes));
        }
    }
}
