//! Metrics that are not counted but looked up: gauges with a callback, and collectors.
//!
//! A registry without supervisor asks them when it is exposed. The shared one has a thread for them
//! in each process that has any: it writes what they say into the slot, every few seconds. The
//! thread is not inherited by a forked child, which starts its own at its first use.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tallyboard_exposition::cells::type_of;
use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};
use tallyboard_proto::cell::stamp;
use tallyboard_proto::family::{Family, GaugeMode, Kind};
use tallyboard_proto::layout::{DropReason, slot_header};
use tallyboard_proto::pairs;
use tallyboard_segment::process::spawn_quiet;

use crate::definition::{describe, shares_a_name};
use crate::error::RegisterError;
use crate::metric::{Gauge, Metric};
use crate::registry::Registry;

/// Something that knows metrics when it is asked: a pool, a cache, another library.
///
/// ```
/// use tallyboard::sample::{FamilySamples, Sample, Type, Value};
/// use tallyboard::{Collector, Registry};
///
/// struct Pool;
///
/// impl Collector for Pool {
///     fn collect(&self) -> Vec<FamilySamples> {
///         let mut family = FamilySamples::new(Type::Gauge, "pool_connections", "Open connections.");
///         family.samples.push(Sample::new("", vec![], Value::Whole(4)));
///         vec![family]
///     }
/// }
///
/// let registry = Registry::new();
/// registry.register_collector(Pool)?;
/// assert_eq!(registry.gather()[0].samples[0].value, Value::Whole(4));
/// # Ok::<(), tallyboard::RegisterError>(())
/// ```
pub trait Collector: Send + Sync + 'static {
    /// The families that it will collect; their samples do not matter. What it would collect now,
    /// unless it says otherwise.
    fn describe(&self) -> Vec<FamilySamples> {
        self.collect()
    }

    /// Its families, now. In the shared registry a counter or histogram that goes down, or is not
    /// among them any more, is left as it was, and all samples of a family have the label names of
    /// its first one.
    fn collect(&self) -> Vec<FamilySamples>;

    /// How its gauges in many processes become one.
    fn gauge_mode(&self) -> GaugeMode {
        GaugeMode::All
    }
}

/// What is asked again and again.
#[derive(Clone)]
pub(crate) enum Source {
    /// A gauge with its callback.
    Callback(Gauge, Arc<dyn Fn() -> f64 + Send + Sync>),
    /// A collector with the names of its samples.
    Collector(Arc<dyn Collector>, Arc<[Family]>),
}

/// What a collector said, and which families it may say something of.
struct Collected {
    mode: GaugeMode,
    described: Arc<[Family]>,
    families: Vec<FamilySamples>,
}

impl Source {
    /// The first cell of a gauge with a callback.
    pub(crate) fn first(&self) -> Option<usize> {
        match self {
            Self::Callback(gauge, _) => Some(gauge.series().cells.first()),
            Self::Collector(..) => None,
        }
    }

    /// The families that a collector described.
    pub(crate) fn families(&self) -> &[Family] {
        match self {
            Self::Collector(_, families) => families,
            Self::Callback(..) => &[],
        }
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Callback(gauge, _) => f.debug_tuple("Callback").field(gauge).finish(),
            Self::Collector(_, names) => f.debug_tuple("Collector").field(names).finish(),
        }
    }
}

impl Gauge {
    /// Has the gauge ask `value` from now on: when its registry is exposed, or every few seconds in
    /// the shared one (see [`RegistryBuilder::refresh_interval`](crate::RegistryBuilder::refresh_interval)).
    /// A callback that panics is not asked that time. It ends when the series is removed.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use tallyboard::{Gauge, Registry};
    ///
    /// static WAITING: AtomicUsize = AtomicUsize::new(3);
    /// let registry = Registry::new();
    /// let waiting = Gauge::builder("app_waiting", "Requests that wait.").registry(registry);
    /// waiting.register()?.set_function(|| WAITING.load(Ordering::Relaxed) as f64);
    /// let (_, page) = registry.exposition_of_process("", &[]);
    /// assert!(String::from_utf8_lossy(&page).contains("app_waiting 3\n"));
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub fn set_function(&self, value: impl Fn() -> f64 + Send + Sync + 'static) {
        self.series().registry.add_source(Source::Callback(*self, Arc::new(value)));
    }
}

