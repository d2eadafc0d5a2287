//! What stands before the values of sample lines, made once and copied at each scrape.

use crate::text::{write_float, write_prefix, write_whole};

/// Everything of sample lines that stands before their values, the space included: one buffer for
/// all the lines of a family or of a page.
///
/// A line has the same prefix in the text formats and in OpenMetrics 1.0; headers, `_created`,
/// exemplars and the end are what differs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    text: Vec<u8>,
    /// Where each line's prefix ends in `text`.
    ends: Vec<usize>,
}

impl Prefixes {
    /// Adds the prefix of the sample `name` + `suffix` with these labels, and says which line it is.
    pub fn push<'a>(
        &mut self,
        name: &str,
        suffix: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> usize {
        write_prefix(&mut self.text, name, suffix, labels);
        self.ends.push(self.text.len());
        self.ends.len() - 1
    }

    /// Adds a copy of a line of `other`, and says which line it is.
    ///
    /// # Panics
    ///
    /// If `other` has no such line.
    pub fn push_line(&mut self, other: &Self, line: usize) -> usize {
        self.text.extend_from_slice(other.line(line));
        self.ends.push(self.text.len());
        self.ends.len() - 1
    }

    /// How many lines there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is no line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The prefix of a line.
    ///
    /// # Panics
    ///
    /// If there is no such line.
    #[inline]
    #[must_use]
    pub fn line(&self, line: usize) -> &[u8] {
        let start = if line == 0 { 0 } else { self.ends[line - 1] };
        &self.text[start..self.ends[line]]
    }

    /// Writes a line with a whole value.
    ///
    /// # Panics
    ///
    /// If there is no such line.
    #[inline]
    pub fn write_whole(&self, page: &mut Vec<u8>, line: usize, value: u64) {
        page.extend_from_slice(self.line(line));
        write_whole(page, value);
        page.push(b'\n');
    }

    /// Writes a line with a float.
    ///
    /// # Panics
    ///
    /// If there is no such line.
    #[inline]
    pub fn write_float(&self, page: &mut Vec<u8>, line: usize, value: f64) {
        page.extend_from_slice(self.line(line));
        write_float(page, value);
        page.push(b'\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_write_the_lines_they_were_made_for() {
        let mut prefixes = Prefixes::default();
        assert!(prefixes.is_empty());
        let sum = prefixes.push("a", "_sum", [("b", "c\n")]);
        let plain = prefixes.push("a", "", []);
        let mut page = Vec::new();
        prefixes.write_whole(&mut page, plain, 7);
        prefixes.write_float(&mut page, sum, 0.5);
        assert_eq!(page, b"a 7\na_sum{b=\"c\\n\"} 0.5\n");
        assert_eq!(prefixes.len(), 2);
    }

    #[test]
    fn lines_are_copied_in_another_order() {
        let mut prefixes = Prefixes::default();
        let [a, b, c] = ["a", "bb", "ccc"].map(|name| prefixes.push(name, "", []));
        let mut sorted = Prefixes::default();
        for (line, place) in [(c, 0), (a, 1), (b, 2)] {
            assert_eq!(sorted.push_line(&prefixes, line), place);
        }
        assert_eq!([0, 1, 2].map(|line| sorted.line(line)), [&b"ccc "[..], b"a ", b"bb "]);
    }
}
