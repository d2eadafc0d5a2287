//! How long and how many the parts of a family may be, whoever makes or reads one.

/// Longest name of a metric or label, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// Longest help text, in bytes.
pub const MAX_HELP_BYTES: usize = 4096;
/// Longest label value, in bytes.
pub const MAX_VALUE_BYTES: usize = 4096;
/// Most labels of a family.
pub const MAX_LABELS: usize = 64;
/// Most finite bounds of a histogram.
pub const MAX_BOUNDS: usize = 512;
/// Most states of a stateset.
pub const MAX_STATES: usize = 256;
