//! By which definition a name is shown, and what is joined with it.
//!
//! A name may have several definitions: two releases side by side, one that was rolled back, two
//! libraries that mean different things. All are counted, each in cells of its own. One of them leads:
//! it gives type, gauge mode, unit and help text, and what the others of its type have counted is
//! joined with it. Which one leads is decided when rows have been read, and committed in the lives of
//! the first series of each, before anything is exposed by it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use tallyboard_proto::cell::Run;
use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::life::Life;

use crate::board::class::Class;
use crate::board::core::Core;
use crate::board::differences::differences;
use crate::board::names::joins;
use crate::board::shown::Shown;
use crate::board::unions::united;

impl<P> Core<P> {
    /// Decides how names are shown that have several definitions. The rows have just been read; what
    /// is decided counts from the next commit on, which comes before anything is exposed.
    pub(crate) fn settle_definitions(&mut self) {
        let names = &self.catalog.names;
        if names.definitions().is_empty() && names.rivals().is_empty() {
            return;
        }
        let had = self.had();
        let now_ms = self.now_ms();
        for &family in &had {
            let base = self.catalog.names.base(family);
            self.definitions.had_ms.insert(base, now_ms);
        }
        let names = &self.catalog.names;
        let all: HashSet<&Box<str>> =
            names.definitions().keys().chain(names.rivals().keys()).collect();
        let mut settled: BTreeMap<Box<str>, Shown> =
            all.into_iter().map(|name| (name.clone(), self.settled(name, &had))).collect();
        self.leave_rivals_out(&mut settled, &had);
        for (name, shown) in &settled {
            self.say_changed(name, shown);
            self.mark(name, shown);
        }
        self.definitions.shown = settled;
    }

    /// How a name is shown as far as its own definitions go.
    fn settled(&self, name: &str, had: &HashSet<u32>) -> Shown {
        let of = self.catalog.contents().families_named(name);
        let leader = self.leader_of(name, &of, had);
        let families = self.catalog.contents().families();
        let leads = &families[leader as usize];
        let names = &self.catalog.names;
        let is_joined = |&family: &u32| {
            names.base(family) == family
                && joins(&families[family as usize].kind, &leads.kind)
                && (had.contains(&family) || self.has_shown(family))
        };
        let joined: Vec<u32> = of.iter().copied().filter(is_joined).collect();
        // Bounds and states of the leader come first, then those of the living, then those that were
        // had last.
        let rank = |&family: &u32| {
            let is_leader = family == names.base(leader);
            let had_ms = self.definitions.had_ms.get(&family);
            (!is_leader, !had.contains(&family), Reverse((had_ms, family)))
        };
        let mut ranked: Vec<u32> = match leads.kind {
            // Wider buckets are never made finer again, whoever has them still.
            Kind::NativeHistogram(_) => {
                let is_native = |&family: &u32| joins(&families[family as usize].kind, &leads.kind);
                of.iter().copied().filter(is_native).collect()
            }
            _ => joined.clone(),
        };
        ranked.sort_by_key(rank);
        let kinds = ranked.iter().map(|&family| &families[family as usize].kind);
        let (kind, left_out) = united(kinds);
        let kind = if ranked.is_empty() { leads.kind.clone() } else { kind };
        let kind = if let Kind::Gauge(_) = kind { leads.kind.clone() } else { kind };
        let family = Family { kind, ..leads.clone() };
        Shown { leader, joined: joined.into(), family, is_shown: true, left_out, known: of.len() }
    }

    /// The definition that leads: of those of the type that is shown which living workers have, the
    /// one that began last; when they have none of that type, any; when they have none, that which led.
    fn leader_of(&self, name: &str, of: &[u32], had: &HashSet<u32>) -> u32 {
        let families = self.catalog.contents().families();
        let before = self.led(name, of);
        let is_same =
            |family: &u32| joins(&families[*family as usize].kind, &families[before as usize].kind);
        let living: Vec<u32> = of.iter().copied().filter(|family| had.contains(family)).collect();
        let last_of_type = living.iter().rev().find(|family| is_same(family));
        if let Some(&leader) = last_of_type.or(living.last()) {
            return leader;
        }
        if self.has_shown(self.catalog.names.base(before)) {
            return before;
        }
        of.iter().rev().copied().find(|&family| self.has_shown(family)).unwrap_or(before)
    }

    /// The definition that led last, as this supervisor or the one before it knows; else the first.
    fn led(&self, name: &str, of: &[u32]) -> u32 {
        let before = self.definitions.of(name).map(|shown| shown.leader);
        before.or_else(|| self.marked(of)).or(of.first().copied()).unwrap_or_default()
    }

