//! Composite values: `{count:1,sum:2.0,...}`, a whole histogram or summary as the value of one
//! sample.

use std::collections::BTreeMap;

use super::cursor::Line;
use super::error::ParseError;
use super::number;
use crate::number::{float, real};
use crate::rules;
use crate::sample::{
    Exemplar, Labels, NativeBuckets, NativeHistogram, Sample, Span, Timestamp, Type, Value,
};
use crate::text::float_text;

/// Who writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// OpenMetrics 2.0: fields in order, each bucket with its own count.
    Ordered,
    /// Prometheus' client for Python in OpenMetrics 1.0: fields in any order, each bucket with its
    /// difference to the one before it, and no classic buckets.
    Deltas,
}

/// The fields of OpenMetrics 2.0 in their order; the last two exclude each other.
const FIELDS: [&str; 13] = [
    "count",
    "gcount",
    "sum",
    "gsum",
    "schema",
    "zero_threshold",
    "zero_count",
    "negative_spans",
    "negative_buckets",
    "positive_spans",
    "positive_buckets",
    "bucket",
    "quantile",
];

/// The fields that Python has instead.
const DELTAS: [(&str, &str); 2] =
    [("negative_deltas", "negative_buckets"), ("positive_deltas", "positive_buckets")];

/// A composite value that is what its type demands.
pub(super) struct Composite {
    kind: Type,
    count: Value,
    sum: Value,
    native: Option<NativeHistogram>,
    /// Bounds or quantiles, with their values.
    parts: Vec<(f64, Value)>,
}

impl Composite {
    /// Reads the composite value of a sample of this type.
    pub fn take(line: &mut Line<'_>, dialect: Dialect, kind: Type) -> Result<Self, ParseError> {
        let start = *line;
        let fields = take_fields(line, dialect)?;
        let read = Fields { fields, start };
        match kind {
            Type::Summary => read.summary(),
            Type::Unknown if read.fields.contains_key("quantile") => read.summary(),
            Type::Unknown if read.fields.contains_key("gcount") => {
                read.histogram(dialect, Type::GaugeHistogram)
            }
            Type::Unknown => read.histogram(dialect, Type::Histogram),
            _ => read.histogram(dialect, kind),
        }
    }

    /// How many samples it is.
    pub fn len(&self) -> usize {
        self.parts.len() + 3
    }

    /// The native histogram as a sample, if it is one.
    pub fn native_sample(
        &self,
        labels: Labels,
        timestamp: Option<Timestamp>,
        exemplars: Vec<Exemplar>,
    ) -> Option<Sample> {
        let native = NativeHistogram { exemplars, ..self.native.clone()? };
        let native = Some(Box::new(native));
        Some(Sample { timestamp, native, ..Sample::new("", labels, self.count) })
    }

    /// Its classic buckets or quantiles, count and sum as samples, with the exemplars in the
    /// buckets where they belong.
    pub fn samples(
        &self,
        labels: &Labels,
        timestamp: Option<Timestamp>,
        exemplars: &[Exemplar],
    ) -> Vec<Sample> {
        let sample =
            |suffix, labels, value| Sample { timestamp, ..Sample::new(suffix, labels, value) };
        let (suffix, name) = match self.kind {
            Type::Summary => ("", "quantile"),
            _ => ("_bucket", "le"),
        };
        let with_part = |part: f64| {
            let mut labels = labels.clone();
            labels.push((name.to_owned(), float_text(part)));
            labels
        };
        let parts = self.parts.iter();
        let parts = parts.map(|(part, value)| sample(suffix, with_part(*part), *value));
        let mut samples: Vec<Sample> = parts.collect();
        for exemplar in exemplars {
            let at = self.parts.iter().position(|(bound, _)| exemplar.value <= *bound);
            if let (Some(at), "_bucket") = (at, suffix) {
                samples[at].exemplar = Some(exemplar.clone());
            }
        }
        let (count, sum) = match self.kind {
            Type::GaugeHistogram => ("_gcount", "_gsum"),
            _ => ("_count", "_sum"),
        };
        if self.native.is_none() || !self.parts.is_empty() {
            samples.push(sample(count, labels.clone(), self.count));
            samples.push(sample(sum, labels.clone(), self.sum));
        }
        samples
    }
}

/// A field as it stands there, and where.
type Field<'a> = (&'a str, Line<'a>);

