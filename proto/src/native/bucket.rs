//! What the buckets of a native histogram are, and which of them a number is in.

use std::fmt::{self, Display};
use std::str::FromStr;

use super::index::{MAX_SCHEMA, MIN_SCHEMA, index, widen};
use crate::limits::MAX_BOUNDS;

/// The width of the zero bucket unless another is given: that of Prometheus' client for Go, 2^-128.
pub const DEFAULT_ZERO_THRESHOLD: f64 = f64::from_bits((1023 - 128) << 52);
/// Most buckets that a histogram can be given.
pub const MAX_BUCKETS: u16 = 4096;

/// What the buckets of a native histogram are.
#[derive(Clone, Debug, PartialEq)]
pub struct Native {
    /// Schema of the buckets of level 0, from [`MIN_SCHEMA`] to [`MAX_SCHEMA`].
    pub schema: i8,
    /// What is not further from zero than this is in the zero bucket.
    pub zero_threshold: f64,
    /// How many buckets there may be beside the zero bucket before wider ones are taken.
    pub max_buckets: u16,
    /// The finite upper bounds of classic buckets, rising; none when there are no classic buckets.
    pub bounds: Box<[f64]>,
}

/// On which side of zero a bucket is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Below.
    Negative,
    /// The zero bucket itself, of index and level 0.
    Zero,
    /// Above.
    Positive,
}

/// A bucket, or the part of it that lies in one classic bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket {
    /// Number of the classic bucket; 0 when there is only the one up to +Inf.
    pub classic: u16,
    /// Side of zero.
    pub side: Side,
    /// Index at its level.
    pub index: i32,
    /// How often it is twice as wide as a bucket of the histogram's schema.
    pub level: u8,
}

impl Native {
    /// The bucket of level 0 that a number is in; `None` for what is no number.
    #[inline]
    #[must_use]
    pub fn bucket(&self, value: f64) -> Option<Bucket> {
        if value.is_nan() {
            return None;
        }
        let classic = self.classic(value);
        if value.abs() <= self.zero_threshold {
            return Some(Bucket { classic, side: Side::Zero, index: 0, level: 0 });
        }
        let side = if value < 0.0 { Side::Negative } else { Side::Positive };
        Some(Bucket { classic, side, index: index(value.abs(), self.schema), level: 0 })
    }

    /// The number of the classic bucket that a value is in; NaN is in the one up to +Inf.
    #[inline]
    #[must_use]
    pub fn classic(&self, value: f64) -> u16 {
        // Written so that NaN is below no bound.
        #[allow(clippy::neg_cmp_op_on_partial_ord)]
        let number = self.bounds.partition_point(|bound| !(value <= *bound));
        number as u16
    }

    /// Whether a bucket is counted in the cell of the histogram's own series.
    #[inline]
    #[must_use]
    pub fn is_own_zero(&self, bucket: Bucket) -> bool {
        bucket.side == Side::Zero && bucket.classic == self.classic(0.0)
    }

    /// How many levels there are beside level 0.
    #[inline]
    #[must_use]
    pub fn levels(&self) -> u8 {
        (self.schema - MIN_SCHEMA).unsigned_abs()
    }

    /// Whether a worker of this histogram can have such a bucket.
    #[must_use]
    pub fn has(&self, bucket: Bucket) -> bool {
        let zero = self.classic(-self.zero_threshold)..=self.classic(self.zero_threshold);
        usize::from(bucket.classic) <= self.bounds.len()
            && bucket.level <= self.levels()
            && (bucket.side != Side::Zero || zero.contains(&bucket.classic))
    }

    /// The least level from `least` on at which the buckets, none of which is of a higher level than
    /// that, are no more than there may be; the last level if there is none.
    #[must_use]
    pub fn level(&self, least: u8, buckets: impl Iterator<Item = Bucket>) -> u8 {
        let sides = buckets.filter(|bucket| bucket.side != Side::Zero);
        let mut found: Vec<(Side, i32)> =
            sides.map(|bucket| (bucket.side, bucket.at_level(least).index)).collect();
        found.sort_unstable();
        found.dedup();
        let mut level = least;
        while found.len() > usize::from(self.max_buckets) && level < self.levels() {
            level += 1;
            found.iter_mut().for_each(|(_, index)| *index = widen(*index, 1));
            found.dedup();
        }
        level
    }
}

impl Bucket {
    /// The bucket of a level that this one, of no higher level, is a part of.
    #[inline]
    #[must_use]
    pub fn at_level(self, level: u8) -> Self {
        match self.side {
            Side::Zero => self,
            _ => Self { index: widen(self.index, level.saturating_sub(self.level)), level, ..self },
        }
    }
}

impl Display for Bucket {
    /// `3+-12/1` is the bucket of index -12 and level 1 above zero, in classic bucket 3; `3z` is the
    /// zero bucket there.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = match self.side {
            Side::Zero => return write!(out, "{}z", self.classic),
            Side::Negative => '-',
            Side::Positive => '+',
        };
        write!(out, "{}{sign}{}/{}", self.classic, self.index, self.level)
    }
}