impl Registry {
    /// Registers a collector.
    ///
    /// # Errors
    /// [`RegisterError`] when it describes a family that cannot be, or one whose samples have a name
    /// that this program has registered before.
    pub fn register_collector(
        &'static self,
        collector: impl Collector,
    ) -> Result<(), RegisterError> {
        let mode = collector.gauge_mode();
        let described = collector.describe();
        let families = described.iter().filter_map(|family| family_for(family, mode).transpose());
        let families = families.collect::<Result<Vec<_>, _>>()?;
        {
            let state = self.state.lock();
            let known = state.registered.iter().map(|definition| &definition.family);
            let others = state.sources.iter().flat_map(Source::families);
            let known: Vec<&Family> = known.chain(others).collect();
            for family in &families {
                if let Some(existing) = known.iter().find(|known| shares_a_name(known, family)) {
                    let (existing, found) = (describe(existing), describe(family));
                    return Err(RegisterError::Duplicate { existing, found });
                }
            }
        }
        self.add_source(Source::Collector(Arc::new(collector), families.into()));
        Ok(())
    }

    fn add_source(&'static self, source: Source) {
        self.first_use();
        let new = source.first();
        let mut state = self.state.lock();
        let (mut kept, replaced): (Vec<_>, Vec<_>) = std::mem::take(&mut state.sources)
            .into_iter()
            .partition(|known| new.is_none() || known.first() != new);
        kept.push(source);
        state.sources = kept;
        drop(state);
        // A callback may use metrics while it is dropped.
        drop(replaced);
        self.start_refreshing();
    }

    /// Starts the thread that asks callbacks and collectors, when there are any and this process has
    /// none yet.
    pub(crate) fn start_refreshing(&'static self) {
        if self.address().is_none() {
            return;
        }
        let life = self.page.life();
        {
            let mut state = self.state.lock();
            if state.sources.is_empty() || state.refreshed_life == life {
                return;
            }
            state.refreshed_life = life;
        }
        let refresh = move || {
            loop {
                self.run_callbacks();
                self.write_collected();
                std::thread::sleep(self.refresh_interval);
            }
        };
        if let Err(error) = spawn_quiet("tallyboard", refresh) {
            self.warn(&format!(
                "no thread to ask callbacks and collectors: {error}; see whether the limit of threads is reached"
            ));
        }
    }

    /// Sets the gauges that have a callback.
    pub(crate) fn run_callbacks(&'static self) {
        let sources = self.state.lock().sources.clone();
        for source in sources {
            let first = source.first();
            if let Source::Callback(gauge, value) = source
                && let Ok(value) = catch_unwind(AssertUnwindSafe(|| value()))
                && self.is_asked(first)
            {
                gauge.set(value);
            }
        }
    }

    /// Whether the gauge at a cell still has a callback: it may have been removed while that ran.
    fn is_asked(&self, first: Option<usize>) -> bool {
        self.state.lock().sources.iter().any(|source| source.first() == first)
    }

    /// What the collectors say now.
    pub(crate) fn collected(&'static self) -> Vec<FamilySamples> {
        self.collect().into_iter().flat_map(|collected| collected.families).collect()
    }

    fn collect(&'static self) -> Vec<Collected> {
        let sources = self.state.lock().sources.clone();
        let collect = |source: Source| {
            let Source::Collector(collector, described) = source else { return None };
            let families = catch_unwind(AssertUnwindSafe(|| collector.collect())).ok()?;
            Some(Collected { mode: collector.gauge_mode(), described, families })
        };
        sources.into_iter().filter_map(collect).collect()
    }

