//! A supervisor in a few lines: the product's code in the order that the protocol says.

use std::collections::BTreeMap;

use tallyboard_proto::archive::{Archive, Dead, DeadRow, Turn, scrub};
use tallyboard_proto::cell::{MAX_COUNT, Run};
use tallyboard_proto::lane;
use tallyboard_proto::layout::Layout;
use tallyboard_proto::life::Life;
use tallyboard_proto::log::{self, Action, Contents, Record, Removal};
use tallyboard_proto::slot::{self, SlotHeader, SlotWord, State, Tenant};
use tallyboard_proto::word::Words;

use crate::worker::Grant;

/// When each series began and its cells, by family and label values.
pub type Totals = BTreeMap<String, (u64, Vec<u64>)>;

/// When every series begins in every worker.
pub const BEGUN_MS: u64 = 1;
/// When a supervisor sees that a hidden series counts again.
pub const NOW_MS: u64 = 2;

/// The name of a series in a [`Totals`].
pub fn key(contents: &Contents, series: &log::Series) -> String {
    format!("{}{:?}", contents.families()[series.family as usize].name, series.values)
}

/// The supervisor.
pub struct Supervisor<'a, W: ?Sized> {
    words: &'a W,
    layout: Layout,
    catalog: Contents,
    catalog_words: Vec<u64>,
    pub archive: Archive,
    pub table: Vec<(SlotWord, Tenant)>,
    /// What the cells of a slot and generation held at the last look: gone when it dies.
    last_good: BTreeMap<(usize, u64), Vec<u64>>,
}

/// A slot, copied out.
struct Copied {
    slot: usize,
    contents: Contents,
    row: Vec<u64>,
    /// The cells that hold more than a count can. They count 0.
    strays: Vec<usize>,
    /// How many of the series it took over.
    taken_over: usize,
    /// When each of its own series began.
    begun_ms: Vec<u64>,
    /// What its worker says of series, each with the place in the slot's log behind it.
    said: Vec<(usize, Removal)>,
}

impl Copied {
    /// The cells of a series; nothing when they were not read.
    fn cells(&self, series: usize) -> &[u64] {
        let series = &self.contents.series()[series];
        self.row.get(series.cell..series.cell + self.contents.shape(series).width()).unwrap_or(&[])
    }

    /// Where the worker's last word stands on whether it holds a series.
    fn last_word(&self, series: usize) -> Option<usize> {
        self.said.iter().rposition(|(_, said)| {
            said.series as usize == series && [Action::Remove, Action::Hold].contains(&said.action)
        })
    }

    /// What it had of a series when it removed it, with what it has taken back since; `None` when it
    /// did not, or holds it again.
    fn had(&self, series: usize) -> Option<Removal> {
        let at = self.last_word(series)?;
        let (_, removal) = &self.said[at];
        let mut had = (removal.action == Action::Remove).then(|| removal.clone())?;
        let shape = self.contents.shape(&self.contents.series()[series]);
        for (_, said) in &self.said[at..] {
            if said.series as usize == series && said.action == Action::Lower {
                shape.merge(&mut had.cells, &said.cells);
            }
        }
        Some(had)
    }

    /// What its worker says that it had of a series, or of the bucket `part` of it.
    fn said_of(&self, said: &Removal, part: usize) -> Vec<u64> {
        let series = &self.contents.series()[said.series as usize];
        let (own, mut buckets) = said.parts(self.contents.shape(series).width());
        match said.series as usize == part {
            true => own.to_vec(),
            false => {
                let bucket = buckets.find(|(bucket, _)| *bucket == part as u64);
                vec![bucket.map_or(0, |(_, cell)| cell)]
            }
        }
    }

    fn holds(&self, series: usize) -> bool {
        let is_set = || self.cells(series).iter().any(|&cell| cell != 0);
        match self.last_word(series) {
            Some(at) => self.said[at].1.action == Action::Hold,
            None => series >= self.taken_over || is_set(),
        }
    }
}

impl<'a, W: Words + ?Sized> Supervisor<'a, W> {
    /// Writes the slot table of a new arena.
    pub fn begin(words: &W, layout: &Layout) {
        (0..layout.geometry.slots).for_each(|slot| SlotWord::FIRST.publish(words, layout, slot));
    }

