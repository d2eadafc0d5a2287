//! What a scrape writes: lines that were prepared, or families as a whole for the formats that have
//! no lines.

use std::borrow::Cow;
use std::collections::HashSet;

use tallyboard_exposition::cells::{is_beside_native, labels_of, lines, type_of};
use tallyboard_exposition::escaping::Escaping;
use tallyboard_exposition::format::{Choices, Format};
use tallyboard_exposition::native::Counted;
use tallyboard_exposition::openmetrics;
use tallyboard_exposition::sample::{Exemplar, FamilySamples, Sample, Timestamp, Type, Value};
use tallyboard_exposition::text;
use tallyboard_proto::family::{Family, Kind};
use tallyboard_proto::log::Series;

use crate::page::exposed::Style;
use crate::page::lines::{FamilyPage, SeriesLines};

/// A series with its numbers.
pub(crate) struct Shown<'a> {
    pub(crate) family: &'a Family,
    pub(crate) page: &'a FamilyPage,
    pub(crate) lines: &'a SeriesLines,
    pub(crate) series: &'a Series,
    /// One for each of its lines, but for that of its created time.
    pub(crate) values: &'a [Value],
    /// Its buckets, when it is a native histogram.
    pub(crate) native: Option<Counted>,
    /// When it began, in milliseconds of Unix time; 0 when nobody knows.
    pub(crate) created_ms: u64,
    /// By number of the line.
    pub(crate) exemplars: &'a [(usize, Exemplar)],
}

/// Where a scrape goes.
pub(crate) trait Sink {
    /// Whether it has a place for exemplars and created times.
    fn has_exemplars(&self) -> bool;
    /// What becomes of the names of an exemplar's labels before it comes here.
    fn escaping(&self) -> Escaping {
        Escaping::AllowUtf8
    }
    /// A family begins.
    fn family(&mut self, page: &FamilyPage, family: &Family);
    /// A series of it.
    fn series(&mut self, shown: Shown<'_>, style: &Style);
    /// A series of which each process has a sample: the name of the label that tells them apart, then
    /// its value and that of the sample.
    fn processes(
        &mut self,
        family: &Family,
        series: &Series,
        style: &Style,
        process: &'static str,
        rows: &[(String, f64)],
    );
    /// A family as a whole: of the supervisor's own, or of what collectors say.
    fn whole(&mut self, family: FamilySamples, is_own: bool);
    /// The family that began last has ended.
    fn end_family(&mut self);
}

/// A page of text.
pub(crate) struct Text {
    page: Vec<u8>,
    format: Format,
    choices: Choices,
    escaping: Escaping,
    /// Where the header of the last family begins and ends.
    header: (usize, usize),
}

impl Text {
    /// An empty page; `None` for a format that is not written line by line. The names of exemplars'
    /// labels are escaped, all others are written as they are.
    pub(crate) fn new(format: Format, choices: &Choices, escaping: Escaping) -> Option<Self> {
        let is_text = matches!(
            format,
            Format::Text004 | Format::Text100 | Format::OpenMetrics001 | Format::OpenMetrics100
        );
        let page = is_text.then(|| Vec::with_capacity(1 << 16))?;
        Some(Self { page, format, choices: *choices, escaping, header: (0, 0) })
    }

    pub(crate) fn end(mut self) -> Vec<u8> {
        self.page.extend_from_slice(self.format.end());
        self.page
    }
}

impl Sink for Text {
    fn has_exemplars(&self) -> bool {
        matches!(self.format, Format::OpenMetrics001 | Format::OpenMetrics100)
    }

    fn escaping(&self) -> Escaping {
        self.escaping
    }

    fn family(&mut self, page: &FamilyPage, _: &Family) {
        let start = self.page.len();
        let header = if self.has_exemplars() { &page.openmetrics_header } else { &page.header };
        self.page.extend_from_slice(header);
        self.header = (start, self.page.len());
    }

