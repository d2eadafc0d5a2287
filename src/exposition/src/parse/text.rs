//! Prometheus text 0.0.4 and 1.0.0
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>), as Prometheus' Go library
//! `expfmt` reads them.

use std::borrow::Cow;
use std::collections::HashMap;

use super::cursor::{Escapes, Line, Lines, is_blank};
use super::error::ParseError;
use super::labels::{Blanks, LabelSet, Rules, metric_name};
use super::number;
use super::options::Options;
use crate::format::Format;
use crate::number::float;
use crate::rules::label;
use crate::sample::{FamilySamples, Sample, Timestamp, Type};

pub(super) fn parse(
    mut lines: Lines<'_>,
    format: Format,
    options: &Options,
) -> Result<Vec<FamilySamples>, ParseError> {
    let escapes = if options.exact { Escapes::Strict } else { Escapes::Lenient };
    let mut parser = Parser {
        rules: Rules {
            blanks: Blanks::Anywhere,
            trailing_comma: true,
            leading_comma: !options.exact,
            escapes: (escapes, Escapes::Strict),
            reserves: false,
            any_names: !options.exact || format == Format::Text100,
            most: options.limits.labels,
        },
        exact: options.exact,
        room: options.limits.samples,
        indexes: HashMap::new(),
        drafts: Vec::new(),
    };
    while let Some(next) = lines.next() {
        let (mut line, is_ended) = next?;
        line.skip_blanks();
        if line.is_at_end() {
            continue;
        }
        if line.peek() == Some(b'#') {
            parser.comment(&mut line)?;
        } else {
            parser.sample(&mut line)?;
        }
        if !is_ended {
            line.take_rest();
            return Err(line.error("expected a line feed, found the end of the document"));
        }
    }
    Ok(parser.drafts.into_iter().map(Draft::finish).collect())
}

struct Parser {
    rules: Rules,
    exact: bool,
    /// How many more samples there may be.
    room: usize,
    /// Where the family of each name is.
    indexes: HashMap<String, usize>,
    drafts: Vec<Draft>,
}

/// A family. Its samples may stand anywhere.
struct Draft {
    name: String,
    kind: Option<Type>,
    help: Option<String>,
    samples: Vec<Sample>,
}

impl Draft {
    fn kind(&self) -> Type {
        self.kind.unwrap_or(Type::Unknown)
    }

    fn finish(mut self) -> FamilySamples {
        let kind = self.kind();
        let is_counter = kind == Type::Counter;
        if is_counter && self.name.strip_suffix("_total").is_some_and(|name| !name.is_empty()) {
            self.name.truncate(self.name.len() - "_total".len());
            self.samples.iter_mut().for_each(|sample| sample.suffix = Cow::Borrowed("_total"));
        }
        FamilySamples {
            kind,
            name: self.name,
            unit: String::new(),
            help: self.help.unwrap_or_default(),
            samples: self.samples,
        }
    }
}

impl Parser {
    /// The family that a name belongs to, and what the name has behind the family's.
    fn family(&mut self, name: &str) -> (usize, &'static str) {
        if let Some(&index) = self.indexes.get(name) {
            return (index, "");
        }
        for (suffix, in_summary) in [("_count", true), ("_sum", true), ("_bucket", false)] {
            let base = name.strip_suffix(suffix).filter(|base| !base.is_empty());
            let Some(&index) = base.and_then(|base| self.indexes.get(base)) else { continue };
            match self.drafts[index].kind() {
                Type::Summary if in_summary => return (index, suffix),
                Type::Histogram | Type::GaugeHistogram => return (index, suffix),
                _ => {}
            }
        }
        let index = self.drafts.len();
        self.indexes.insert(name.to_owned(), index);
        let name = name.to_owned();
        self.drafts.push(Draft { name, kind: None, help: None, samples: Vec::new() });
        (index, "")
    }

    fn comment(&mut self, line: &mut Line<'_>) -> Result<(), ParseError> {
        line.expect(b'#', "a comment")?;
        line.skip_blanks();
        let keyword = line.take_while(|byte| !is_blank(byte));
        if keyword != "HELP" && keyword != "TYPE" {
            return Ok(());
        }
        line.skip_blanks();
        if line.is_at_end() {
            return Ok(());
        }
        let start = *line;
        let name = match line.peek() {
            Some(b'"') => line.quoted("a metric name", Escapes::Strict)?,
            _ => Cow::Borrowed(metric_name(line)),
        };
        if name.is_empty() {
            return Err(start.expected("a metric name"));
        }
        self.rules.metric_name(&start, &name)?;
        if line.is_at_end() {
            return Ok(());
        }
        if !line.peek().is_some_and(is_blank) {
            return Err(line.expected("a blank behind the metric name"));
        }
        line.skip_blanks();
        let (index, _) = self.family(&name);
        if line.is_at_end() {
            return Ok(());
        }
        match keyword {
            "HELP" => self.help(line, index),
            _ => self.kind(line, index),
        }
    }