    /// Starts from what the arena holds: a restart, or a start after [`Supervisor::begin`].
    pub fn start(words: &'a W, layout: Layout) -> Result<Self, String> {
        let archive = Archive::recover(words, &layout).map_err(|error| error.to_string())?;
        let mut catalog = Contents::new(layout.geometry.cells);
        let mut catalog_words = Vec::new();
        log::read(words, layout.catalog_log(), 0, &mut catalog_words)
            .and_then(|_| catalog.extend(&catalog_words))
            .map_err(|error| error.to_string())?;
        let entry = |slot| {
            let word = SlotWord::read(words, &layout, slot).ok_or("a word that is no state")?;
            Ok::<_, String>((word, Tenant::read(words, &layout, slot)))
        };
        let table = (0..layout.geometry.slots).map(entry).collect::<Result<_, _>>()?;
        let last_good = BTreeMap::new();
        let mut started = Self { words, layout, catalog, catalog_words, archive, table, last_good };
        (0..layout.geometry.slots).for_each(|slot| started.finish(slot));
        started.hear()?;
        Ok(started)
    }

    pub fn turn(&self, slot: usize) -> Turn {
        Turn::of(self.table[slot].0, self.archive.folded(slot))
    }

    /// What was folded is scrubbed and freed.
    fn finish(&mut self, slot: usize) {
        if self.turn(slot) != Turn::Folded {
            return;
        }
        self.drain(slot);
        self.table[slot].0 = scrub(self.words, &self.layout, slot, self.table[slot].0);
    }

    fn publish(&mut self, slot: usize, state: State) {
        self.table[slot].0 = self.table[slot].0.to(state);
        self.table[slot].0.publish(self.words, &self.layout, slot);
    }

    fn drain(&mut self, slot: usize) {
        if self.table[slot].0.state != State::Draining {
            self.publish(slot, State::Draining);
        }
    }

    /// Gives a slot to the worker of `pid`, with the whole catalog as its prefix.
    pub fn assign(&mut self, slot: usize, pid: u64) -> Grant {
        let prefix = self.catalog.end().words;
        let tenant = Tenant { pid, prefix: prefix as u64, ..Tenant::default() };
        tenant.write(self.words, &self.layout, slot);
        self.table[slot].1 = tenant;
        self.publish(slot, State::Assigned);
        let prefix = self.catalog_words[..prefix].to_vec();
        Grant { slot, generation: self.table[slot].0.generation, prefix }
    }

    /// Hears that the worker has the slot.
    pub fn confirm(&mut self, slot: usize) {
        self.publish(slot, State::Live);
    }

    fn copy(&self, slot: usize) -> Result<Copied, String> {
        let contents = Contents::new(self.layout.geometry.cells);
        let (row, strays, begun_ms, said) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut copied = Copied { slot, contents, row, strays, taken_over: 0, begun_ms, said };
        let base = self.layout.slot(slot);
        let (word, tenant) = self.table[slot];
        let begun = SlotHeader::read(self.words, base);
        if begun.is_none_or(|header| header.generation != word.generation) {
            return Ok(copied);
        }
        let mut log_words = Vec::new();
        log::read(self.words, self.layout.slot_log(slot), 0, &mut log_words)
            .and_then(|_| copied.contents.extend(&self.catalog_words[..tenant.prefix as usize]))
            .map_err(|error| error.to_string())?;
        copied.taken_over = copied.contents.series().len();
        let parts = log::take_apart(&log_words, 0).map_err(|error| error.to_string())?;
        copied.contents.extend(&parts.structure).map_err(|error| error.to_string())?;
        for (end, removal) in &parts.removals {
            copied.contents.check(removal, *end).map_err(|error| error.to_string())?;
        }
        (copied.begun_ms, copied.said) = (parts.begun_ms, parts.removals);
        let cells = self.layout.slot_cells(slot);
        self.words.read(cells..cells + copied.contents.end().cells, &mut copied.row);
        for series in copied.contents.series() {
            let shape = copied.contents.shape(series);
            for lane in (0..lane::used(self.words, base) as usize).filter(|_| shape.counts()) {
                let start = self.layout.lane_cells(slot, lane) + series.cell;
                let mut counted = Vec::new();
                self.words.read(start..start + shape.width(), &mut counted);
                shape.merge(&mut copied.row[series.cell..][..shape.width()], &counted);
            }
            for (at, cell) in copied.row[series.cell..][..shape.width()].iter_mut().enumerate() {
                if shape.is_count(at) && *cell > MAX_COUNT {
                    *cell = 0;
                    copied.strays.push(series.cell + at);
                }
            }
        }
        Ok(copied)
    }

