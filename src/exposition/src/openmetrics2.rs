//! OpenMetrics 2.0 text, as of 2.0.0-rc0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec_2_0/>): a line says everything of a
//! series, its buckets and its start included, and a family is called as its samples are.

use crate::clash::own_suffix;
use crate::format::Choices;
use crate::openmetrics::{may_have_unit, write_exemplar, write_metadata, write_timestamp};
use crate::rules;
use crate::sample::{
    Exemplar, FamilySamples, NativeBuckets, NativeHistogram, Sample, Timestamp, Type, Value,
};
use crate::series::{bound, points, series_labels};
use crate::text::{escape, float_text, write_float, write_name, write_prefix, write_value};

/// Writes a family with its samples. Gives how many lines of samples were written: one that this
/// format has no place for is left out.
pub fn write_family(page: &mut Vec<u8>, family: &FamilySamples, choices: &Choices) -> usize {
    let suffix = own_suffix(family);
    write_header(page, family, suffix);
    let mut written = 0;
    for point in points(family) {
        let is_written = match family.kind {
            Type::Histogram | Type::GaugeHistogram | Type::Summary => {
                write_composite(page, family, point, choices).is_some()
            }
            _ => write_number(page, family, suffix, point).is_some(),
        };
        written += usize::from(is_written);
    }
    written
}

fn write_header(page: &mut Vec<u8>, family: &FamilySamples, suffix: &str) {
    let name = (family.name.as_str(), suffix);
    write_metadata(page, "TYPE", name, family.kind.name());
    if !family.unit.is_empty() && may_have_unit(family.kind) {
        write_metadata(page, "UNIT", name, &family.unit);
    }
    if !family.help.is_empty() {
        page.extend_from_slice(b"# HELP ");
        write_name(page, name.0, name.1);
        page.push(b' ');
        escape(page, &family.help, true);
        page.push(b'\n');
    }
}

/// Writes a line whose value is one number; nothing where it cannot be that.
fn write_number(
    page: &mut Vec<u8>,
    family: &FamilySamples,
    suffix: &str,
    point: &[Sample],
) -> Option<()> {
    let sample = point.iter().find(|sample| sample.suffix != "_created")?;
    let name = format!("{}{suffix}", family.name);
    rules::number(family.kind, &name, &sample.labels, sample.value.as_f64()).ok()?;
    write_prefix(page, &family.name, suffix, sample.labels());
    write_value(page, sample.value);
    let exemplar = sample.exemplar.iter().filter(|_| family.kind == Type::Counter);
    write_end(page, point, family.kind == Type::Counter, exemplar);
    Some(())
}

/// A value that has parts.
struct Composite<'a> {
    kind: Type,
    count: Value,
    sum: Value,
    native: Option<&'a NativeHistogram>,
    /// Buckets or quantiles by rising bound.
    bounds: Vec<(f64, Value)>,
}

/// Writes a line whose value has parts; nothing where it cannot have them.
fn write_composite(
    page: &mut Vec<u8>,
    family: &FamilySamples,
    point: &[Sample],
    choices: &Choices,
) -> Option<()> {
    let kind = family.kind;
    let bounds = bounds(kind, point);
    let composite = Composite::of(kind, point, &bounds).fitting()?;
    let native = composite.native;
    write_prefix(page, &family.name, "", series_labels(kind, &point[0].labels));
    composite.write(page);
    let has_start = kind != Type::GaugeHistogram && (native.is_none() || choices.native_starts);
    let classic = bounds.iter().filter_map(|(_, sample)| sample.exemplar.as_ref());
    let is_bare = bounds.iter().all(|(_, sample)| sample.exemplar.is_none());
    let of_native = native.filter(|_| is_bare).into_iter().flat_map(|native| &native.exemplars);
    write_end(page, point, has_start, classic.chain(of_native));
    Some(())
}

impl<'a> Composite<'a> {
    fn of(kind: Type, point: &'a [Sample], bounds: &[(f64, &Sample)]) -> Self {
        let native_sample = point.iter().find(|sample| sample.native.is_some());
        let native = native_sample.and_then(|sample| sample.native.as_deref());
        let part = |name: &str| {
            let is_part = |sample: &&Sample| sample.suffix.strip_prefix('_') == Some(name);
            point.iter().find(is_part).map(|sample| sample.value)
        };
        let [count, sum] = Self::names(kind).map(part);
        let whole = bounds.last().filter(|_| kind != Type::Summary).map(|(_, sample)| sample.value);
        let count = count.or(native_sample.map(|sample| sample.value)).or(whole);
        let count = count.unwrap_or_default();
        // What a histogram does not say of its sum is not a number; a summary's sum cannot be that.
        let unknown = if kind == Type::Summary { Value::Whole(0) } else { Value::Float(f64::NAN) };
        let sum = sum.or(native.map(|native| Value::Float(native.sum))).unwrap_or(unknown);
        let mut bounds: Vec<(f64, Value)> =
            bounds.iter().map(|(bound, sample)| (*bound, sample.value)).collect();
        let is_complete = bounds.last().is_some_and(|(bound, _)| *bound == f64::INFINITY);
        let is_classic = kind != Type::Summary && (native.is_none() || !bounds.is_empty());
        if is_classic && !is_complete {
            bounds.push((f64::INFINITY, count));
        }
        Self { kind, count, sum, native, bounds }
    }