/// Reads the fields up to and with the closing brace.
fn take_fields<'a>(
    line: &mut Line<'a>,
    dialect: Dialect,
) -> Result<BTreeMap<&'static str, Field<'a>>, ParseError> {
    let mut fields = BTreeMap::new();
    let mut next = 0;
    line.expect(b'{', "a composite value")?;
    loop {
        let start = *line;
        let name = line.take_while(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let known = field_name(name, dialect);
        let at = known.and_then(|known| FIELDS.iter().position(|field| *field == known));
        let (Some(known), Some(at)) = (known, at) else {
            return Err(number::unexpected(&start, "a field of a composite value", name));
        };
        if dialect == Dialect::Ordered && at < next {
            return Err(start.error(format!("the field {name:?} stands behind a later one")));
        }
        next = at + 1;
        line.expect(b':', "':' behind the name of a field")?;
        let value = *line;
        if fields.insert(known, (field_text(line)?, value)).is_some() {
            return Err(start.error(format!("the field {name:?} stands here twice")));
        }
        if line.eat(b'}') {
            return Ok(fields);
        }
        line.expect(b',', "a comma or a closing brace")?;
    }
}

fn field_name(name: &str, dialect: Dialect) -> Option<&'static str> {
    if dialect == Dialect::Ordered {
        return FIELDS.into_iter().find(|known| *known == name);
    }
    let delta = DELTAS.into_iter().find(|(delta, _)| *delta == name);
    let own = FIELDS.into_iter().find(|known| {
        *known == name && !known.ends_with("buckets") && !known.starts_with(['b', 'q', 'g'])
    });
    delta.map(|(_, known)| known).or(own)
}

/// A number, or what stands between brackets.
fn field_text<'a>(line: &mut Line<'a>) -> Result<&'a str, ParseError> {
    if line.eat(b'[') {
        let text = line.take_while(|byte| byte != b']');
        line.expect(b']', "a closing bracket")?;
        return Ok(text);
    }
    Ok(line.take_while(|byte| byte != b',' && byte != b'}'))
}

struct Fields<'a> {
    fields: BTreeMap<&'static str, Field<'a>>,
    start: Line<'a>,
}

