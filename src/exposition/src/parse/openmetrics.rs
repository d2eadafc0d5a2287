//! OpenMetrics 1.0.0 and 0.0.1
//! (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
//!
//! A native histogram may stand in it as Prometheus' client for Python writes one.

use std::borrow::Cow;
use std::collections::HashSet;

use super::composite::{Composite, Dialect};
use super::cursor::{Escapes, Line, Lines};
use super::error::ParseError;
use super::groups::{Admission, Groups, Keys};
use super::labels::{Blanks, Rules};
use super::number;
use super::openmetrics_lines::{
    Keyword, descriptor, end, exemplar, head, kind, label_rules, next_line, timestamp,
};
use super::options::Options;
use crate::clash::openmetrics_suffixes;
use crate::rules::{self, MOST_EXEMPLAR_CHARACTERS, Seen};
use crate::sample::{Exemplar, FamilySamples, Labels, Sample, Type};

pub(super) fn parse(
    mut lines: Lines<'_>,
    options: &Options,
) -> Result<Vec<FamilySamples>, ParseError> {
    let mut parser = Parser {
        rules: label_rules(options, Blanks::BehindCommas),
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
    parser.finish()?;
    Ok(parser.families)
}

struct Parser<'a> {
    rules: Rules,
    /// How many more samples there may be.
    room: usize,
    keys: Keys,
    /// Names that families and their samples have taken.
    names: HashSet<String>,
    families: Vec<FamilySamples>,
    draft: Option<Draft<'a>>,
}

/// A family that may go on.
struct Draft<'a> {
    begins: Line<'a>,
    name: String,
    kind: Option<Type>,
    help: Option<String>,
    unit: Option<String>,
    samples: Vec<Sample>,
    groups: Groups,
    histogram: Seen,
    /// The last line of the histogram that is being read.
    histogram_line: Option<Line<'a>>,
}

impl<'a> Draft<'a> {
    fn new(begins: Line<'a>, name: String) -> Self {
        Self {
            begins,
            name,
            kind: None,
            help: None,
            unit: None,
            samples: Vec::new(),
            groups: Groups::default(),
            histogram: Seen::default(),
            histogram_line: None,
        }
    }

    fn kind(&self) -> Type {
        self.kind.unwrap_or(Type::Unknown)
    }

    /// What a sample of this name has behind the name of the family, if it belongs to it.
    fn suffix(&self, name: &str) -> Option<&'static str> {
        let suffix = name.strip_prefix(self.name.as_str())?;
        openmetrics_suffixes(self.kind()).iter().find(|known| **known == suffix).copied()
    }

    fn describe(&mut self, keyword: Keyword, mut line: Line<'a>) -> Result<(), ParseError> {
        let start = line;
        let has_one = match keyword {
            Keyword::Help => self.help.replace(line.take_text(Escapes::Lenient, true)?).is_some(),
            Keyword::Type => self.kind.replace(kind(&mut line)?).is_some(),
            Keyword::Unit => {
                let unit = line.take_rest();
                if !unit.is_empty() && !has_unit(&self.name, unit) {
                    let message = format!("expected a unit that {:?} ends with", self.name);
                    return Err(start.error(message));
                }
                self.unit.replace(unit.to_owned()).is_some()
            }
        };
        if has_one {
            return Err(start.error(format!("the family {:?} has such a line already", self.name)));
        }
        let is_unitless = matches!(self.kind(), Type::Info | Type::StateSet);
        if is_unitless && self.unit.as_ref().is_some_and(|unit| !unit.is_empty()) {
            return Err(start.error("families of type info and stateset have no unit"));
        }
        Ok(())
    }
}

fn has_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|before| before.ends_with('_'))
}

impl<'a> Parser<'a> {
    fn metadata(&mut self, mut line: Line<'a>) -> Result<(), ParseError> {
        let begins = line;
        let (keyword, name) = descriptor(&mut line)?;
        match &self.draft {
            Some(draft) if draft.name == name => {
                if !draft.samples.is_empty() {
                    return Err(begins.error("expected metadata before the samples of its family"));
                }
            }
            _ => self.begin(begins, &name)?,
        }
        match &mut self.draft {
            Some(draft) => draft.describe(keyword, line),
            None => Ok(()),
        }
    }

    fn begin(&mut self, begins: Line<'a>, name: &str) -> Result<(), ParseError> {
        self.finish()?;
        self.draft = Some(Draft::new(begins, name.to_owned()));
        Ok(())
    }

    /// Ends the family that is being read.
    fn finish(&mut self) -> Result<(), ParseError> {
        let Some(mut draft) = self.draft.take() else { return Ok(()) };
        draft.finish_histogram()?;
        let kind = draft.kind();
        let own = std::iter::once("").filter(|own| !openmetrics_suffixes(kind).contains(own));
        for suffix in openmetrics_suffixes(kind).iter().copied().chain(own) {
            let name = format!("{}{suffix}", draft.name);
            if self.names.contains(&name) {
                let message = format!("the name {name:?} of this family is taken by another one");
                return Err(draft.begins.error(message));
            }
            self.names.insert(name);
        }
        self.families.push(FamilySamples {
            kind,
            name: draft.name,
            unit: draft.unit.unwrap_or_default(),
            help: draft.help.unwrap_or_default(),
            samples: draft.samples,
        });
        Ok(())
    }

