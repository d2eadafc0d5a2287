//! A supervisor and a worker in a few lines: the product's code in the order that DESIGN says.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::archive::{Archive, Dead, DeadRow, Turn, scrub};
use tallyboard_proto::cell::{Run, Shape};
use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::layout::{Layout, slot_header};
use tallyboard_proto::log::{self, Contents, Record};
use tallyboard_proto::slot::{self, SlotHeader, SlotWord, State, Tenant};
use tallyboard_proto::word::Words;

/// Cells of each series, by family and label values.
pub type Totals = BTreeMap<String, Vec<u64>>;

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
}

/// A slot, copied out.
struct Copied {
    contents: Contents,
    row: Vec<u64>,
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
        let mut started = Self { words, layout, catalog, catalog_words, archive, table };
        (0..layout.geometry.slots).for_each(|slot| started.finish(slot));
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
        let mut contents = Contents::new(self.layout.geometry.cells);
        let mut row = Vec::new();
        let base = self.layout.slot(slot);
        let (word, tenant) = self.table[slot];
        let begun = SlotHeader::read(self.words, base);
        if begun.is_none_or(|header| header.generation != word.generation) {
            return Ok(Copied { contents, row });
        }
        let mut log_words = self.catalog_words[..tenant.prefix as usize].to_vec();
        log::read(self.words, self.layout.slot_log(slot), 0, &mut log_words)
            .and_then(|_| contents.extend(&log_words))
            .map_err(|error| error.to_string())?;
        let cells = self.layout.slot_cells(slot);
        self.words.read(cells..cells + contents.end().cells, &mut row);
        Ok(Copied { contents, row })
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
                self.append(Record::Series { family, values: series.values.clone() });
            }
        }
    }

    fn runs(&self, contents: &Contents) -> Vec<Run> {
        let run = |series: &log::Series| {
            let family = &contents.families()[series.family as usize];
            let family = self.catalog.find_family(&family.name).expect("learned");
            let to = self.catalog.find_series(family, &series.values).expect("learned");
            let (shape, to) = (contents.shape(series), self.catalog.series()[to as usize].cell);
            Run { shape, series: 1, from: series.cell, to }
        };
        contents.series().iter().map(run).collect()
    }

    fn gauges(&self, slot: usize, copied: &Copied) -> Option<DeadRow> {
        let (word, tenant) = self.table[slot];
        let all = copied.contents.series().iter();
        let all = all.filter(|s| copied.contents.shape(s) == Shape::Gauge(GaugeMode::All));
        let cells: Vec<u64> = all.flat_map(|s| copied.row[s.cell..s.cell + 2].to_vec()).collect();
        let set = cells.chunks(2).any(|gauge| gauge[1] != 0);
        let (slot, generation) = (slot as u64, word.generation);
        set.then_some(DeadRow { pid: tenant.pid, slot, generation, cells })
    }

    /// Folds slots whose workers are dead.
    pub fn reclaim(&mut self, slots: &[usize]) -> Result<(), String> {
        slots.iter().for_each(|&slot| self.drain(slot));
        let copied = slots.iter().map(|&slot| self.copy(slot)).collect::<Result<Vec<_>, _>>()?;
        copied.iter().for_each(|copied| self.learn(&copied.contents));
        let runs: Vec<_> = copied.iter().map(|copied| self.runs(&copied.contents)).collect();
        let batch: Vec<_> = (slots.iter().zip(&copied).zip(&runs))
            .map(|((&slot, copied), runs)| Dead {
                slot,
                generation: self.table[slot].0.generation,
                row: &copied.row,
                runs,
                gauges: self.gauges(slot, copied),
                dropped: slot::dropped(self.words, self.layout.slot(slot)),
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

    /// Archive and slots together; the rows of gauges of mode `all`, the dead first.
    pub fn totals(&mut self) -> Result<(Totals, Vec<DeadRow>), String> {
        let slots = self.counting();
        let copied = slots.iter().map(|&slot| self.copy(slot)).collect::<Result<Vec<_>, _>>()?;
        copied.iter().for_each(|copied| self.learn(&copied.contents));
        let mut cells = self.archive.cells().to_vec();
        cells.resize(self.catalog.end().cells, 0);
        let mut rows: Vec<_> = self.archive.rows().cloned().collect();
        for (&slot, copied) in slots.iter().zip(&copied) {
            let runs = self.runs(&copied.contents);
            let archived = runs.iter().filter(|run| run.shape.is_archived());
            archived.for_each(|run| run.merge(&mut cells, &copied.row));
            rows.extend(self.gauges(slot, copied));
        }
        let archived = |s: &&log::Series| self.catalog.shape(s).is_archived();
        let total = |s: &log::Series| {
            let width = self.catalog.shape(s).width();
            (key(&self.catalog, s), cells[s.cell..s.cell + width].to_vec())
        };
        Ok((self.catalog.series().iter().filter(archived).map(total).collect(), rows))
    }
}

/// What a worker is told.
pub struct Grant {
    pub slot: usize,
    pub generation: u64,
    pub prefix: Vec<u64>,
}

/// A worker, counting as one whose cells have a single writing thread: load, then store.
pub struct Worker<'a, W: ?Sized> {
    words: &'a W,
    layout: Layout,
    slot: usize,
    committed: usize,
    contents: Contents,
}

impl<'a, W: Words + ?Sized> Worker<'a, W> {
    pub fn begin(words: &'a W, layout: Layout, grant: &Grant) -> Self {
        let prefix = grant.prefix.len() as u64;
        let header = SlotHeader { generation: grant.generation, arena_id: 1, prefix };
        header.write(words, layout.slot(grant.slot));
        let mut contents = Contents::new(layout.geometry.cells);
        contents.extend(&grant.prefix).expect("a catalog parses");
        Self { words, layout, slot: grant.slot, committed: 0, contents }
    }

    /// The worker that has `slot` now and goes on in it; `None` when nobody has begun to.
    pub fn resume(words: &'a W, layout: Layout, slot: usize) -> Option<Self> {
        let word = SlotWord::read(words, &layout, slot)?;
        let header = SlotHeader::read(words, layout.slot(slot))?;
        if word.state != State::Live || header.generation != word.generation {
            return None;
        }
        let prefix = layout.catalog..layout.catalog + header.prefix as usize;
        let mut log_words = Vec::new();
        words.read(prefix, &mut log_words);
        let area = layout.slot_log(slot);
        let committed = log::read(words, area, 0, &mut log_words).expect("its own log");
        let mut contents = Contents::new(layout.geometry.cells);
        contents.extend(&log_words).expect("its own log");
        Some(Self { words, layout, slot, committed, contents })
    }

    fn append(&mut self, record: Record) {
        let (words, area) = (record.to_words(), self.layout.slot_log(self.slot));
        self.committed = log::append(self.words, area, self.committed, &words)
            .expect("a log that is large enough");
        self.contents.push(record, words.len()).expect("cells enough");
    }

    /// The series, made when it is not there yet.
    pub fn series(&mut self, kind: Kind, name: &str, route: &str) -> log::Series {
        let family = self.contents.find_family(name).unwrap_or_else(|| {
            let family = Family::new(kind, name, "", "", &["route"]).expect("a good family");
            self.append(Record::Family(family));
            self.contents.families().len() as u32 - 1
        });
        let series = self.contents.find_series(family, &[route]).unwrap_or_else(|| {
            self.append(Record::Series { family, values: [route.into()].into() });
            self.contents.series().len() as u32 - 1
        });
        self.contents.series()[series as usize].clone()
    }

    pub fn key(&self, series: &log::Series) -> (String, Shape) {
        (key(&self.contents, series), self.contents.shape(series))
    }

    /// Changes a cell of a series; gives what it holds now.
    pub fn change(&self, series: &log::Series, cell: usize, by: impl Fn(u64) -> u64) -> u64 {
        let at = self.layout.slot(self.slot) + slot_header::WORDS + series.cell + cell;
        let now = by(self.words.load(at, Relaxed));
        self.words.store(at, now, Relaxed);
        now
    }
}
