//! OpenMetrics 2.0.0, a release candidate
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec_2_0/>).
//!
//! Its families keep `_total` and `_info` in their names, and a histogram or summary is one sample
//! with a composite value. They become what OpenMetrics 1.0 would have said of them.

use std::borrow::Cow;
use std::collections::HashSet;

use super::composite::{Composite, Dialect};
use super::cursor::{Escapes, Line, Lines};
use super::error::ParseError;
use super::groups::{Admission, Groups, Keys};
use super::labels::{Blanks, Rules};
use super::number;
use super::openmetrics_lines::{
    Keyword, descriptor, end, exemplar, head, kind, label_rules, next_line, take_timestamp,
    timestamp,
};
use super::options::Options;
use crate::rules::{self, label};
use crate::sample::{Exemplar, FamilySamples, Labels, Sample, Timestamp, Type, Value};

pub(super) fn parse(
    mut lines: Lines<'_>,
    options: &Options,
) -> Result<Vec<FamilySamples>, ParseError> {
    let mut parser = Parser {
        rules: label_rules(options, Blanks::Nowhere),
        room: options.limits.samples,
        keys: Keys::default(),
        names: HashSet::new(),
        families: Vec::new(),
        draft: None,
    };
    while let Some(line) = next_line(&mut lines)? {
        match line.peek() {
            Some(b'#') => parser.metadata(line)?,
            _ => parser.sample(line)?,
        }
    }
    parser.finish();
    Ok(parser.families)
}

struct Parser {
    rules: Rules,
    /// How many more samples there may be.
    room: usize,
    keys: Keys,
    names: HashSet<String>,
    families: Vec<FamilySamples>,
    draft: Option<Draft>,
}

/// A family that may go on.
struct Draft {
    /// Its whole name.
    name: String,
    kind: Option<Type>,
    help: Option<String>,
    unit: Option<String>,
    samples: Vec<Sample>,
    has_samples: bool,
    metrics: Groups,
    statesets: Groups,
}

/// What stands on a sample's line behind its labels.
struct Point {
    value: PointValue,
    timestamp: Option<Timestamp>,
    start: Option<Timestamp>,
    exemplars: Vec<Exemplar>,
}

enum PointValue {
    Number(Value),
    Composite(Box<Composite>),
}

impl Draft {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: None,
            help: None,
            unit: None,
            samples: Vec::new(),
            has_samples: false,
            metrics: Groups::default(),
            statesets: Groups::default(),
        }
    }

    fn kind(&self) -> Type {
        self.kind.unwrap_or(Type::Unknown)
    }

    /// What its name ends with that the name of a family has not.
    fn suffix(&self) -> &'static str {
        match self.kind() {
            Type::Counter if self.name.ends_with("_total") => "_total",
            Type::Info => "_info",
            _ => "",
        }
    }

    fn describe(&mut self, keyword: Keyword, mut line: Line<'_>) -> Result<(), ParseError> {
        let start = line;
        let has_one = match keyword {
            Keyword::Help => self.help.replace(line.take_text(Escapes::Lenient, true)?).is_some(),
            Keyword::Type => self.kind.replace(kind(&mut line)?).is_some(),
            Keyword::Unit => self.unit.replace(line.take_rest().to_owned()).is_some(),
        };
        if has_one {
            return Err(start.error(format!("the family {:?} has such a line already", self.name)));
        }
        let is_unitless = matches!(self.kind(), Type::Info | Type::StateSet);
        if is_unitless && self.unit.as_ref().is_some_and(|unit| !unit.is_empty()) {
            return Err(start.error("families of type info and stateset have no unit"));
        }
        if self.kind() == Type::Info && self.name.strip_suffix("_info").is_none_or(str::is_empty) {
            return Err(start.error("expected a name that ends with \"_info\" for this type"));
        }
        Ok(())
    }
}

impl Parser {
    fn metadata(&mut self, mut line: Line<'_>) -> Result<(), ParseError> {
        let begins = line;
        let (keyword, name) = descriptor(&mut line)?;
        match &self.draft {
            Some(draft) if draft.name == name => {
                if draft.has_samples {
                    return Err(begins.error("expected metadata before the samples of its family"));
                }
            }
            _ => self.begin(&begins, &name)?,
        }
        self.draft.as_mut().map_or(Ok(()), |draft| draft.describe(keyword, line))
    }

    fn begin(&mut self, begins: &Line<'_>, name: &str) -> Result<(), ParseError> {
        self.finish();
        if !self.names.insert(name.to_owned()) {
            let message = format!("the lines of the family {name:?} stand together; it has ended");
            return Err(begins.error(message));
        }
        self.draft = Some(Draft::new(name));
        Ok(())
    }

    /// Ends the family that is being read.
    fn finish(&mut self) {
        let Some(mut draft) = self.draft.take() else { return };
        let suffix = draft.suffix();
        draft.name.truncate(draft.name.len() - suffix.len());
        self.families.push(FamilySamples {
            kind: draft.kind(),
            name: draft.name,
            unit: draft.unit.unwrap_or_default(),
            help: draft.help.unwrap_or_default(),
            samples: draft.samples,
        });
    }