    /// Copies slots out, and learns their series.
    fn copy_all(&mut self, slots: &[usize]) -> Result<Vec<Copied>, String> {
        let copied = slots.iter().map(|&slot| self.copy(slot)).collect::<Result<Vec<_>, _>>()?;
        for copied in &copied {
            self.learn(&copied.contents);
            let own = &copied.contents.series()[copied.taken_over..];
            for (series, &begun_ms) in own.iter().zip(&copied.begun_ms) {
                self.archive.begun(self.place(&copied.contents, series), begun_ms);
            }
        }
        Ok(copied)
    }

    fn append(&mut self, record: Record) {
        let words = record.to_words();
        let (area, end) = (self.layout.catalog_log(), self.catalog.end().words);
        log::append(self.words, area, end, &words).expect("a catalog that is large enough");
        self.catalog.push(record, words.len()).expect("a record that was parsed before");
        self.catalog_words.extend(words);
    }

    /// Takes over what `contents` has and the catalog has not.
    fn learn(&mut self, contents: &Contents) {
        for series in contents.series() {
            let family = &contents.families()[series.family as usize];
            if self.catalog.find_family(&family.name).is_none() {
                self.append(Record::Family(family.clone()));
            }
            let family = self.catalog.find_family(&family.name).expect("just appended");
            if self.catalog.find_series(family, &series.values).is_none() {
                let (created_ms, values) = (series.created_ms, series.values.clone());
                self.append(Record::Series { family, created_ms, values });
            }
        }
    }

    /// The ordinal in the catalog of a series that it has learned.
    fn place(&self, contents: &Contents, series: &log::Series) -> usize {
        let family = &contents.families()[series.family as usize];
        let family = self.catalog.find_family(&family.name).expect("learned");
        self.catalog.find_series(family, &series.values).expect("learned") as usize
    }

    /// The ordinal in a slot of a series of the catalog.
    fn place_in(&self, copied: &Copied, series: usize) -> Option<usize> {
        let series = &self.catalog.series()[series];
        let family = &self.catalog.families()[series.family as usize];
        let family = copied.contents.find_family(&family.name)?;
        copied.contents.find_series(family, &series.values).map(|series| series as usize)
    }

    fn runs(&self, contents: &Contents) -> Vec<Run> {
        let run = |series: &log::Series| {
            let to = self.catalog.series()[self.place(contents, series)].cell;
            Run { shape: contents.shape(series), series: 1, from: series.cell, to }
        };
        contents.series().iter().map(run).collect()
    }

