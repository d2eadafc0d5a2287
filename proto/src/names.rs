//! Which names metrics and labels may have, and which of them are Tallyboard's own.

use crate::limits::MAX_NAME_BYTES;

/// What the name of a family of exemplars begins with; no other name does.
pub const EXEMPLAR_PREFIX: &str = "tallyboard_exemplar:";
/// What the name of a family of buckets begins with; no other name does.
pub const BUCKET_PREFIX: &str = "tallyboard_bucket:";
/// Prefix of the names that the supervisor exposes itself.
pub const RESERVED_PREFIX: &str = "tallyboard_";
/// The one name behind that prefix that workers count under: what collectors and callbacks failed.
pub const COLLECTOR_ERRORS: &str = "tallyboard_collector_errors";
/// The label of [`COLLECTOR_ERRORS`].
pub const COLLECTOR_LABEL: &str = "collector";
/// Label that tells the processes of a gauge apart when its own labels take all other names.
pub const LAST_WORKER_LABEL: &str = "tallyboard_worker";

/// Whether `name` may be a label of a family, of an info or of an exemplar.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    is_metric_name(name) && !name.contains(':')
}

/// Whether `name` matches `[a-zA-Z_:][a-zA-Z0-9_:]*` (Prometheus data model).
pub(crate) fn is_metric_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}