impl<'a> Fields<'a> {
    fn field(&self, name: &str) -> Result<Field<'a>, ParseError> {
        let field = self.fields.get(name).copied();
        field.ok_or_else(|| self.start.error(format!("expected the field {name:?}")))
    }

    fn value(&self, name: &str) -> Result<Value, ParseError> {
        let (text, at) = self.field(name)?;
        number::value(text).ok_or_else(|| number::unexpected(&at, "a number", text))
    }

    /// How much something counted; differences are between whole numbers.
    fn count(&self, name: &str, dialect: Dialect) -> Result<Value, ParseError> {
        let (text, at) = self.field(name)?;
        match (self.value(name)?, dialect) {
            (Value::Float(_), Dialect::Deltas) => {
                Err(number::unexpected(&at, "a whole number", text))
            }
            (count, _) => Ok(count),
        }
    }

    /// Refuses fields that this kind of value does not have.
    fn only(&self, allowed: &[&str]) -> Result<(), ParseError> {
        match self.fields.iter().find(|(name, _)| !allowed.contains(*name)) {
            Some((name, (_, at))) => Err(at.error(format!("there is no field {name:?} here"))),
            None => Ok(()),
        }
    }

    fn summary(&self) -> Result<Composite, ParseError> {
        self.only(&["count", "sum", "quantile"])?;
        let (count, sum) = (self.value("count")?, self.value("sum")?);
        rules::summary_count(count).map_err(|message| self.start.error(message))?;
        // The grammar has any sum and any value here, and comes before the text, which has them not.
        let parts = self.parts("quantile")?;
        match parts.iter().all(|(quantile, _)| (0.0..=1.0).contains(quantile)) {
            true => Ok(Composite { kind: Type::Summary, count, sum, native: None, parts }),
            false => Err(self.start.error("expected quantiles from 0 to 1")),
        }
    }

    fn histogram(&self, dialect: Dialect, kind: Type) -> Result<Composite, ParseError> {
        let names = match kind {
            Type::GaugeHistogram => ["gcount", "gsum"],
            _ => ["count", "sum"],
        };
        self.only(&[&names[..], &FIELDS[4..12]].concat())?;
        let (count, sum) = (self.count(names[0], dialect)?, self.value(names[1])?);
        let is_native = self.fields.contains_key("schema");
        let is_classic = self.fields.contains_key("bucket");
        if !is_native && !is_classic {
            return Err(self.start.error("expected the field \"schema\" or \"bucket\""));
        }
        let native = match is_native {
            true => Some(self.native(dialect, sum.as_f64())?),
            false => {
                self.only(&[names[0], names[1], "bucket"])?;
                None
            }
        };
        let parts = if is_classic { self.buckets(kind, count)? } else { Vec::new() };
        let sound = rules::counts(kind, count, native.as_ref());
        sound.map_err(|message| self.start.error(message))?;
        if let (Some(native), Dialect::Ordered) = (&native, dialect) {
            rules::add_up(native, count).map_err(|total| {
                let message = format!("expected a count of {total}, which the buckets add up to");
                self.start.error(message)
            })?;
        }
        Ok(Composite { kind, count, sum, native, parts })
    }

    fn native(&self, dialect: Dialect, sum: f64) -> Result<NativeHistogram, ParseError> {
        let (text, at) = self.field("schema")?;
        let schema = text.parse().ok().filter(|schema| (-4..=8).contains(schema));
        let schema =
            schema.ok_or_else(|| number::unexpected(&at, "a schema from -4 to 8", text))?;
        let (text, at) = self.field("zero_threshold")?;
        let threshold = real(text).filter(|threshold| *threshold >= 0.0);
        let zero_threshold = threshold
            .ok_or_else(|| number::unexpected(&at, "a threshold that is not negative", text))?;
        Ok(NativeHistogram {
            schema,
            zero_threshold,
            zero_count: self.count("zero_count", dialect)?,
            sum,
            positive: self.side(dialect, "positive_spans", "positive_buckets")?,
            negative: self.side(dialect, "negative_spans", "negative_buckets")?,
            exemplars: Vec::new(),
        })
    }

    fn side(
        &self,
        dialect: Dialect,
        spans: &str,
        buckets: &str,
    ) -> Result<NativeBuckets, ParseError> {
        if !self.fields.contains_key(spans) && !self.fields.contains_key(buckets) {
            return Ok(NativeBuckets::default());
        }
        let (text, at) = self.field(spans)?;
        let spans = spans_of(text)
            .ok_or_else(|| at.error(format!("expected spans \"offset:length\", found {text:?}")))?;
        let (text, at) = self.field(buckets)?;
        let counts = match dialect {
            Dialect::Ordered => list(text, number::value),
            Dialect::Deltas => from_deltas(text),
        };
        let counts = counts
            .ok_or_else(|| at.error(format!("expected counts of buckets, found {text:?}")))?;
        let length: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
        if length != counts.len() as u64 {
            let found = counts.len();
            return Err(
                at.error(format!("expected {length} buckets as in the spans, found {found}"))
            );
        }
        Ok(NativeBuckets { spans, counts })
    }

    fn buckets(&self, kind: Type, count: Value) -> Result<Vec<(f64, Value)>, ParseError> {
        let parts = self.parts("bucket")?;
        let (_, at) = self.field("bucket")?;
        let sound = rules::buckets(kind, count, &parts);
        sound.map(|()| parts).map_err(|message| at.error(message))
    }

    /// A list of bounds or quantiles in increasing order, each with a value.
    fn parts(&self, name: &str) -> Result<Vec<(f64, Value)>, ParseError> {
        let (text, at) = self.field(name)?;
        let part = |text: &str| {
            let (part, value) = text.split_once(':')?;
            let is_infinite = part == "+Inf" || part == "-Inf";
            let part = if is_infinite { float(part) } else { real(part) };
            Some((part?, number::value(value)?))
        };
        let parts = list(text, part)
            .ok_or_else(|| at.error(format!("expected a list \"number:value\", found {text:?}")))?;
        match parts.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            true => Ok(parts),
            false => Err(at.error(format!("expected {name:?} in increasing order"))),
        }
    }
}

fn list<T>(text: &str, item: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    match text.is_empty() {
        true => Some(Vec::new()),
        false => text.split(',').map(item).collect(),
    }
}

fn spans_of(text: &str) -> Option<Vec<Span>> {
    let span = |text: &str| {
        let (offset, length) = text.split_once(':')?;
        let length: u32 = length.parse().ok()?;
        Some(Span { offset: offset.parse().ok()?, length }).filter(|span| span.length > 0)
    };
    let spans = list(text, span)?;
    spans.iter().skip(1).all(|span| span.offset >= 0).then_some(spans)
}

/// Counts from their differences. What is not whole is a count already.
fn from_deltas(text: &str) -> Option<Vec<Value>> {
    let mut count = 0_i64;
    list(text, |text| text.parse::<i64>().ok())?
        .into_iter()
        .map(|delta| {
            count = count.checked_add(delta)?;
            Some(Value::Whole(u64::try_from(count).ok()?))
        })
        .collect()
}
