//! Numbers that are the same in every run.

/// The generator splitmix64.
pub struct Random(u64);

impl Random {
    /// Prints the seed, so that a failure can be run again.
    pub fn new(name: &str, seed: u64) -> Self {
        println!("{name}: seed {seed:#x}");
        Self(seed)
    }

    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.word() % limit as u64) as usize
    }

    /// A number as damage makes it: small, near a limit, a power of two, or anything.
    pub fn damaged(&mut self, near: u64) -> u64 {
        match self.below(6) {
            0 => self.word() % 9,
            1 => near.wrapping_add(self.word() % 5).wrapping_sub(2),
            2 => 1 << (self.word() % 64),
            3 => u64::MAX - self.word() % 3,
            4 => near ^ 1 << (self.word() % 64),
            _ => self.word(),
        }
    }
}
