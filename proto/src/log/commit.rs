//! How records become visible: plain stores, then one of the commit word.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::error::{LogError, LogFull};
use crate::layout::LogArea;
use crate::word::Words;

/// Appends `record` behind the first `committed` words of a log and commits it; gives the new
/// length. The caller has made the words and the cells that the record owns real before, and hands
/// out no handle to them before this returns.
///
/// # Errors
/// [`LogFull`] when the record does not fit; nothing was written.
pub fn append<W: Words + ?Sized>(
    words: &W,
    area: LogArea,
    committed: usize,
    record: &[u64],
) -> Result<usize, LogFull> {
    let free = area.words - committed;
    if record.len() > free {
        return Err(LogFull { needed: record.len(), free });
    }
    for (at, &word) in record.iter().enumerate() {
        words.store(area.start + committed + at, word, Relaxed);
    }
    let length = committed + record.len();
    // Release: whoever sees the commit word sees the record. The synchronisation point is named
    // LOG-COMMIT; its other side is in `read`.
    words.store(area.commit, length as u64, Release);
    Ok(length)
}

/// Appends to `into` the words of a log from `from` up to its commit word; gives the new length.
///
/// # Errors
/// [`LogError::Commit`] when the commit word leads out of the log or has gone back.
pub fn read<W: Words + ?Sized>(
    words: &W,
    area: LogArea,
    from: usize,
    into: &mut Vec<u64>,
) -> Result<usize, LogError> {
    // Acquire: LOG-COMMIT, pairs with `append`.
    let found = words.load(area.commit, Acquire);
    let length = usize::try_from(found).unwrap_or(usize::MAX);
    if length < from || length > area.words {
        return Err(LogError::Commit { least: from, most: area.words, found });
    }
    words.read(area.start + from..area.start + length, into);
    Ok(length)
}