/// A text that names no bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotABucket;

impl FromStr for Bucket {
    type Err = NotABucket;

    /// Reads what [`Display`] writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, NotABucket> {
        let at = text.find(|c: char| !c.is_ascii_digit()).ok_or(NotABucket)?;
        let (classic, rest) = text.split_at(at);
        let classic = classic.parse().map_err(|_| NotABucket)?;
        let bucket = match rest.split_at_checked(1).ok_or(NotABucket)? {
            ("z", "") => Self { classic, side: Side::Zero, index: 0, level: 0 },
            (sign @ ("+" | "-"), place) => {
                let (index, level) = place.split_once('/').ok_or(NotABucket)?;
                let index = index.parse().map_err(|_| NotABucket)?;
                let level = level.parse().map_err(|_| NotABucket)?;
                let side = if sign == "-" { Side::Negative } else { Side::Positive };
                Self { classic, side, index, level }
            }
            _ => return Err(NotABucket),
        };
        let is_one = usize::from(classic) <= MAX_BOUNDS
            && bucket.level <= (MAX_SCHEMA - MIN_SCHEMA) as u8
            && bucket.index.unsigned_abs() <= MAX_INDEX;
        // One bucket has one text, so that a bucket is one series.
        if is_one && bucket.to_string() == text { Ok(bucket) } else { Err(NotABucket) }
    }
}

/// The greatest distance of an index from 0: that of infinity at the finest schema is 2^18 + 1.
const MAX_INDEX: u32 = 1 << 19;

#[cfg(test)]
mod tests {
    use super::*;

    fn native(schema: i8, max_buckets: u16, bounds: &[f64]) -> Native {
        let bounds = bounds.into();
        Native { schema, zero_threshold: DEFAULT_ZERO_THRESHOLD, max_buckets, bounds }
    }

    #[test]
    fn two_buckets_of_a_level_are_one_of_the_next() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
            let value = f64::from_bits(seed);
            for schema in [8, 3, 0, -2] {
                let native = native(schema, 160, &[]);
                let Some(bucket) = native.bucket(value) else { continue };
                for level in 0..=native.levels() {
                    let wider = Native { schema: schema - level as i8, ..native.clone() };
                    let expect = wider.bucket(value).expect("the same number");
                    let found = bucket.at_level(level);
                    assert_eq!((found.side, found.index), (expect.side, expect.index), "{value}");
                    assert_eq!(bucket.at_level(level / 2).at_level(level), found);
                }
            }
        }
    }

    #[test]
    fn a_level_is_as_high_as_it_must_be_and_no_higher() {
        let octaves = |count: i32| {
            (0..count).map(|index| Bucket { classic: 0, side: Side::Positive, index, level: 0 })
        };
        let native = native(0, 8, &[]);
        for (count, least, expect) in [(8, 0, 0), (9, 0, 1), (8, 2, 2), (17, 0, 2), (4000, 0, 4)] {
            assert_eq!(native.level(least, octaves(count)), expect, "{count} from {least}");
        }
        let zero = Bucket { classic: 0, side: Side::Zero, index: 0, level: 0 };
        assert_eq!(native.level(0, octaves(8).chain([zero])), 0, "the zero bucket is not counted");
    }

    #[test]
    fn a_classic_bucket_cuts_a_native_one() {
        let native = native(0, 160, &[-1.0, 0.0, 1.5]);
        let text = |value| native.bucket(value).map(|bucket| bucket.to_string());
        for (value, expect) in [
            (-1.0, Some("0-0/0")),
            (-0.9, Some("1-0/0")),
            (0.0, Some("1z")),
            (1e-60, Some("2z")),
            (1.5, Some("2+1/0")),
            (1.6, Some("3+1/0")),
            (f64::NEG_INFINITY, Some("0-1025/0")),
            (f64::NAN, None),
        ] {
            assert_eq!(text(value).as_deref(), expect, "{value}");
        }
        assert!(native.is_own_zero("1z".parse().expect("a bucket")));
        assert!(!native.is_own_zero("2z".parse().expect("a bucket")));
        assert_eq!(native.classic(f64::NAN), 3);
    }

    #[test]
    fn a_bucket_has_one_text() {
        for text in ["0z", "512z", "0+0/0", "3+-12/1", "3--12/12", "1-262145/0"] {
            assert_eq!(text.parse::<Bucket>().map(|bucket| bucket.to_string()), Ok(text.into()));
        }
        for text in [
            "",
            "z",
            "0",
            "00z",
            "0z1",
            "513z",
            "+1/0",
            "0+1",
            "0++1/0",
            "0+01/0",
            "0+-0/0",
            "0+1/13",
            "0+1/00",
            "0+524289/0",
            "0+1/0 ",
            "0*1/0",
            "é",
            "0é",
            "99999999999999999999z",
        ] {
            assert_eq!(text.parse::<Bucket>(), Err(NotABucket), "{text}");
        }
    }
}
