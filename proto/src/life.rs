//! The life of a series: when what it shows began, and whether it shows anything.
//!
//! A series keeps its entry in the catalog and its cells for as long as the arena lives. What ends
//! at a reset or a removal is a life: from then on the series shows its total without what was there
//! before, with a new created time.

/// One word per series, in a bank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Life {
    /// When it began, in milliseconds of Unix time; 0 when nobody said.
    pub created_ms: u64,
    /// Whether an earlier life has ended: then no worker's older word makes it begin earlier.
    pub is_renewed: bool,
    /// Whether a worker has removed it, and no later word has brought it back.
    pub is_removed: bool,
    /// Whether it is not shown: it is removed, and no living worker holds it.
    pub is_hidden: bool,
    /// Of the first series of a family: which of the family's help texts is shown, from 1 in the
    /// order of the catalog, while the definition is the one by which its name is shown; else 0.
    pub lead: u8,
}

const HIDDEN: u64 = 1;
const REMOVED: u64 = 2;
const RENEWED: u64 = 4;
/// Where the bits of `lead` begin.
const LEAD: u32 = 3;
/// Bits of the word that are not the time.
pub const LIFE_BITS: u32 = 11;
/// The latest moment that fits.
pub const MAX_CREATED_MS: u64 = u64::MAX >> LIFE_BITS;

impl Life {
    /// Packs it.
    #[must_use]
    pub fn to_word(self) -> u64 {
        let flag = |is: bool, bit| if is { bit } else { 0 };
        self.created_ms.min(MAX_CREATED_MS) << LIFE_BITS
            | u64::from(self.lead) << LEAD
            | flag(self.is_renewed, RENEWED)
            | flag(self.is_removed, REMOVED)
            | flag(self.is_hidden, HIDDEN)
    }

    /// Unpacks it.
    #[must_use]
    pub fn from_word(word: u64) -> Self {
        Self {
            created_ms: word >> LIFE_BITS,
            is_renewed: word & RENEWED != 0,
            is_removed: word & REMOVED != 0,
            is_hidden: word & HIDDEN != 0,
            lead: (word >> LEAD) as u8,
        }
    }

    /// A worker says that it began the series at `created_ms`: the earliest counts.
    pub fn begun(&mut self, created_ms: u64) {
        let earlier = self.created_ms == 0 || created_ms < self.created_ms;
        if !self.is_renewed && created_ms != 0 && earlier {
            self.created_ms = created_ms;
        }
    }

    /// The next life, which begins at `created_ms`.
    #[must_use]
    pub fn renewed(self, created_ms: u64) -> Self {
        let lead = self.lead;
        Self { created_ms, is_renewed: true, is_removed: false, is_hidden: false, lead }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_survives_the_round_trip() {
        for bits in [0, 1, 2, 4, 7, 8, 9 << 3, 255 << 3, (1 << LIFE_BITS) - 1] {
            for created in [0, 1, 1_700_000_000_000, MAX_CREATED_MS] {
                let word = created << LIFE_BITS | bits;
                assert_eq!(Life::from_word(word).to_word(), word);
            }
        }
        assert_eq!(Life { lead: 3, ..Life::default() }.renewed(5).lead, 3);
        let late = Life { created_ms: u64::MAX, ..Life::default() };
        assert_eq!(Life::from_word(late.to_word()).created_ms, MAX_CREATED_MS);
    }

    #[test]
    fn the_earliest_word_counts_until_a_life_has_ended() {
        let mut life = Life::default();
        for (said, created) in [(0, 0), (5, 5), (7, 5), (3, 3), (0, 3)] {
            life.begun(said);
            assert_eq!(life.created_ms, created);
        }
        let mut next = life.renewed(9);
        next.begun(1);
        assert_eq!(next.created_ms, 9);
    }
}