    fn help(&mut self, line: &mut Line<'_>, index: usize) -> Result<(), ParseError> {
        let draft = &mut self.drafts[index];
        if draft.help.is_some() {
            let message = format!("the family {:?} has a line HELP already", draft.name);
            return Err(line.error(message));
        }
        // The Go library has `\\"` here too, for a quote that needs none; elsewhere it is two characters.
        draft.help = Some(line.take_text(self.rules.escapes.0, self.exact)?);
        Ok(())
    }

    fn kind(&mut self, line: &mut Line<'_>, index: usize) -> Result<(), ParseError> {
        let draft = &mut self.drafts[index];
        if draft.kind.is_some() {
            let message = format!("the family {:?} has a line TYPE or samples already", draft.name);
            return Err(line.error(message));
        }
        let start = *line;
        let text = line.take_rest();
        let text = if self.exact { text } else { text.trim_end_matches([' ', '\t']) };
        let kind = match text.to_ascii_lowercase().as_str() {
            "counter" => Type::Counter,
            "gauge" => Type::Gauge,
            "histogram" => Type::Histogram,
            "gaugehistogram" | "gauge_histogram" => Type::GaugeHistogram,
            "summary" => Type::Summary,
            "untyped" => Type::Unknown,
            _ => {
                let expected =
                    "a type (counter, gauge, histogram, gaugehistogram, summary, untyped)";
                return Err(number::unexpected(&start, expected, text));
            }
        };
        draft.kind = Some(kind);
        Ok(())
    }

    fn sample(&mut self, line: &mut Line<'_>) -> Result<(), ParseError> {
        let start = *line;
        self.room = self.room.checked_sub(1).ok_or_else(|| line.error("too many samples"))?;
        let name = metric_name(line);
        line.skip_blanks();
        let LabelSet { name: quoted, labels } = match line.eat(b'{') {
            true => self.rules.label_set(line)?,
            false => LabelSet::default(),
        };
        let name = match (name.is_empty(), quoted) {
            (false, None) => Cow::Borrowed(name),
            (true, Some(quoted)) => quoted,
            (false, Some(_)) => {
                return Err(start.error("the name of the metric stands here twice"));
            }
            (true, None) => return Err(start.expected("a metric name")),
        };
        line.skip_blanks();
        let (index, suffix) = self.family(&name);
        let kind = *self.drafts[index].kind.get_or_insert(Type::Unknown);
        let special = match kind {
            Type::Summary => label(&labels, "quantile"),
            Type::Histogram | Type::GaugeHistogram => label(&labels, "le"),
            _ => None,
        };
        if special.is_some_and(|text| float(text).is_none()) {
            return Err(start.error("expected a number in the label \"quantile\" or \"le\""));
        }
        let at_value = *line;
        let value = number::take_value(line, "a number")?;
        let is_histogram = matches!(kind, Type::Histogram | Type::GaugeHistogram);
        let counts = suffix == "_count" || (suffix != "_sum" && special.is_some());
        if is_histogram && counts && value.as_f64() < 0.0 {
            return Err(at_value.error("expected a count that is not negative"));
        }
        let timestamp = self.timestamp(line)?;
        self.drafts[index].samples.push(Sample {
            suffix: Cow::Borrowed(suffix),
            labels,
            value,
            timestamp,
            exemplar: None,
            native: None,
        });
        Ok(())
    }

    /// Reads the timestamp, if there is one, and the end of the line.
    fn timestamp(&self, line: &mut Line<'_>) -> Result<Option<Timestamp>, ParseError> {
        if line.is_at_end() {
            return Ok(None);
        }
        line.skip_blanks();
        if line.is_at_end() && !self.exact {
            return Ok(None);
        }
        let start = *line;
        let text = line.take_while(|byte| !is_blank(byte));
        let millis = text
            .parse()
            .map_err(|_| number::unexpected(&start, "a timestamp in whole milliseconds", text))?;
        if !self.exact {
            line.skip_blanks();
        }
        match line.is_at_end() {
            true => Ok(Some(Timestamp::from_millis(millis))),
            false => Err(line.expected("the end of the line")),
        }
    }
}
