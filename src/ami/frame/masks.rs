//! Positions of line feeds, carriage returns and colons in 64 bytes, as bit masks.

use fearless_simd::prelude::*;
use fearless_simd::u8x64;

/// Number of bytes in one set of masks.
pub(super) const BLOCK_BYTES: usize = 64;

/// Bit `i` stands for byte `i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Masks {
    pub(super) line_feeds: u64,
    pub(super) returns: u64,
    pub(super) colons: u64,
}

impl Masks {
    /// The masks of one block.
    #[inline(always)]
    pub(super) fn of<S: Simd>(simd: S, block: &[u8; BLOCK_BYTES]) -> Self {
        let block = u8x64::from_slice(simd, block);
        let bits = |byte: u8| block.simd_eq(u8x64::splat(simd, byte)).to_bitmask();
        Self { line_feeds: bits(b'\n'), returns: bits(b'\r'), colons: bits(b':') }
    }
}

#[cfg(test)]
mod tests {
    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn masks_are_the_bytes(
            bytes in prop::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b':'), any::<u8>()], BLOCK_BYTES),
        ) {
            let expected = |byte: u8| {
                let here = |i: &usize| bytes[*i] == byte;
                (0..BLOCK_BYTES).filter(here).fold(0, |mask, i| mask | 1_u64 << i)
            };
            let masks = Masks { line_feeds: expected(b'\n'), returns: expected(b'\r'), colons: expected(b':') };
            let block = bytes.first_chunk().unwrap();
            for level in [Level::new(), Level::baseline()] {
                prop_assert_eq!(dispatch!(level, simd => Masks::of(simd, block)), masks);
            }
        }
    }
}
