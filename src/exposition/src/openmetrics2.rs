//! OpenMetrics 2.0 text, as of 2.0.0-rc0
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec_2_0/>): a line says everything of a
//! series, its buckets and its start included, and a family is called as its samples are.

use crate::openmetrics::{may_have_unit, write_exemplar, write_metadata, write_timestamp};
use crate::sample::{Exemplar, FamilySamples, NativeBuckets, NativeHistogram, Sample, Type, Value};
use crate::series::{bound, points, series_labels};
use crate::text::{escape, float_text, write_float, write_name, write_prefix, write_value};

/// Writes a family with its samples; when native histograms began is written only if `starts` says
/// so.
pub fn write_family(page: &mut Vec<u8>, family: &FamilySamples, starts: bool) {
    let suffix = suffix(family);
    write_header(page, family, suffix);
    for point in points(family) {
        let labels = series_labels(family.kind, &point[0].labels);
        match family.kind {
            Type::Histogram | Type::GaugeHistogram | Type::Summary => {
                write_prefix(page, &family.name, suffix, labels);
                write_composite(page, family.kind, point, starts);
            }
            _ => write_number(page, family, suffix, point),
        }
    }
}

/// What the name of the family has behind it here, because its samples have it.
fn suffix(family: &FamilySamples) -> &'static str {
    let is_total = |sample: &Sample| sample.suffix == "_total";
    match family.kind {
        Type::Counter if family.samples.is_empty() || family.samples.iter().any(is_total) => {
            "_total"
        }
        Type::Info => "_info",
        _ => "",
    }
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

/// Writes a line whose value is one number.
fn write_number(page: &mut Vec<u8>, family: &FamilySamples, suffix: &str, point: &[Sample]) {
    let Some(sample) = point.iter().find(|sample| sample.suffix != "_created") else { return };
    write_prefix(page, &family.name, suffix, sample.labels());
    write_value(page, sample.value);
    let exemplar = sample.exemplar.iter().filter(|_| family.kind == Type::Counter);
    write_end(page, point, family.kind == Type::Counter, exemplar);
}

/// Writes the rest of a line whose value has parts.
fn write_composite(page: &mut Vec<u8>, kind: Type, point: &[Sample], starts: bool) {
    let native_sample = point.iter().find(|sample| sample.native.is_some());
    let native = native_sample.and_then(|sample| sample.native.as_deref());
    let [count_name, sum_name] = match kind {
        Type::GaugeHistogram => ["gcount", "gsum"],
        _ => ["count", "sum"],
    };
    let part = |name: &str| {
        let is_part = |sample: &&Sample| sample.suffix.strip_prefix('_') == Some(name);
        point.iter().find(is_part).map(|sample| sample.value)
    };
    let bounds = bounds(kind, point);
    let whole = bounds.last().filter(|_| kind != Type::Summary).map(|(_, sample)| sample.value);
    let count = part(count_name).or(native_sample.map(|sample| sample.value)).or(whole);
    let count = count.unwrap_or_default();
    // What a histogram does not say of its sum is not a number; a summary's sum cannot be that.
    let unknown = if kind == Type::Summary { Value::Whole(0) } else { Value::Float(f64::NAN) };
    let sum = part(sum_name).or(native.map(|native| Value::Float(native.sum))).unwrap_or(unknown);
    page.push(b'{');
    write_part(page, count_name, count);
    page.push(b',');
    write_part(page, sum_name, sum);
    if let Some(native) = native {
        write_native(page, native);
    }
    if kind == Type::Summary {
        write_bounds(page, "quantile", &bounds, None);
    } else if native.is_none() || !bounds.is_empty() {
        write_bounds(page, "bucket", &bounds, Some(count));
    }
    page.push(b'}');
    let has_start = kind != Type::GaugeHistogram && (native.is_none() || starts);
    let classic = bounds.iter().filter_map(|(_, sample)| sample.exemplar.as_ref());
    let is_bare = bounds.iter().all(|(_, sample)| sample.exemplar.is_none());
    let of_native = native.filter(|_| is_bare).into_iter().flat_map(|native| &native.exemplars);
    write_end(page, point, has_start, classic.chain(of_native));
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

/// Writes buckets or quantiles, and `all` as the bucket without a bound if that is missing.
fn write_bounds(page: &mut Vec<u8>, name: &str, bounds: &[(f64, &Sample)], all: Option<Value>) {
    let is_complete = bounds.last().is_some_and(|(bound, _)| *bound == f64::INFINITY);
    let all = all.filter(|_| !is_complete).map(|all| (f64::INFINITY, all));
    let bounds = bounds.iter().map(|(bound, sample)| (*bound, sample.value));
    let entry = |page: &mut Vec<u8>, (bound, value)| {
        write_part(page, &float_text(bound), value);
    };
    page.push(b',');
    write_list(page, name, bounds.chain(all), entry);
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
    if let Some(start) = start.filter(|start| start.value.as_f64().is_finite()) {
        page.extend_from_slice(b" st@");
        write_value(page, start.value);
    }
    for exemplar in exemplars.filter(|exemplar| exemplar.timestamp.is_some()) {
        write_exemplar(page, exemplar);
    }
    page.push(b'\n');
}