    fn names(kind: Type) -> [&'static str; 2] {
        match kind {
            Type::GaugeHistogram => ["gcount", "gsum"],
            _ => ["count", "sum"],
        }
    }

    /// It without what this format has no place for, if anything is left.
    fn fitting(mut self) -> Option<Self> {
        if self.kind == Type::Summary {
            rules::summary_count(self.count).ok()?;
            self.bounds.retain(|(quantile, value)| {
                let value = value.as_f64();
                let is_value = value.is_nan() || value >= 0.0;
                (0.0..=1.0).contains(quantile) && is_value
            });
            let is_sum = self.sum.as_f64() >= 0.0;
            return is_sum.then_some(self);
        }
        rules::counts(self.kind, self.count, self.native).ok()?;
        if !self.bounds.is_empty() {
            rules::buckets(self.kind, self.count, &self.bounds).ok()?;
        }
        if let Some(native) = self.native {
            rules::add_up(native, self.count).ok()?;
            rules::native(native).ok()?;
        }
        Some(self)
    }

    fn write(&self, page: &mut Vec<u8>) {
        let [count_name, sum_name] = Self::names(self.kind);
        page.push(b'{');
        write_part(page, count_name, self.count);
        page.push(b',');
        write_part(page, sum_name, self.sum);
        if let Some(native) = self.native {
            write_native(page, native);
        }
        if self.kind == Type::Summary {
            write_bounds(page, "quantile", &self.bounds);
        } else if !self.bounds.is_empty() {
            write_bounds(page, "bucket", &self.bounds);
        }
        page.push(b'}');
    }
}

/// The buckets or quantiles of a point by rising bound.
fn bounds(kind: Type, point: &[Sample]) -> Vec<(f64, &Sample)> {
    let expected = if kind == Type::Summary { "" } else { "_bucket" };
    let samples = point.iter().filter(|sample| sample.suffix == expected);
    let mut bounds: Vec<(f64, &Sample)> = samples
        .filter_map(|sample| Some((bound(kind, sample).filter(|b| !b.is_nan())?, sample)))
        .collect();
    bounds.sort_by(|a, b| a.0.total_cmp(&b.0));
    bounds.dedup_by(|later, first| later.0 == first.0);
    bounds
}

fn write_part(page: &mut Vec<u8>, name: &str, value: Value) {
    page.extend_from_slice(name.as_bytes());
    page.push(b':');
    write_value(page, value);
}

/// Writes buckets or quantiles.
fn write_bounds(page: &mut Vec<u8>, name: &str, bounds: &[(f64, Value)]) {
    page.push(b',');
    write_list(page, name, bounds.iter(), |page, (bound, value)| {
        write_part(page, &float_text(*bound), *value);
    });
}

fn write_list<T>(
    page: &mut Vec<u8>,
    name: &str,
    entries: impl Iterator<Item = T>,
    write: impl Fn(&mut Vec<u8>, T),
) {
    page.extend_from_slice(name.as_bytes());
    page.extend_from_slice(b":[");
    for (at, entry) in entries.enumerate() {
        if at > 0 {
            page.push(b',');
        }
        write(page, entry);
    }
    page.push(b']');
}

fn write_native(page: &mut Vec<u8>, native: &NativeHistogram) {
    page.extend_from_slice(format!(",schema:{},zero_threshold:", native.schema).as_bytes());
    write_float(page, native.zero_threshold);
    page.push(b',');
    write_part(page, "zero_count", native.zero_count);
    write_buckets(page, ["negative_spans", "negative_buckets"], &native.negative);
    write_buckets(page, ["positive_spans", "positive_buckets"], &native.positive);
}

fn write_buckets(page: &mut Vec<u8>, [spans, counts]: [&str; 2], buckets: &NativeBuckets) {
    if buckets.counts.is_empty() {
        return;
    }
    page.push(b',');
    let mut skipped = 0;
    // A span without buckets is not allowed here; what it skips is skipped by the next one.
    let each = buckets.spans.iter().filter_map(|span| {
        skipped += i64::from(span.offset);
        let offset = skipped;
        (span.length > 0).then(|| {
            skipped = 0;
            (offset, span.length)
        })
    });
    write_list(page, spans, each, |page, (offset, length)| {
        page.extend_from_slice(format!("{offset}:{length}").as_bytes());
    });
    page.push(b',');
    write_list(page, counts, buckets.counts.iter(), |page, count| write_value(page, *count));
}

/// Writes what stands behind a value: its moment, its start, and those exemplars that have a moment.
fn write_end<'a>(
    page: &mut Vec<u8>,
    point: &[Sample],
    has_start: bool,
    exemplars: impl Iterator<Item = &'a Exemplar>,
) {
    let mut values = point.iter().filter(|sample| sample.suffix != "_created");
    if let Some(timestamp) = values.find_map(|sample| sample.timestamp) {
        page.push(b' ');
        write_timestamp(page, timestamp);
    }
    let start = point.iter().find(|sample| has_start && sample.suffix == "_created");
    let moment = start.and_then(|start| Timestamp::from_seconds(start.value.as_f64()));
    if let Some(moment) = moment {
        page.extend_from_slice(b" st@");
        write_timestamp(page, moment);
    }
    for exemplar in exemplars.filter(|exemplar| exemplar.timestamp.is_some()) {
        write_exemplar(page, exemplar);
    }
    page.push(b'\n');
}
