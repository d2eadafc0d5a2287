//! Counts as OTLP has them: whole numbers.

use tallyboard_exposition::sample::Value;

/// A count that is a whole number.
pub(super) fn whole(value: Value) -> Option<u64> {
    match value {
        Value::Whole(value) => Some(value),
        Value::Float(value) if value >= 0.0 && value as u64 as f64 == value => Some(value as u64),
        Value::Float(_) => None,
    }
}
