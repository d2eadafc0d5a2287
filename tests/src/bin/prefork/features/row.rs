//! The tables of features: what a worker does in its turn, and what is shown from each moment on.
//!
//! A line of a row is its name and five cells, `_total | 1 @1 | = | 3 @1 | = | 4 @1`: what is shown
//! behind the name after each [`Moment`], where `=` is what was shown before and `-` is nothing. So it
//! is shown after each death of a supervisor too. What stands in the cells [`super::shown`] says.

use std::error::Error;

/// When something is done and shown: a worker acts, another does, the first acts again, the second
/// is killed, and a third that was born after all that acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Moment {
    First = 1,
    Second,
    Again,
    Killed,
    Last,
}

pub(crate) type Done = Result<(), Box<dyn Error>>;

/// A feature.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    /// What the names of its samples have between `feat_` and their suffix.
    pub(crate) name: &'static str,
    /// What a worker does in its turn, by the name of the row.
    pub(crate) act: fn(&str, Moment) -> Done,
    lines: &'static [&'static str],
}

impl Row {
    pub(crate) const fn new(
        name: &'static str,
        act: fn(&str, Moment) -> Done,
        lines: &'static [&'static str],
    ) -> Self {
        Self { name, act, lines }
    }

    /// The lines that are shown after this moment, without what `name` says.
    ///
    /// # Panics
    /// When one has not a cell for each moment.
    pub(crate) fn shown_at(&self, moment: Moment) -> Vec<String> {
        let line = |line: &&str| {
            let cells: Vec<&str> = line.split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 6, "expected a name and five cells, found {line:?}");
            let by_now = cells[1..=moment as usize].iter().rfind(|cell| **cell != "=")?;
            (*by_now != "-").then(|| format!("{} {by_now}", cells[0]))
        };
        self.lines.iter().filter_map(line).collect()
    }
}

/// The name of the family of a row.
pub(crate) fn family(row: &str) -> String {
    format!("feat_{row}")
}

#[cfg(test)]
mod tests {
    use super::Moment::{Again, First, Killed, Last, Second};
    use super::*;

    #[test]
    fn a_cell_is_shown_until_there_is_another() {
        let lines = &["_a{b='c'} | 1 @1 | = | - | = | 2 # {d='e'} 3 @4", "| - | 5 | = | 6 | ="];
        let row = Row::new("row", |_, _| Ok(()), lines);
        let shown = [First, Second, Again, Killed, Last].map(|moment| row.shown_at(moment));
        let first = "_a{b='c'} 1 @1";
        assert_eq!(shown[0], [first]);
        assert_eq!(shown[1], [first, " 5"]);
        assert_eq!(shown[2], [" 5"]);
        assert_eq!(shown[3], [" 6"]);
        assert_eq!(shown[4], ["_a{b='c'} 2 # {d='e'} 3 @4", " 6"]);
    }
}