    /// The definition that is written down as the one that led last.
    fn marked(&self, of: &[u32]) -> Option<u32> {
        of.iter().find_map(|&base| {
            let lead = usize::from(self.mark_of(base)?.1.lead);
            let worded = of.iter().filter(|&&family| self.catalog.names.base(family) == base);
            worded.copied().nth(lead.checked_sub(1)?)
        })
    }

    /// The first series of a family, whose life says whether it leads, and that life.
    fn mark_of(&self, base: u32) -> Option<(usize, Life)> {
        let series = *self.catalog.names.series_of(base).first()? as usize;
        Some((series, self.archive.life(series)))
    }

    /// Writes down which definition of a name leads, if it is shown.
    fn mark(&mut self, name: &str, shown: &Shown) {
        let of = self.catalog.contents().families_named(name);
        let leading = self.catalog.names.base(shown.leader);
        // One without series has no life that could say so; then what led last stays written.
        if self.mark_of(leading).is_none() {
            return;
        }
        for &base in of.iter().filter(|&&family| self.catalog.names.base(family) == family) {
            let Some((series, life)) = self.mark_of(base) else { continue };
            let worded = of.iter().filter(|&&family| self.catalog.names.base(family) == base);
            let leads = base == leading && shown.is_shown;
            let place = worded.take_while(|&&family| family != shown.leader).count() + 1;
            let lead = if leads { u8::try_from(place).unwrap_or(1) } else { 0 };
            self.archive.set_life(series, Life { lead, ..life });
        }
    }

    /// Leaves out names that have a sample's name in common with one that goes first.
    fn leave_rivals_out(&self, settled: &mut BTreeMap<Box<str>, Shown>, had: &HashSet<u32>) {
        let rivals = self.catalog.names.rivals();
        let led = |name: &str| {
            let of = self.catalog.contents().families_named(name);
            of.iter().any(|&base| self.mark_of(base).is_some_and(|(_, life)| life.lead != 0))
        };
        let first = |name: &str| self.catalog.contents().find_family(name);
        // Where nothing is written down yet, the name that began first was shown.
        let did_lead = |name: &str, others: &BTreeSet<Box<str>>| {
            led(name) || others.iter().all(|other| !led(other) && first(name) < first(other))
        };
        let mut order: Vec<_> = rivals
            .iter()
            .map(|(name, others)| {
                let (led, shown) = (did_lead(name, others), &settled[name]);
                let is_living = had.contains(&shown.leader);
                let began = Reverse(shown.leader);
                (!(led && is_living), !is_living, !led, began, name)
            })
            .collect();
        order.sort();
        let mut taken: HashSet<String> = HashSet::new();
        for (.., name) in order {
            let Some(shown) = settled.get_mut(name) else { continue };
            let samples: Vec<String> = shown.family.sample_names().collect();
            shown.is_shown = !shown.joined.is_empty() && samples.iter().all(|s| !taken.contains(s));
            if shown.is_shown {
                taken.extend(samples);
            }
        }
    }

    /// Says in the log and in a metric that a name is shown by another definition, and what cannot be
    /// shown with it.
    fn say_changed(&mut self, name: &str, shown: &Shown) {
        self.say_left_out(name, shown);
        let of = self.catalog.contents().families_named(name);
        let led = self.led(name, &of);
        let known = match self.definitions.of(name) {
            Some(before) => before.known,
            // What a supervisor before this one knew it has said.
            None if self.marked(&of).is_some() => shown.known,
            None => 1,
        };
        let is_another = led != shown.leader;
        if !is_another && known >= shown.known {
            return;
        }
        let now = if is_another { shown.leader } else { of.last().copied().unwrap_or(led) };
        let families = self.catalog.contents().families();
        let (from, to) = differences(&families[led as usize], &families[now as usize]);
        self.figures.definition_changes.count(name, &from, &to);
        if is_another {
            tracing::warn!(
                metric = name,
                from,
                to,
                "workers define a metric in another way than before, and it is shown so, joined with what was counted by other definitions of the type"
            );
            self.count_left_out(name, led, shown);
        } else {
            tracing::warn!(
                metric = name,
                from,
                to,
                "a worker defines a metric in another way than it is shown; another type is shown when no living worker has this one"
            );
        }
    }

    /// Says what of a name cannot be shown.
    fn say_left_out(&self, name: &str, shown: &Shown) {
        let before = self.definitions.of(name);
        let was_said = before.is_some_and(|before| before.left_out == shown.left_out);
        if !shown.left_out.is_empty() && !was_said {
            tracing::warn!(
                metric = name, bounds = ?shown.left_out,
                "the definitions of a histogram have more bounds than one histogram may have; those that no living worker had for longest are left out, and what is in their buckets is in the next"
            );
        }
        let was_shown = before.is_none_or(|before| before.is_shown);
        if was_shown && !shown.is_shown && !shown.joined.is_empty() {
            tracing::warn!(
                metric = name,
                "a metric has a sample of the same name as another metric that workers have, and is not exposed while they have that: use another name"
            );
        }
    }

