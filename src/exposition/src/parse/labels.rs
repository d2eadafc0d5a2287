//! Label sets: `{a="b",c="d"}`, and `{"name",a="b"}` for names that need quotes.

use std::borrow::Cow;
use std::collections::HashSet;

use super::cursor::{Escapes, Line};
use super::error::ParseError;
use crate::escaping::{is_legacy_label, is_legacy_name};
use crate::sample::Labels;

/// What a format allows in a label set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Where blanks may stand.
    pub blanks: Blanks,
    /// Whether a comma may stand behind the last label.
    pub trailing_comma: bool,
    /// Whether a comma may stand before the first label.
    pub leading_comma: bool,
    /// What to do with a backslash that escapes nothing, in a value and in a name.
    pub escapes: (Escapes, Escapes),
    /// Whether every label name that begins with two underscores is refused, or only `__name__`.
    pub reserves: bool,
    /// Whether a name in quotes may be any text, or only what needs no quotes.
    pub any_names: bool,
    /// Labels at most.
    pub most: usize,
}

/// Where blanks may stand in a label set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blanks {
    /// Nowhere, as the grammar of OpenMetrics has it.
    Nowhere,
    /// Spaces behind commas too, as Prometheus' client for Python writes them.
    BehindCommas,
    /// Between all words.
    Anywhere,
}

/// A label set, and the name of the metric if it stands in it.
#[derive(Debug, Default)]
pub(super) struct LabelSet<'a> {
    pub name: Option<Cow<'a, str>>,
    pub labels: Labels,
}

impl Rules {
    /// Reads a label set behind its opening brace, to behind its closing brace.
    pub fn label_set<'a>(&self, line: &mut Line<'a>) -> Result<LabelSet<'a>, ParseError> {
        let mut set = LabelSet::default();
        let start = *line;
        self.skip(line);
        if self.leading_comma && line.eat(b',') {
            self.skip(line);
        }
        if line.eat(b'}') {
            return Ok(set);
        }
        loop {
            self.label(line, &mut set)?;
            self.skip(line);
            if line.eat(b'}') {
                break;
            }
            line.expect(b',', "a comma or a closing brace")?;
            if self.blanks == Blanks::BehindCommas {
                line.take_while(|byte| byte == b' ');
            }
            self.skip(line);
            if self.trailing_comma && line.eat(b'}') {
                break;
            }
        }
        if set.labels.len() > self.most {
            return Err(start.error(format!("expected at most {} labels", self.most)));
        }
        match duplicate(&set.labels) {
            Some(name) => Err(start.error(format!("the label {name:?} stands here twice"))),
            None => Ok(set),
        }
    }

    fn skip(&self, line: &mut Line<'_>) {
        if self.blanks == Blanks::Anywhere {
            line.skip_blanks();
        }
    }

    /// Refuses the name of a metric, read from `start` on, that may not stand there.
    pub fn metric_name(&self, start: &Line<'_>, name: &str) -> Result<(), ParseError> {
        match self.any_names || is_legacy_name(name) {
            true => Ok(()),
            false => {
                Err(start.error(format!("expected a metric name of [a-zA-Z0-9_:], found {name:?}")))
            }
        }
    }

    fn label<'a>(&self, line: &mut Line<'a>, set: &mut LabelSet<'a>) -> Result<(), ParseError> {
        let start = *line;
        let is_quoted = line.peek() == Some(b'"');
        let name = if is_quoted {
            line.quoted("a label name", self.escapes.1)?
        } else {
            Cow::Borrowed(label_name(line))
        };
        if name.is_empty() {
            return Err(start.expected("a label name"));
        }
        self.skip(line);
        if is_quoted && matches!(line.peek(), Some(b',' | b'}')) {
            self.metric_name(&start, &name)?;
            return match set.name.replace(name) {
                None => Ok(()),
                Some(_) => Err(start.error("the name of the metric stands here twice")),
            };
        }
        if name == "__name__" || (self.reserves && name.starts_with("__")) {
            return Err(start.error(format!("the label name {name:?} is reserved")));
        }
        if !self.any_names && !is_legacy_label(&name) {
            return Err(
                start.error(format!("expected a label name of [a-zA-Z0-9_], found {name:?}"))
            );
        }
        line.expect(b'=', "'=' behind a label name")?;
        self.skip(line);
        let value = line.quoted("a quoted label value", self.escapes.0)?;
        set.labels.push((name.into_owned(), value.into_owned()));
        Ok(())
    }
}

fn label_name<'a>(line: &mut Line<'a>) -> &'a str {
    match line.peek() {
        Some(first) if first.is_ascii_alphabetic() || first == b'_' => {
            line.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        }
        _ => "",
    }
}

/// A metric name that needs no quotes, or nothing.
pub(super) fn metric_name<'a>(line: &mut Line<'a>) -> &'a str {
    match line.peek() {
        Some(first) if first.is_ascii_alphabetic() || first == b'_' || first == b':' => {
            line.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
        }
        _ => "",
    }
}

fn duplicate(labels: &Labels) -> Option<&str> {
    /// Up to here comparing each with each costs less than a set.
    const FEW: usize = 16;
    if labels.len() <= FEW {
        let is_twice = |(at, (name, _)): &(usize, &(String, String))| {
            labels[..*at].iter().any(|(other, _)| other == name)
        };
        return labels.iter().enumerate().find(is_twice).map(|(_, (name, _))| name.as_str());
    }
    let mut seen = HashSet::with_capacity(labels.len());
    labels.iter().map(|(name, _)| name.as_str()).find(|name| !seen.insert(*name))
}