    fn sample(&mut self, mut line: Line<'a>) -> Result<(), ParseError> {
        let begins = line;
        self.room = self.room.checked_sub(1).ok_or_else(|| line.error("too many samples"))?;
        let (name, labels) = head(&mut line, &self.rules)?;
        if line.peek() == Some(b'{') {
            return self.composite(begins, line, name, labels);
        }
        let value = number::take_value(&mut line, "a number")?;
        let timestamp = timestamp(&mut line)?;
        let exemplar = exemplar(&mut line, &self.rules)?;
        end(&line)?;
        let suffix = match self.draft.as_ref().and_then(|draft| draft.suffix(&name)) {
            Some(suffix) => suffix,
            None => {
                self.begin(begins, &name)?;
                ""
            }
        };
        let sample = Sample {
            suffix: Cow::Borrowed(suffix),
            labels,
            value,
            timestamp,
            exemplar,
            native: None,
        };
        match &mut self.draft {
            Some(draft) => draft.take(begins, sample, &self.keys),
            None => Ok(()),
        }
    }

    fn composite(
        &mut self,
        begins: Line<'a>,
        mut line: Line<'a>,
        name: Cow<'a, str>,
        labels: Labels,
    ) -> Result<(), ParseError> {
        let draft = self.draft.as_mut();
        let own = draft.filter(|draft| draft.kind == Some(Type::Histogram) && draft.name == name);
        let Some(draft) = own else {
            return Err(line.error("expected a number: only a histogram's own name has buckets"));
        };
        let composite = Composite::take(&mut line, Dialect::Deltas, Type::Histogram)?;
        let timestamp = timestamp(&mut line)?;
        let mut exemplars = Vec::new();
        while let Some(exemplar) = exemplar(&mut line, &self.rules)? {
            exemplars.push(exemplar);
        }
        end(&line)?;
        let key = self.keys.key("native", &labels, None);
        if draft.groups.enter(key).is_err() {
            return Err(begins.error("this series has a native histogram already"));
        }
        draft.finish_histogram()?;
        draft.samples.extend(composite.native_sample(labels, timestamp, exemplars));
        Ok(())
    }
}

impl<'a> Draft<'a> {
    /// Takes a sample that belongs to this family.
    fn take(&mut self, line: Line<'a>, sample: Sample, keys: &Keys) -> Result<(), ParseError> {
        let kind = self.kind();
        let bound = rules::sample(kind, &self.name, &sample.suffix, &sample);
        let bound = bound.map_err(|message| line.error(message))?;
        judge_exemplar(kind, &sample).map_err(|message| line.error(message))?;
        let except = match kind {
            Type::Summary if sample.suffix.is_empty() => Some("quantile"),
            Type::StateSet => Some(self.name.as_str()),
            Type::Histogram | Type::GaugeHistogram if sample.suffix == "_bucket" => Some("le"),
            _ => None,
        };
        // The metrics of an info family cannot be told from what they say.
        let group = match kind {
            Type::Info => (0, 0),
            _ => keys.key("", &sample.labels, except),
        };
        let series = keys.key(&sample.suffix, &sample.labels, None);
        let admission = self.groups.admit(group, series, sample.timestamp, kind != Type::Info);
        let admission = admission.map_err(|message| line.error(message))?;
        if admission == Admission::Repeats {
            return Ok(());
        }
        if matches!(kind, Type::Histogram | Type::GaugeHistogram) {
            if admission == Admission::Begins {
                self.finish_histogram()?;
            }
            self.histogram_line = Some(line);
            let taken = self.histogram.take(&sample.suffix, bound, sample.value.as_f64());
            taken.map_err(|message| line.error(message))?;
        }
        self.samples.push(sample);
        Ok(())
    }

    /// Ends the histogram that is being read, if there is one.
    fn finish_histogram(&mut self) -> Result<(), ParseError> {
        let seen = std::mem::take(&mut self.histogram);
        let Some(line) = self.histogram_line.take() else { return Ok(()) };
        seen.finish().map_err(|message| line.error(message))
    }
}

/// Refuses an exemplar that a sample of this type cannot have.
fn judge_exemplar(kind: Type, sample: &Sample) -> Result<(), &'static str> {
    let Some(exemplar) = &sample.exemplar else { return Ok(()) };
    let may_have_one = match kind {
        Type::Counter => sample.suffix == "_total",
        Type::Histogram | Type::GaugeHistogram => sample.suffix == "_bucket",
        _ => false,
    };
    if !may_have_one {
        return Err("only counters and buckets have exemplars");
    }
    match length(exemplar) > MOST_EXEMPLAR_CHARACTERS {
        true => Err("expected at most 128 characters in the labels of an exemplar"),
        false => Ok(()),
    }
}

fn length(exemplar: &Exemplar) -> usize {
    let texts = exemplar.labels.iter().flat_map(|(name, value)| [name, value]);
    texts.map(|text| text.chars().count()).sum()
}
