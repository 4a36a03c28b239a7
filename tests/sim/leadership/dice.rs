//! Randomness of one run: xoshiro256++, seeded by splitmix64, so that an old seed means the same run for ever
//! (as long as the schedule of its scenario is not changed).

/// See the module.
#[derive(Debug, Clone)]
pub(crate) struct Dice([u64; 4]);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        let mut state = seed;
        let mut mix = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        Self([mix(), mix(), mix(), mix()])
    }

    pub(crate) fn next(&mut self) -> u64 {
        let [a, b, c, d] = self.0;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.0 = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// From `low` to `high`, `high` excluded unless they are equal.
    pub(crate) fn range(&mut self, low: u64, high: u64) -> u64 {
        if high <= low { low } else { low + self.next() % (high - low) }
    }

    pub(crate) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.range(0, len as u64)).unwrap_or(0)
    }

    /// True `percent` times in a hundred.
    pub(crate) fn percent(&mut self, percent: u32) -> bool {
        self.next() % 100 < u64::from(percent)
    }

    /// From -1 to 1.
    pub(crate) fn signed_unit(&mut self) -> f64 {
        f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) / f64::from(u32::MAX) * 2.0 - 1.0
    }

    pub(crate) fn seed32(&mut self) -> [u8; 32] {
        let mut seed = [0; 32];
        for chunk in seed.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes());
        }
        seed
    }

    /// Mostly short, sometimes long: an exponential with this mean.
    pub(crate) fn around(&mut self, mean: u64) -> u64 {
        let unit = (f64::from(u32::try_from(self.next() >> 32).unwrap_or(0)) + 1.0) / (f64::from(u32::MAX) + 2.0);
        Duration::from_micros(mean).mul_f64(-unit.ln()).as_micros().try_into().unwrap_or(mean)
    }
}

use std::time::Duration;