    /// Writes what the collectors say into the slot.
    fn write_collected(&'static self) {
        for Collected { mode, described, families } in self.collect() {
            let mut present = Vec::new();
            for collected in families {
                let family = family_for(&collected, mode).ok().flatten();
                let written = family.map_or(Err(DropReason::Conflict), |family| {
                    self.write_family(&family, &collected, &mut present)
                });
                if let Err(reason) = written {
                    self.drop_one(reason);
                }
            }
            self.forget_absent(&described, &present);
        }
    }

    /// Forgets the values of series that a collector has given before and gives no more. What they
    /// have counted stays.
    fn forget_absent(&'static self, described: &[Family], present: &[usize]) {
        let state = self.state.lock();
        let Some(mapping) = state.page().mapping() else { return };
        for family in described {
            let Some(ordinal) = state.contents.find_family(&family.name) else { continue };
            for series in state.held(mapping, ordinal) {
                let cell = state.contents.series()[series as usize].cell;
                if !present.contains(&(slot_header::WORDS + cell)) {
                    state.forget_value(mapping, series);
                }
            }
        }
    }

    fn write_family(
        &'static self,
        family: &Family,
        collected: &FamilySamples,
        present: &mut Vec<usize>,
    ) -> Result<(), DropReason> {
        let mut samples = &collected.samples[..];
        while let Some(first) = samples.first() {
            let labels = own_labels(collected, first);
            let same = |sample: &&Sample| own_labels(collected, sample) == labels;
            let (point, rest) = samples.split_at(samples.iter().take_while(same).count());
            samples = rest;
            let mut values = values_for(family, &labels).ok_or(DropReason::Conflict)?;
            if family.kind == Kind::Info {
                let pairs: Vec<(&str, &str)> = labels.clone();
                values.push(pairs::encode(&pairs).ok_or(DropReason::Conflict)?.into());
            }
            let series = self.series_of(family, &values)?;
            present.push(series.cells.first());
            let Some(words) = series.words() else { continue };
            let cells: Vec<&AtomicU64> = (0..family.kind.cells()).map(|at| words.at(at)).collect();
            write_point(family, point, &cells, series.now_ns());
        }
        Ok(())
    }
}

/// The labels of a sample that are not of its place in the family.
fn own_labels<'a>(family: &FamilySamples, sample: &'a Sample) -> Vec<(&'a str, &'a str)> {
    let inner = match family.kind {
        Type::Histogram | Type::GaugeHistogram => "le",
        Type::Summary => "quantile",
        Type::StateSet => family.name.as_str(),
        _ => "",
    };
    sample.labels().filter(|(name, _)| *name != inner).collect()
}

/// The values of `labels` in the order of the family's; `None` when they are not its labels.
fn values_for(family: &Family, labels: &[(&str, &str)]) -> Option<Vec<Box<str>>> {
    if family.kind == Kind::Info {
        return Some(Vec::new());
    }
    let value = |name: &str| labels.iter().find(|(label, _)| *label == name);
    let values = family.labels.iter().map(|name| value(name).map(|(_, value)| (*value).into()));
    let values: Option<Vec<Box<str>>> = values.collect();
    values.filter(|values| values.len() == labels.len())
}

/// The family of an arena that can hold what was collected; `None` when none can.
fn family_for(collected: &FamilySamples, mode: GaugeMode) -> Result<Option<Family>, RegisterError> {
    let kind = match collected.kind {
        Type::Counter => Kind::Counter,
        Type::Gauge | Type::Unknown => Kind::Gauge(mode),
        Type::Summary => Kind::Summary,
        Type::Histogram => Kind::Histogram(bounds_of(collected).into()),
        Type::Info => Kind::Info,
        Type::StateSet => Kind::StateSet(states_of(collected).into()),
        Type::GaugeHistogram => return Ok(None),
    };
    debug_assert!(type_of(&kind).is_some());
    let first = collected.samples.first();
    let labels = first.map(|sample| own_labels(collected, sample)).unwrap_or_default();
    let labels: Vec<&str> = match kind {
        Kind::Info => Vec::new(),
        _ => labels.iter().map(|(name, _)| *name).collect(),
    };
    Ok(Some(Family::new(kind, &collected.name, &collected.unit, &collected.help, &labels)?))
}

