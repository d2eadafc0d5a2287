//! Series of several definitions that are shown as one: what is said of one of them holds for all.
//!
//! Each has cells and a life of its own. So that what is shown of all together does not fall while one
//! of them is held, they are hidden together and reset together, and one that comes to others that are
//! shown takes their created time over. A series that no other is like is alone with itself.

use std::collections::{HashMap, HashSet};

use tallyboard_proto::life::Life;

use crate::board::core::Core;
use crate::board::said::Counted;

/// What is known while all that workers have said since rows were read last is applied.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// What workers had counted of series when they removed them, by series and slot: what they have
    /// counted later is of the next life.
    pub(crate) removed: HashMap<(u32, usize), Counted>,
    /// The totals of series that were lowered. The rows stay as they are meanwhile, so one is added
    /// up once, however often it is lowered.
    pub(crate) totals: HashMap<u32, Vec<u64>>,
    /// Series that a worker has removed and that it holds one beside that is alike: it defines its
    /// metric anew.
    pub(crate) replaced: HashSet<u32>,
}

impl<P> Core<P> {
    /// Hides a series that nobody holds, and all that are alike.
    pub(crate) fn hide(&mut self, series: u32, pass: &Pass) {
        for alike in self.all_alike(series) {
            let life = self.archive.life(alike as usize);
            if !life.is_hidden {
                self.end_lives(alike, |slot| pass.removed.get(&(alike, slot)));
                let life = Life { is_removed: true, is_hidden: true, ..life };
                self.archive.set_life(alike as usize, life);
            }
        }
    }

    /// Ends the life of a series that nobody holds, when those that are alike are held by nobody but
    /// the workers that removed it: they have defined it anew, and what is shown begins anew as well.
    /// Where others hold them nothing falls, and what was counted stays.
    pub(crate) fn replace(&mut self, series: u32, pass: &Pass) {
        let life = self.archive.life(series as usize);
        let is_replaced = |alike: &u32| {
            let mut holders = self
                .places(*alike)
                .filter(|&(slot, place, is_own)| self.holds(slot, place, is_own, *alike));
            holders.all(|(slot, ..)| pass.removed.contains_key(&(series, slot)))
        };
        let is_over = !self.is_held(series) && self.all_alike(series).iter().all(is_replaced);
        if !is_over {
            self.archive.set_life(series as usize, Life { is_removed: false, ..life });
            return;
        }
        self.end_lives(series, |slot| pass.removed.get(&(series, slot)));
        self.archive.set_life(series as usize, Life { is_hidden: true, ..life });
        for beside in self.shown_beside(series) {
            let life = self.archive.life(beside as usize);
            let begun_ms = life.created_ms.max(self.now_ms());
            self.archive.set_life(beside as usize, life.renewed(begun_ms));
        }
    }

    /// The series that are shown as one with a series, itself included.
    pub(crate) fn all_alike(&self, series: u32) -> Vec<u32> {
        match self.catalog.names.alike(series) {
            [] => vec![series],
            alike => alike.to_vec(),
        }
    }

    /// Those of them that are shown, a series itself left aside.
    pub(crate) fn shown_beside(&self, series: u32) -> Vec<u32> {
        let alike = self.catalog.names.alike(series).iter().copied();
        let is_shown =
            |alike: &u32| *alike != series && !self.archive.life(*alike as usize).is_hidden;
        alike.filter(is_shown).collect()
    }

    /// When the series began that are shown as one with a series: one that comes to them makes
    /// nothing fall, and begins no life of its own.
    pub(crate) fn begun_beside(&self, series: u32) -> Option<u64> {
        let beside = self.shown_beside(series);
        (!beside.is_empty()).then(|| self.created_of(&beside))
    }

    /// When series that are shown as one began: the latest moment at which a life of one ended, else
    /// the earliest that somebody said; 0 when nobody did.
    pub(crate) fn created_of(&self, series: &[u32]) -> u64 {
        let lives = || series.iter().map(|&series| self.archive.life(series as usize));
        let renewed = lives().filter(|life| life.is_renewed).map(|life| life.created_ms);
        let said = lives().map(|life| life.created_ms).filter(|&created_ms| created_ms != 0);
        renewed.max().or_else(|| said.min()).unwrap_or(0)
    }

    /// What is said of a series, whether it is removed, is said of those that are shown as one with it.
    pub(crate) fn set_removed_beside(&mut self, series: u32, is_removed: bool, is_new: bool) {
        for alike in self.shown_beside(series).into_iter().filter(|_| is_new) {
            let life = self.archive.life(alike as usize);
            self.archive.set_life(alike as usize, Life { is_removed, ..life });
        }
    }
}