    fn sample(&mut self, mut line: Line<'_>) -> Result<(), ParseError> {
        let begins = line;
        let (name, labels) = head(&mut line, &self.rules)?;
        if self.draft.as_ref().is_none_or(|draft| draft.name != name) {
            self.begin(&begins, &name)?;
        }
        let Some(draft) = &mut self.draft else { return Ok(()) };
        let point = point(&mut line, draft.kind(), &self.rules)?;
        draft.judge(&labels, &point).map_err(|message| begins.error(message))?;
        let parts = match &point.value {
            PointValue::Number(_) => 2,
            PointValue::Composite(composite) => composite.len() + 1,
        };
        let room = self.room.checked_sub(parts);
        self.room = room.ok_or_else(|| begins.error("too many samples"))?;
        let admission = draft.admit(&labels, &point, &self.keys);
        match admission.map_err(|message| begins.error(message))? {
            Admission::Repeats => {}
            Admission::Begins | Admission::Continues => draft.push(labels, point),
        }
        Ok(())
    }
}

/// Reads what stands behind the labels.
fn point(line: &mut Line<'_>, kind: Type, rules: &Rules) -> Result<Point, ParseError> {
    let is_composite = line.peek() == Some(b'{');
    let wants_composite = matches!(kind, Type::Histogram | Type::GaugeHistogram | Type::Summary);
    if is_composite && !wants_composite && kind != Type::Unknown {
        return Err(line.error(format!("expected a number for the type {}", kind.name())));
    }
    if !is_composite && wants_composite {
        return Err(line.expected(&format!("a composite value for the type {}", kind.name())));
    }
    let value = match is_composite {
        true => PointValue::Composite(Box::new(Composite::take(line, Dialect::Ordered, kind)?)),
        false => PointValue::Number(number::take_value(line, "a number")?),
    };
    let timestamp = timestamp(line)?;
    let start = match line.eat_word(" st@") {
        true => Some(take_timestamp(line, "a start timestamp in seconds")?),
        false => None,
    };
    let mut exemplars = Vec::new();
    loop {
        let at = *line;
        match exemplar(line, rules)? {
            None => break,
            Some(exemplar) if exemplar.timestamp.is_none() => {
                return Err(at.error("expected a timestamp on this exemplar"));
            }
            Some(exemplar) => exemplars.push(exemplar),
        }
    }
    end(line)?;
    Ok(Point { value, timestamp, start, exemplars })
}

impl Draft {
    /// Refuses a value that a sample of this family cannot have.
    fn judge(&self, labels: &Labels, point: &Point) -> Result<(), &'static str> {
        let counts = !matches!(self.kind(), Type::Gauge | Type::Info | Type::StateSet);
        if !counts && !point.exemplars.is_empty() {
            return Err("only counters, histograms and summaries have exemplars");
        }
        let can_start =
            matches!(self.kind(), Type::Counter | Type::Histogram | Type::Summary | Type::Unknown);
        if point.start.is_some() && !can_start {
            return Err("only counters, histograms and summaries have a start timestamp");
        }
        let has = |name| label(labels, name).is_some();
        match (self.kind(), &point.value) {
            (Type::Summary, _) if has("quantile") => Err("a summary has no label \"quantile\""),
            (Type::Histogram | Type::GaugeHistogram, PointValue::Composite(composite))
                if has("le") && composite.len() > 3 =>
            {
                Err("a histogram with classic buckets has no label \"le\"")
            }
            (kind, PointValue::Number(value)) => {
                rules::number(kind, &self.name, labels, value.as_f64())
            }
            _ => Ok(()),
        }
    }

    fn admit(
        &mut self,
        labels: &Labels,
        point: &Point,
        keys: &Keys,
    ) -> Result<Admission, &'static str> {
        self.has_samples = true;
        if self.kind() == Type::StateSet {
            let _is_new = self.statesets.enter(keys.key("", labels, Some(&self.name)))?;
        }
        let metric = keys.key("", labels, None);
        self.metrics.admit(metric, metric, point.timestamp, true)
    }

    fn push(&mut self, labels: Labels, point: Point) {
        let Point { value, timestamp, start, mut exemplars } = point;
        let created = start.map(|start| {
            let seconds = Value::Float(start.as_seconds());
            let created = Sample::new("_created", labels.clone(), seconds);
            Sample { timestamp, ..created }
        });
        match value {
            PointValue::Number(value) => self.samples.push(Sample {
                suffix: Cow::Borrowed(self.suffix()),
                labels,
                value,
                timestamp,
                exemplar: exemplars.pop(),
                native: None,
            }),
            PointValue::Composite(composite) => {
                let classic = composite.samples(&labels, timestamp, &exemplars);
                self.samples.extend(composite.native_sample(labels, timestamp, exemplars));
                self.samples.extend(classic);
            }
        }
        self.samples.extend(created);
    }
}
