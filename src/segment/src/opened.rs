//! Which pages of a mapping are open.

use std::ops::Range;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering::{Acquire, Release};

use tallyboard_proto::layout::{EXTENT_WORDS, PAGE_WORDS};

/// Pages of an extent.
const PAGES: usize = EXTENT_WORDS / PAGE_WORDS;
const _: () = assert!(PAGES == u16::BITS as usize, "a bit for each page of an extent");

/// Which pages of a mapping are open: of each extent, a bit for each page.
#[derive(Debug)]
pub(crate) struct Opened {
    extents: Box<[AtomicU16]>,
}

impl Opened {
    /// None of so many words are.
    pub(crate) fn none(words: usize) -> Self {
        Self { extents: (0..words.div_ceil(EXTENT_WORDS)).map(|_| AtomicU16::new(0)).collect() }
    }

    /// Whether every one of these words is.
    pub(crate) fn has(&self, words: Range<usize>) -> bool {
        // Acquire: pairs with `open`.
        in_extents(words)
            .all(|(extent, pages)| bits(&pages) & !self.extents[extent].load(Acquire) == 0)
    }

    /// Has `open` open the words of the pages that these words lie in and that are not open yet. An extent
    /// that has some already gets as many more at least, so that what grows is not opened page by page.
    ///
    /// # Errors
    /// That of `open`; what was opened before it stays open.
    pub(crate) fn open<E>(
        &self,
        words: Range<usize>,
        mut open: impl FnMut(Range<usize>) -> Result<(), E>,
    ) -> Result<(), E> {
        in_extents(words).try_for_each(|(extent, needed)| {
            let opened = self.extents[extent].load(Acquire);
            let missing = bits(&needed) & !opened;
            if missing == 0 {
                return Ok(());
            }
            let first = missing.trailing_zeros() as usize;
            let step = first + opened.count_ones() as usize;
            let pages = first..needed.end.max(step).min(PAGES);
            let word = |page: usize| extent * EXTENT_WORDS + page * PAGE_WORDS;
            open(word(pages.start)..word(pages.end))?;
            // Release: whoever finds the bits set may touch the pages.
            self.extents[extent].fetch_or(bits(&pages), Release);
            Ok(())
        })
    }
}

/// The pages that words lie in, extent by extent.
fn in_extents(words: Range<usize>) -> impl Iterator<Item = (usize, Range<usize>)> {
    let pages = words.start / PAGE_WORDS..words.end.div_ceil(PAGE_WORDS);
    let end = if words.is_empty() { 0 } else { pages.end.div_ceil(PAGES) };
    (pages.start / PAGES..end).map(move |extent| {
        let first = extent * PAGES;
        (extent, pages.start.saturating_sub(first)..(pages.end - first).min(PAGES))
    })
}

/// A bit for each of these pages of an extent.
fn bits(pages: &Range<usize>) -> u16 {
    let below = |page: usize| ((1_u32 << page) - 1) as u16;
    below(pages.end) & !below(pages.start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(opened: &Opened, words: Range<usize>) -> Vec<(usize, usize)> {
        let mut pages = Vec::new();
        let page = |words: Range<usize>| (words.start / PAGE_WORDS, words.end / PAGE_WORDS);
        let told = opened.open(words.clone(), |words| -> Result<(), ()> {
            pages.push(page(words));
            Ok(())
        });
        assert_eq!(told, Ok(()));
        assert!(opened.has(words));
        pages
    }

    #[test]
    fn what_grows_is_opened_in_steps_that_grow_and_nothing_twice() {
        let opened = Opened::none(2 * EXTENT_WORDS);
        assert_eq!(open(&opened, 0..1), [(0, 1)]);
        assert_eq!(open(&opened, 0..PAGE_WORDS), []);
        let mut steps = Vec::new();
        for end in PAGE_WORDS..=2 * EXTENT_WORDS {
            steps.extend(open(&opened, end - 1..end));
        }
        assert_eq!(
            steps,
            [(1, 2), (2, 4), (4, 8), (8, 16), (16, 17), (17, 18), (18, 20), (20, 24), (24, 32)]
        );
        assert_eq!(open(&opened, 0..2 * EXTENT_WORDS), []);
    }

    #[test]
    fn what_lies_in_the_middle_is_opened_alone() {
        let opened = Opened::none(3 * EXTENT_WORDS);
        assert_eq!(open(&opened, 512..512), []);
        assert_eq!(open(&opened, EXTENT_WORDS + 600..EXTENT_WORDS + 601), [(17, 18)]);
        assert!(!opened.has(EXTENT_WORDS..EXTENT_WORDS + 600));
        assert!(!opened.has(0..1) && !opened.has(EXTENT_WORDS + 1024..EXTENT_WORDS + 1025));
        let over_two = EXTENT_WORDS - 1..2 * EXTENT_WORDS + 1;
        assert_eq!(open(&opened, over_two), [(15, 16), (16, 32), (32, 33)]);
    }

    #[test]
    fn what_could_not_be_opened_is_not_open() {
        let opened = Opened::none(EXTENT_WORDS);
        assert_eq!(opened.open(0..1, |_| Err("full")), Err("full"));
        assert!(!opened.has(0..1));
        assert_eq!(open(&opened, 0..1), [(0, 1)]);
    }
}