    /// The series of gauges of mode `all`, by ordinal.
    fn all_gauges(&self) -> impl Iterator<Item = usize> + '_ {
        let shape = |series: usize| self.catalog.shape(&self.catalog.series()[series]);
        let series = 0..self.catalog.series().len();
        series.filter(move |&series| shape(series).is_in_rows())
    }

    fn gauges(&self, copied: &Copied) -> Option<DeadRow> {
        let (word, tenant) = self.table[copied.slot];
        let gauge = |series| {
            let cells = self.place_in(copied, series).map(|series| copied.cells(series));
            cells.filter(|cells| !cells.is_empty()).unwrap_or(&[0, 0])
        };
        let cells: Vec<u64> = self.all_gauges().flat_map(|series| gauge(series).to_vec()).collect();
        let set = cells.chunks(2).any(|gauge| gauge[1] != 0);
        let (slot, generation) = (copied.slot as u64, word.generation);
        set.then_some(DeadRow { pid: tenant.pid, slot, generation, cells })
    }

    /// What a series is counted in: itself, and the buckets that a native histogram has.
    fn parts(&self, series: usize) -> Vec<usize> {
        let buckets = self.catalog.buckets_of(series as u32).iter();
        std::iter::once(series).chain(buckets.map(|(_, bucket)| *bucket as usize)).collect()
    }

    /// What archive and slots hold of a part of a series. A slot of which `until` knows what it had
    /// at some moment counts as far as that.
    fn total(
        &self,
        slots: &[Copied],
        series: usize,
        part: usize,
        until: impl Fn(&Copied, usize) -> Option<Removal>,
    ) -> Vec<u64> {
        let series_at = &self.catalog.series()[part];
        let shape = self.catalog.shape(series_at);
        let archived = self.archive.cells().get(series_at.cell..series_at.cell + shape.width());
        let mut total = archived.map_or_else(|| vec![0; shape.width()], <[u64]>::to_vec);
        for copied in slots {
            let Some(own) = self.place_in(copied, part) else { continue };
            let said = self.place_in(copied, series).and_then(|series| until(copied, series));
            match said {
                Some(said) => shape.merge(&mut total, &copied.said_of(&said, own)),
                None if copied.row.is_empty() => {}
                None => shape.merge(&mut total, copied.cells(own)),
            }
        }
        total
    }

    /// Ends a life of a series: what was counted in it is taken off, what was set is forgotten.
    fn end_life(&mut self, series: usize, total: &[u64]) {
        let cell = self.catalog.series()[series].cell;
        let shape = self.catalog.shape(&self.catalog.series()[series]);
        if shape.counts() {
            return self.archive.set_offset(cell, total);
        }
        self.archive.forget(cell, shape.width());
        let place = self.all_gauges().position(|gauge| gauge == series);
        if let Some(place) = place {
            self.archive.forget_in_rows(place);
        }
    }

    /// Takes off a part of a series what a worker takes back of it.
    fn lower(
        &mut self,
        slots: &[Copied],
        by: usize,
        removal: &Removal,
        series: usize,
        part: usize,
    ) {
        let Some(own) = self.place_in(&slots[by], part) else { return };
        let (amounts, own) = (slots[by].said_of(removal, own), slots[by].cells(own).to_vec());
        let total = self.total(slots, series, part, |_, _| None);
        let entry = &self.catalog.series()[part];
        let (cell, shape) = (entry.cell, self.catalog.shape(entry));
        let before = |at| self.archive.offsets().get(cell + at).copied().unwrap_or(0);
        let before: Vec<u64> = (0..shape.width()).map(before).collect();
        self.archive.set_offset(cell, &shape.lowered(&before, &amounts, &own, &total));
    }

    fn apply(&mut self, slots: &[Copied], by: usize, removal: &Removal) {
        let contents = &slots[by].contents;
        let series = self.place(contents, &contents.series()[removal.series as usize]);
        let life = self.archive.life(series);
        let life = match removal.action {
            Action::Reset => {
                let slot = slots[by].slot;
                let until = |copied: &Copied, _| (copied.slot == slot).then(|| removal.clone());
                for part in self.parts(series) {
                    let total = self.total(slots, series, part, until);
                    self.end_life(part, &total);
                }
                life.renewed(removal.at_ms)
            }
            Action::Lower => {
                for part in self.parts(series) {
                    self.lower(slots, by, removal, series, part);
                }
                Life { created_ms: removal.at_ms, is_renewed: true, ..life }
            }
            Action::Hold if life.is_hidden => life.renewed(removal.at_ms),
            Action::Remove => Life { is_removed: true, ..life },
            Action::Hold => Life { is_removed: false, ..life },
        };
        self.archive.set_life(series, life);
    }

    /// Takes over what a cell held at the last look that holds more than a count can now.
    fn judge(&mut self, copied: &Copied) {
        let turn = (copied.slot, self.table[copied.slot].0.generation);
        let before = self.last_good.insert(turn, copied.row.clone()).unwrap_or_default();
        let runs = self.runs(&copied.contents);
        for &stray in &copied.strays {
            let run = runs.iter().rfind(|run| run.from <= stray).expect("a cell of a series");
            let last_good = before.get(stray).copied().unwrap_or(0);
            if last_good != 0 {
                let place = run.to + stray - run.from;
                self.archive.take_over(place, last_good, self.catalog.end().cells);
            }
        }
    }

    /// Judges cells, applies what workers have said of their series, and commits it.
    pub fn hear(&mut self) -> Result<(), String> {
        let slots = self.copy_all(&self.counting())?;
        slots.iter().for_each(|copied| self.judge(copied));
        for (by, copied) in slots.iter().enumerate() {
            let applied = self.archive.applied(copied.slot);
            for (end, removal) in copied.said.iter().filter(|(end, _)| *end > applied) {
                self.apply(&slots, by, removal);
                self.archive.apply(copied.slot, *end);
            }
        }
        for series in 0..self.catalog.series().len() {
            self.hide_or_show(&slots, series);
        }
        self.archive.commit(self.words, &self.layout, self.catalog.end().cells);
        Ok(())
    }

    /// Hides a removed series that nobody holds any more, shows one that somebody holds or counts.
    fn hide_or_show(&mut self, slots: &[Copied], series: usize) {
        let life = self.archive.life(series);
        let holds = |copied| self.place_in(copied, series).is_some_and(|own| copied.holds(own));
        let is_held = slots.iter().any(holds);
        if life.is_removed && !life.is_hidden && !is_held {
            for part in self.parts(series) {
                let total = self.total(slots, series, part, Copied::had);
                self.end_life(part, &total);
            }
            self.archive.set_life(series, Life { is_hidden: true, ..life });
        } else if life.is_hidden && (is_held || self.shows(slots, series)) {
            self.archive.set_life(series, life.renewed(NOW_MS.max(life.created_ms)));
        }
    }

    /// Whether an exposition would show anything of a series.
    fn shows(&self, slots: &[Copied], series: usize) -> bool {
        let exposed = |part| self.exposed(slots, part);
        self.parts(series).into_iter().any(|part| exposed(part).iter().any(|&cell| cell != 0))
    }

    /// What an exposition shows of a series.
    fn exposed(&self, slots: &[Copied], series: usize) -> Vec<u64> {
        let mut total = self.total(slots, series, series, |_, _| None);
        let series = &self.catalog.series()[series];
        let offsets = self.archive.offsets().get(series.cell..).unwrap_or(&[]);
        self.catalog.shape(series).take_off(&mut total, offsets);
        total
    }

    /// Folds slots whose workers are dead.
    pub fn reclaim(&mut self, slots: &[usize]) -> Result<(), String> {
        self.hear()?;
        slots.iter().for_each(|&slot| self.drain(slot));
        let copied = self.copy_all(slots)?;
        let runs: Vec<_> = copied.iter().map(|copied| self.runs(&copied.contents)).collect();
        let batch: Vec<_> = (copied.iter().zip(&runs))
            .map(|(copied, runs)| Dead {
                slot: copied.slot,
                generation: self.table[copied.slot].0.generation,
                row: &copied.row,
                runs,
                gauges: self.gauges(copied),
                dropped: slot::dropped(self.words, self.layout.slot(copied.slot)),
            })
            .collect();
        self.archive.fold(self.words, &self.layout, self.catalog.end().cells, &batch);
        slots.iter().for_each(|&slot| self.finish(slot));
        Ok(())
    }

    /// The slots that are not in the archive.
    pub fn counting(&self) -> Vec<usize> {
        (0..self.table.len()).filter(|&slot| self.turn(slot) == Turn::Counts).collect()
    }

    /// Archive and slots together, without what was taken off; the rows of gauges of mode `all`,
    /// the dead first.
    pub fn totals(&mut self) -> Result<(Totals, Vec<DeadRow>), String> {
        self.hear()?;
        let slots = self.copy_all(&self.counting())?;
        let mut rows: Vec<_> = self.archive.rows().cloned().collect();
        rows.extend(slots.iter().filter_map(|copied| self.gauges(copied)));
        let mut totals = Totals::new();
        for (ordinal, series) in self.catalog.series().iter().enumerate() {
            let life = self.archive.life(ordinal);
            if self.catalog.shape(series).is_archived() && !life.is_hidden {
                let cells = self.exposed(&slots, ordinal);
                totals.insert(key(&self.catalog, series), (life.created_ms, cells));
            }
        }
        Ok((totals, rows))
    }
}
