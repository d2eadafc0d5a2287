//! Which names metrics and labels may have, and which of them are Tallyboard's own.

use crate::limits::MAX_NAME_BYTES;

/// What the name of a family of exemplars begins with; no other name does.
pub const EXEMPLAR_PREFIX: &str = "tallyboard_exemplar:";
/// What the exemplars of a family of samples are told apart by: the two values of a sample.
pub const SAMPLE_LABELS: [&str; 2] = ["suffix", "labels"];
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

/// Whether `name` may be that of a metric, or of a label of a family, of an info or of an exemplar: any
/// text that is not empty and not too long, as Prometheus 3 has it, but for the one character that its
/// parser of pages ends at. Pages have what others do not read in quotes, or escaped.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains('\0')
}

/// Whether `name` begins with [`RESERVED_PREFIX`], as it is or as it is once it is escaped: the
/// character behind the word may be any that becomes `_`.
pub(crate) fn is_reserved(name: &str) -> bool {
    let behind = name.strip_prefix(RESERVED_PREFIX.trim_end_matches('_'));
    let next = behind.and_then(|behind| behind.chars().next());
    next.is_some_and(|next| !next.is_ascii_alphanumeric() && next != ':')
}