    fn series(&mut self, shown: Shown<'_>, _: &Style) {
        let (lines, first) = (&shown.page.lines, shown.lines.line);
        let values = if self.has_exemplars() { allowed(&shown) } else { Some(shown.values) };
        let Some(values) = values else { return };
        if shown.exemplars.is_empty() {
            for (line, value) in (first..).zip(values) {
                match *value {
                    Value::Whole(value) => lines.write_whole(&mut self.page, line, value),
                    Value::Float(value) => lines.write_float(&mut self.page, line, value),
                }
            }
        } else {
            for (at, value) in values.iter().enumerate() {
                self.page.extend_from_slice(lines.line(first + at));
                text::write_value(&mut self.page, *value);
                if let Some((_, exemplar)) = shown.exemplars.iter().find(|(of, _)| *of == at) {
                    openmetrics::write_exemplar(&mut self.page, exemplar);
                }
                self.page.push(b'\n');
            }
        }
        let has_created = self.has_exemplars() && self.choices.created;
        if has_created && shown.created_ms != 0 {
            self.page.extend_from_slice(lines.line(first + shown.values.len()));
            openmetrics::write_timestamp(&mut self.page, moment(shown.created_ms));
            self.page.push(b'\n');
        }
    }

    fn processes(
        &mut self,
        family: &Family,
        series: &Series,
        style: &Style,
        process: &'static str,
        rows: &[(String, f64)],
    ) {
        for (labels, value) in of_processes(family, series, style, process, rows) {
            text::write_prefix(&mut self.page, &family.name, "", labels);
            text::write_float(&mut self.page, value);
            self.page.push(b'\n');
        }
    }

    fn whole(&mut self, family: FamilySamples, _: bool) {
        if self.has_exemplars() && has_float_counts(&family) {
            let families = of_no_type(family);
            let write = |of| self.format.write_family(&mut self.page, &of, &self.choices);
            return families.into_iter().for_each(write);
        }
        self.format.write_family(&mut self.page, &family, &self.choices);
        // A collector that says when its series began has that on every page: where there is no place
        // for it beside them, as gauges, as other clients write it.
        let is_created = |sample: &Sample| sample.suffix == "_created";
        if !self.has_exemplars() && family.samples.iter().any(is_created) {
            let mut created = FamilySamples { kind: Type::Gauge, ..family };
            created.name.push_str("_created");
            created.samples.retain(is_created);
            created.samples.iter_mut().for_each(|sample| sample.suffix = "".into());
            self.format.write_family(&mut self.page, &created, &self.choices);
        }
    }

    fn end_family(&mut self) {
        let (start, end) = self.header;
        if self.page.len() == end {
            self.page.truncate(start);
        }
    }
}

/// Families, for formats that need them whole.
#[derive(Default)]
pub(crate) struct Whole {
    pub(crate) families: Vec<FamilySamples>,
    /// The names of those that are the supervisor's own.
    pub(crate) own: HashSet<String>,
}

impl Whole {
    fn last(&mut self) -> Option<&mut Vec<Sample>> {
        self.families.last_mut().map(|family| &mut family.samples)
    }
}

impl Sink for Whole {
    fn has_exemplars(&self) -> bool {
        true
    }

    fn family(&mut self, _: &FamilyPage, family: &Family) {
        if let Some(kind) = type_of(&family.kind) {
            self.families.push(FamilySamples {
                kind,
                name: family.name.to_string(),
                unit: family.unit.to_string(),
                help: family.help.to_string(),
                samples: Vec::new(),
            });
        }
    }

    fn series(&mut self, shown: Shown<'_>, style: &Style) {
        let labels = labels_of(style.labels.pairs(), shown.family, shown.series);
        let created = Value::Float(shown.created_ms as f64 / 1000.0);
        let created = (shown.created_ms != 0).then_some(&created);
        let Some(samples) = self.last() else { return };
        if let Some(native) = shown.native {
            let own = labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
            let exemplars = shown.exemplars.iter().map(|(_, exemplar)| exemplar.clone()).collect();
            samples.push(native.into_sample(own, exemplars));
        }
        let values = shown.values.iter().chain(created);
        let lines = lines(shown.family).into_iter().zip(values).enumerate();
        let lines =
            lines.filter(|(_, ((suffix, _), _))| is_beside_native(&shown.family.kind, suffix));
        for (at, ((suffix, more), value)) in lines {
            let labels = labels.iter().cloned();
            let more = more.map(|(name, value)| (Cow::Borrowed(name), Cow::Owned(value)));
            let labels = labels.chain(more).map(|(n, v)| (n.into_owned(), v.into_owned()));
            let exemplar = shown.exemplars.iter().find(|(of, _)| *of == at);
            let mut sample = Sample::new(suffix, labels.collect(), *value);
            sample.exemplar = exemplar.map(|(_, exemplar)| exemplar.clone());
            samples.push(sample);
        }
    }

