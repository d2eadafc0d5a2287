//! The cells of a series of a native histogram, by position.

/// Observations in the zero bucket, of those that lie in the classic bucket of 0.
pub const ZERO: usize = 0;
/// Observations that are not a number: in no native bucket, and in the last classic one.
pub const NAN: usize = 1;
/// The sum of all observations (float).
pub const SUM: usize = 2;
/// Observations that were negative or not finite.
pub const ODD: usize = 3;
/// How many there are.
pub const COUNT: usize = 4;