/// The finite bounds of the first series of a histogram.
fn bounds_of(collected: &FamilySamples) -> Vec<f64> {
    let first = collected.samples.first().map(|sample| own_labels(collected, sample));
    let of_first = |sample: &&Sample| Some(own_labels(collected, sample)) == first;
    let bounds = collected.samples.iter().take_while(of_first).filter_map(bound);
    let mut bounds: Vec<f64> = bounds.filter(|bound| bound.is_finite()).collect();
    bounds.dedup();
    bounds
}

fn bound(sample: &Sample) -> Option<f64> {
    let (_, bound) = sample.labels().find(|(name, _)| *name == "le")?;
    bound.parse().ok()
}

/// The states of the first series of a stateset.
fn states_of(collected: &FamilySamples) -> Vec<Box<str>> {
    let mut states: Vec<Box<str>> = Vec::new();
    for sample in &collected.samples {
        let state = sample.labels().find(|(name, _)| *name == collected.name);
        if let Some((_, state)) = state
            && !states.iter().any(|known| **known == *state)
        {
            states.push(state.into());
        }
    }
    states
}

/// Stores a count that another process or library keeps. It never goes down here: that it did there
/// would be taken for damage.
fn raise(cell: &AtomicU64, count: u64) {
    cell.fetch_max(count, Relaxed);
}

/// The same for a float from 0 on, whose bits are in the order of the numbers.
fn raise_float(cell: &AtomicU64, value: f64) {
    if (0.0..f64::INFINITY).contains(&value) {
        cell.fetch_max(value.to_bits(), Relaxed);
    }
}

/// Writes the samples of one series into its cells.
fn write_point(family: &Family, point: &[Sample], cells: &[&AtomicU64], now_ns: u64) {
    let of = |suffix: &str| point.iter().find(|sample| *sample.suffix == *suffix);
    let value = |suffix: &str| of(suffix).map(|sample| sample.value);
    match &family.kind {
        Kind::Counter => {
            // One cell for all, so that a whole number that becomes a fraction does not go down.
            let value = value("_total").or(value("")).map_or(0.0, Value::as_f64);
            raise_float(cells[1], value);
        }
        Kind::Gauge(mode) => {
            if let Some(value) = value("") {
                cells[0].store(value.as_f64().to_bits(), Relaxed);
                stamp(cells[1], if mode.is_ordered() { now_ns } else { 1 });
            }
        }
        Kind::Summary => {
            raise(cells[0], value("_count").map_or(0, whole));
            raise_float(cells[1], value("_sum").map_or(0.0, Value::as_f64));
        }
        Kind::Histogram(bounds) => {
            let mut below = 0;
            for (at, bound_at) in bounds.iter().copied().chain([f64::INFINITY]).enumerate() {
                let bucket = point.iter().find(|sample| bound(sample) == Some(bound_at));
                let count = bucket.map_or(below, |bucket| whole(bucket.value)).max(below);
                raise(cells[at], count - below);
                below = count;
            }
            raise_float(cells[bounds.len() + 1], value("_sum").map_or(0.0, Value::as_f64));
        }
        Kind::Info => _ = cells[0].fetch_max(now_ns, Relaxed),
        Kind::StateSet(states) => {
            let holds = |sample: &&Sample| sample.value.as_f64() == 1.0;
            let state = point.iter().find(holds).and_then(|sample| {
                let (_, state) = sample.labels().find(|(name, _)| *name == &*family.name)?;
                states.iter().position(|known| **known == *state)
            });
            if let Some(state) = state {
                cells[0].store(state as u64, Relaxed);
                stamp(cells[1], now_ns);
            }
        }
        // What is collected has no native buckets: it was given its classic ones.
        Kind::NativeHistogram(_) | Kind::Exemplar | Kind::Bucket(_) => {}
    }
}

fn whole(value: Value) -> u64 {
    match value {
        Value::Whole(value) => value,
        Value::Float(value) => value as u64,
    }
}