    /// Counts the gauges of the dead that are not shown under another mode.
    fn count_left_out(&mut self, name: &str, led: u32, shown: &Shown) {
        let Kind::Gauge(mode) = shown.family.kind else { return };
        let families = self.catalog.contents().families();
        let Kind::Gauge(before) = families[led as usize].kind else { return };
        if merge_alike(before, mode) {
            return;
        }
        let series = shown.joined.iter().flat_map(|&base| self.catalog.names.series_of(base));
        let is_left_out = |series: &&u32| {
            let entry = &self.catalog.contents().series()[**series as usize];
            let of = &families[entry.family as usize].kind;
            *of == Kind::Gauge(before) && self.has_archived(**series)
        };
        let left_out = series.filter(is_left_out).count() as u64;
        if left_out > 0 {
            tracing::warn!(
                metric = name,
                series = left_out,
                from = before.name(),
                to = mode.name(),
                "what the dead have left of a gauge is not shown by another mode"
            );
            self.figures.left_out_gauges.count(name, left_out);
        }
    }

    /// Whether something of a family is shown, or would be if it led.
    pub(crate) fn has_shown(&self, base: u32) -> bool {
        let series = self.catalog.names.series_of(base).iter();
        series.copied().any(|series| !self.archive.life(series as usize).is_hidden)
    }

    /// How many families that have something to show are not shown, because another leads their name.
    pub(crate) fn definitions_left_out(&self) -> usize {
        let left_out = |(name, shown): (&str, &Shown)| {
            let of = self.catalog.contents().families_named(name);
            let is_out = |base: &&u32| {
                self.catalog.names.base(**base) == **base
                    && self.has_shown(**base)
                    && !(shown.is_shown && shown.joined.contains(base))
            };
            of.iter().filter(is_out).count()
        };
        let shown = self.definitions.shown.iter().map(|(name, shown)| (&**name, shown));
        shown.map(left_out).sum()
    }

    /// The definitions that living workers have: their own log begins it, or their cells count it.
    fn had(&self) -> HashSet<u32> {
        let mut had = HashSet::new();
        for slot in self.taken() {
            let taken = &self.slots[slot];
            let class = taken.class.as_deref().filter(|class| taken.row.len() == class.cells);
            let Some(class) = class.filter(|_| !taken.exited && !self.is_folded(slot)) else {
                continue;
            };
            let mut held = HashSet::new();
            for (run, family) in class.runs.iter().zip(&class.families) {
                let is_asked = self.catalog.names.is_tracked(*family) && !held.contains(family);
                if is_asked && self.holds_any(slot, class, run) {
                    held.insert(*family);
                }
            }
            for family in class.own_families() {
                let base = self.catalog.names.base(family);
                let is_tracked = self.catalog.names.is_tracked(base);
                if is_tracked && (held.contains(&base) || !self.has_removed_of(slot, base)) {
                    had.insert(family);
                }
            }
            had.extend(held);
        }
        had
    }

    /// Whether a worker has removed a series of a family.
    fn has_removed_of(&self, slot: usize, base: u32) -> bool {
        let family = |series: u32| self.catalog.contents().series()[series as usize].family;
        let mut last_words = self.slots[slot].last_words.iter();
        last_words.any(|(&series, &holds)| !holds && family(series) == base)
    }

    /// Whether a worker holds any series of a run.
    fn holds_any(&self, slot: usize, class: &Class, run: &Run) -> bool {
        let taken = &self.slots[slot];
        if taken.last_words.is_empty() {
            let is_set = |cells: &[u64]| cells.iter().any(|&cell| cell != 0);
            return class.is_own(run) || is_set(&taken.row[run.from..run.from + run.cells()]);
        }
        let series = self.catalog.contents().series();
        let first = series.partition_point(|series| series.cell < run.to);
        (first..first + run.series).any(|series| self.is_held_by(slot, series as u32))
    }
}

/// Whether values of two modes are merged alike, so that what the dead have left under one is kept
/// while the other is shown.
pub(crate) fn merge_alike(one: GaugeMode, other: GaugeMode) -> bool {
    use GaugeMode as Mode;
    let kept = |mode| match mode {
        Mode::All | Mode::LiveAll => Mode::All,
        Mode::Sum | Mode::LiveSum => Mode::Sum,
        Mode::Max | Mode::LiveMax => Mode::Max,
        Mode::Min | Mode::LiveMin => Mode::Min,
        Mode::MostRecent | Mode::LiveMostRecent => Mode::MostRecent,
    };
    kept(one) == kept(other)
}
