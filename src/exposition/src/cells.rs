//! What the cells of a series become in an exposition: its lines, their labels and their values.

use std::borrow::Cow;

use tallyboard_proto::family::{Declared, Family, GaugeMode, Kind};
use tallyboard_proto::log::Series;
use tallyboard_proto::native::Native;
use tallyboard_proto::pairs;

use crate::escaping::Escaping;
use crate::sample::{Type, Value};
use crate::text::float_text;

/// The type of a family in an exposition; `None` when it is not one of an exposition.
#[must_use]
pub fn type_of(kind: &Kind) -> Option<Type> {
    match kind {
        Kind::Counter => Some(Type::Counter),
        Kind::Gauge(_) => Some(Type::Gauge),
        Kind::Histogram(_) | Kind::NativeHistogram(_) => Some(Type::Histogram),
        Kind::Summary => Some(Type::Summary),
        Kind::Info => Some(Type::Info),
        Kind::StateSet(_) => Some(Type::StateSet),
        Kind::Samples(samples) => Some(declared(samples.declared)),
        Kind::Exemplar | Kind::Bucket(_) => None,
    }
}

/// The type that a collector has said.
fn declared(declared: Declared) -> Type {
    match declared {
        Declared::Counter => Type::Counter,
        Declared::Gauge => Type::Gauge,
        Declared::Histogram => Type::Histogram,
        Declared::Summary => Type::Summary,
        Declared::Info => Type::Info,
        Declared::StateSet => Type::StateSet,
        Declared::GaugeHistogram => Type::GaugeHistogram,
        Declared::Unknown => Type::Unknown,
    }
}

/// The same the other way.
#[must_use]
pub fn declared_of(kind: Type) -> Declared {
    let is_same = |other: &Declared| declared(*other) == kind;
    Declared::EVERY.into_iter().find(is_same).unwrap_or(Declared::Unknown)
}

/// Whether each process has a sample of its own.
#[must_use]
pub fn is_per_process(kind: &Kind) -> bool {
    matches!(kind, Kind::Gauge(mode) if mode.is_per_process())
}

/// What a line of a series has beside the labels of the series: the suffix of its name, and a label.
pub type Line<'a> = (&'static str, Option<(&'a str, String)>);

/// The lines of a series of `family`, in the order of [`values`]; behind them, when the kind has
/// one, that of its created time.
#[must_use]
pub fn lines(family: &Family) -> Vec<Line<'_>> {
    let plain = |suffix| (suffix, None);
    match &family.kind {
        Kind::Counter => vec![plain("_total"), plain("_created")],
        Kind::Gauge(mode) if mode.is_per_process() => vec![],
        Kind::Gauge(_) => vec![plain("")],
        Kind::Summary => vec![plain("_count"), plain("_sum"), plain("_created")],
        // Where there are no classic buckets, the formats without native ones have the last.
        Kind::Histogram(bounds) | Kind::NativeHistogram(Native { bounds, .. }) => {
            let le = |bound| ("_bucket", Some(("le", float_text(bound))));
            let buckets = bounds.iter().copied().chain([f64::INFINITY]).map(le);
            buckets.chain([plain("_count"), plain("_sum"), plain("_created")]).collect()
        }
        Kind::Info => vec![plain("_info")],
        Kind::StateSet(states) => {
            let state = |state: &str| ("", Some((&*family.name, state.to_owned())));
            states.iter().map(|of| state(of)).collect()
        }
        // What collectors say has no lines that are known before it is said.
        Kind::Samples(_) | Kind::Exemplar | Kind::Bucket(_) => vec![],
    }
}

/// Whether the last line of a series is that of its created time.
#[must_use]
pub fn has_created(kind: &Kind) -> bool {
    match kind {
        Kind::Counter | Kind::Histogram(_) | Kind::NativeHistogram(_) | Kind::Summary => true,
        Kind::Gauge(_)
        | Kind::Info
        | Kind::StateSet(_)
        | Kind::Samples(_)
        | Kind::Exemplar
        | Kind::Bucket(_) => false,
    }
}

/// Whether a line is one of a series that is written as a native histogram: of one without classic
/// buckets that is the created time alone.
#[must_use]
pub fn is_beside_native(kind: &Kind, suffix: &str) -> bool {
    match kind {
        Kind::NativeHistogram(native) => !native.bounds.is_empty() || suffix == "_created",
        _ => true,
    }
}

/// The values of a series whose cells, from `cell` on, are `cells`: one for each of its [`lines`] but
/// that of its created time, or none when it was never set; those of a native histogram are in its
/// buckets, see [`crate::native::Counted`]. `hold` gives the float to show for the
/// float in a cell that only rises.
///
/// # Panics
/// When there are not as many cells as the kind has.
pub fn values(
    kind: &Kind,
    cell: usize,
    cells: &[u64],
    mut hold: impl FnMut(usize, f64) -> f64,
    values: &mut Vec<Value>,
) {
    values.clear();
    match kind {
        // A counter without fractions is a whole number, exact whatever its size.
        Kind::Counter if cells[1] == 0 => values.push(Value::Whole(cells[0])),
        Kind::Counter => {
            let fraction = hold(cell + 1, f64::from_bits(cells[1]));
            values.push(Value::Float(cells[0] as f64 + fraction));
        }
        Kind::Gauge(GaugeMode::All | GaugeMode::LiveAll)
        | Kind::NativeHistogram(_)
        | Kind::Samples(_)
        | Kind::Exemplar
        | Kind::Bucket(_) => {}
        Kind::Gauge(_) if cells[1] == 0 => {}
        Kind::Gauge(_) => values.push(Value::Float(f64::from_bits(cells[0]))),
        Kind::Histogram(_) | Kind::Summary => {
            let sum_at = cells.len() - 2;
            let mut count = 0_u64;
            for &cell in &cells[..sum_at] {
                count = count.saturating_add(cell);
                if matches!(kind, Kind::Histogram(_)) {
                    values.push(Value::Whole(count));
                }
            }
            values.push(Value::Whole(count));
            values.push(Value::Float(hold(cell + sum_at, f64::from_bits(cells[sum_at]))));
        }
        Kind::Info if cells[0] == 0 => {}
        Kind::Info => values.push(Value::Whole(1)),
        Kind::StateSet(states) => {
            if cells[1] != 0 && cells[0] < states.len() as u64 {
                let holds = |state| Value::Whole(u64::from(state == cells[0]));
                values.extend((0..states.len() as u64).map(holds));
            }
        }
    }
}

/// The labels of a series: its family's, those that it has itself as an info, and the constant ones
/// whose names neither uses, escaped or not.
#[must_use]
pub fn labels_of<'a>(
    constant: impl Iterator<Item = (&'a str, &'a str)>,
    family: &'a Family,
    series: &'a Series,
) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    let (values, more) = series.values.split_at(family.labels.len());
    let own = family.labels.iter().zip(values);
    let mut all: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        own.map(|(name, value)| ((&**name).into(), (&**value).into())).collect();
    let pairs = more.first().and_then(|pairs| pairs::decode(pairs)).unwrap_or_default();
    all.extend(pairs.into_iter().map(|(name, value)| (name.into(), value.into())));
    for (name, value) in constant {
        if all.iter().all(|(taken, _)| Escaping::are_apart(taken, name)) {
            all.push((name.into(), value.into()));
        }
    }
    all
}