    fn processes(
        &mut self,
        family: &Family,
        series: &Series,
        style: &Style,
        process: &'static str,
        rows: &[(String, f64)],
    ) {
        let Some(samples) = self.last() else { return };
        for (labels, value) in of_processes(family, series, style, process, rows) {
            let labels = labels.map(|(name, value)| (name.to_owned(), value.to_owned()));
            samples.push(Sample::new("", labels.collect(), Value::Float(value)));
        }
    }

    fn whole(&mut self, family: FamilySamples, is_own: bool) {
        if is_own {
            self.own.insert(family.name.clone());
        }
        self.families.push(family);
    }

    fn end_family(&mut self) {
        if self.families.last().is_some_and(|family| family.samples.is_empty()) {
            self.families.pop();
        }
    }
}

/// Whether a histogram has counts that are no whole numbers, which OpenMetrics forbids.
fn has_float_counts(family: &FamilySamples) -> bool {
    let counts = ["_bucket", "_count", "_gcount"];
    let is_float = |sample: &Sample| {
        counts.contains(&&*sample.suffix) && matches!(sample.value, Value::Float(_))
    };
    let is_histogram = matches!(family.kind, Type::Histogram | Type::GaugeHistogram);
    is_histogram && family.samples.iter().any(is_float)
}

/// The samples of a family as families of their own names, of which nobody says the type.
fn of_no_type(family: FamilySamples) -> Vec<FamilySamples> {
    let mut families: Vec<FamilySamples> = Vec::new();
    for mut sample in family.samples {
        let name = format!("{}{}", family.name, sample.suffix);
        (sample.suffix, sample.exemplar) = ("".into(), None);
        match families.iter_mut().find(|known| known.name == name) {
            Some(known) => known.samples.push(sample),
            None => {
                let mut of = FamilySamples::new(Type::Unknown, &name, &family.help);
                of.samples.push(sample);
                families.push(of);
            }
        }
    }
    families
}

/// The samples of a series of which each process has one: their labels and values.
fn of_processes<'a>(
    family: &'a Family,
    series: &'a Series,
    style: &'a Style,
    process: &'a str,
    rows: &'a [(String, f64)],
) -> impl Iterator<Item = (impl Iterator<Item = (&'a str, &'a str)>, f64)> {
    let labels = style.labels.behind(family, &series.values);
    rows.iter()
        .map(move |(label, value)| (labels.clone().chain([(process, label.as_str())]), *value))
}

/// The values that OpenMetrics 1.0 has, if it has any of the series: a sum stands last, with the count
/// of a histogram before it, and neither stands beside a bound that is negative.
fn allowed<'a>(shown: &Shown<'a>) -> Option<&'a [Value]> {
    let is_negative = |bounds: &[f64]| bounds.first().is_some_and(|bound| *bound < 0.0);
    let (without, is_bare) = match &shown.family.kind {
        Kind::Counter => (shown.values.len(), false),
        Kind::Summary => (1, false),
        Kind::Histogram(bounds) => (2, is_negative(bounds)),
        Kind::NativeHistogram(native) => (2, is_negative(&native.bounds)),
        _ => return Some(shown.values),
    };
    match shown.values.last() {
        Some(&sum) if is_bare || !openmetrics::may_count(sum) => {
            let kept = &shown.values[..shown.values.len() - without];
            (!kept.is_empty()).then_some(kept)
        }
        _ => Some(shown.values),
    }
}

/// A moment in milliseconds of Unix time.
pub(crate) fn moment(ms: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}
