//! The lines that both versions of OpenMetrics have.

use std::borrow::Cow;

use super::cursor::{Escapes, Line, Lines};
use super::error::ParseError;
use super::labels::{Blanks, LabelSet, Rules, metric_name};
use super::number;
use super::options::Options;
use crate::number::real;
use crate::sample::{Exemplar, Labels, Timestamp, Type};

/// What a line of metadata says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    Help,
    Type,
    Unit,
}

/// The label sets of OpenMetrics.
pub(super) fn label_rules(options: &Options, blanks: Blanks) -> Rules {
    Rules {
        blanks,
        trailing_comma: false,
        leading_comma: false,
        escapes: (Escapes::Lenient, Escapes::Lenient),
        reserves: true,
        any_names: true,
        most: options.limits.labels,
    }
}

/// The next line before `# EOF`; nothing at a `# EOF` that ends the document.
pub(super) fn next_line<'a>(lines: &mut Lines<'a>) -> Result<Option<Line<'a>>, ParseError> {
    let Some(next) = lines.next() else {
        return Err(lines.error_at_end("expected \"# EOF\", found the end of the document"));
    };
    let (line, _) = next?;
    if line.text() == "# EOF" {
        return match lines.next() {
            None => Ok(None),
            Some(extra) => Err(extra?.0.error("expected nothing behind \"# EOF\"")),
        };
    }
    match line.text().is_empty() {
        true => Err(line.error("expected metadata, a sample or \"# EOF\", found an empty line")),
        false => Ok(Some(line)),
    }
}

/// Reads a line of metadata up to what it says about the metric.
pub(super) fn descriptor<'a>(line: &mut Line<'a>) -> Result<(Keyword, Cow<'a, str>), ParseError> {
    let keyword = match () {
        () if line.eat_word("# HELP ") => Keyword::Help,
        () if line.eat_word("# TYPE ") => Keyword::Type,
        () if line.eat_word("# UNIT ") => Keyword::Unit,
        () => return Err(line.error("expected \"# HELP\", \"# TYPE\", \"# UNIT\" or \"# EOF\"")),
    };
    let start = *line;
    let name = match line.peek() {
        Some(b'"') => line.quoted("a metric name", Escapes::Lenient)?,
        _ => Cow::Borrowed(metric_name(line)),
    };
    if name.is_empty() {
        return Err(start.expected("a metric name"));
    }
    line.expect(b' ', "a space behind the metric name")?;
    Ok((keyword, name))
}

/// The type that the rest of a line names.
pub(super) fn kind(line: &mut Line<'_>) -> Result<Type, ParseError> {
    let start = *line;
    let text = line.take_rest();
    let known = Type::EVERY.into_iter().find(|kind| kind.name() == text);
    known.ok_or_else(|| {
        let names = Type::EVERY.map(Type::name).join(", ");
        number::unexpected(&start, &format!("a type ({names})"), text)
    })
}

/// Reads the name and the labels of a sample, and the space behind them.
pub(super) fn head<'a>(
    line: &mut Line<'a>,
    rules: &Rules,
) -> Result<(Cow<'a, str>, Labels), ParseError> {
    let start = *line;
    let name = metric_name(line);
    let LabelSet { name: quoted, labels } = match line.eat(b'{') {
        true => rules.label_set(line)?,
        false => LabelSet::default(),
    };
    let name = match (name.is_empty(), quoted) {
        (false, None) => Cow::Borrowed(name),
        (true, Some(quoted)) => quoted,
        (false, Some(_)) => return Err(start.error("the name of the metric stands here twice")),
        (true, None) => return Err(start.expected("a metric name")),
    };
    line.expect(b' ', "a space before the value")?;
    Ok((name, labels))
}

/// Reads the timestamp behind a space, if there is one before an exemplar or the end.
pub(super) fn timestamp(line: &mut Line<'_>) -> Result<Option<Timestamp>, ParseError> {
    let mut ahead = *line;
    if !ahead.eat(b' ') || matches!(ahead.peek(), Some(b'#' | b's')) {
        return Ok(None);
    }
    *line = ahead;
    take_timestamp(line, "a timestamp in seconds").map(Some)
}

/// Reads a timestamp, called `what`.
pub(super) fn take_timestamp(line: &mut Line<'_>, what: &str) -> Result<Timestamp, ParseError> {
    let start = *line;
    let text = line.take_while(|byte| byte != b' ');
    let what = match real(text) {
        Some(_) => format!("{what} that fit 64 bits"),
        None => what.to_owned(),
    };
    number::seconds(text).ok_or_else(|| number::unexpected(&start, &what, text))
}

/// Reads an exemplar behind a space, if there is one.
pub(super) fn exemplar(line: &mut Line<'_>, rules: &Rules) -> Result<Option<Exemplar>, ParseError> {
    if line.is_at_end() {
        return Ok(None);
    }
    line.expect(b' ', "a space before an exemplar")?;
    line.expect(b'#', "'#' before an exemplar")?;
    line.expect(b' ', "a space before the labels of an exemplar")?;
    let start = *line;
    line.expect(b'{', "the labels of an exemplar")?;
    let set = rules.label_set(line)?;
    if set.name.is_some() {
        return Err(start.error("expected a label value, found only a name"));
    }
    line.expect(b' ', "a space before the value of an exemplar")?;
    let value = number::take_value(line, "the value of an exemplar")?.as_f64();
    let mut ahead = *line;
    let has_more = ahead.eat(b' ') && ahead.peek() != Some(b'#');
    let timestamp = if has_more {
        *line = ahead;
        Some(take_timestamp(line, "the timestamp of an exemplar")?)
    } else {
        None
    };
    Ok(Some(Exemplar { labels: set.labels, value, timestamp }))
}

/// Refuses anything behind what was read of a line.
pub(super) fn end(line: &Line<'_>) -> Result<(), ParseError> {
    if line.is_at_end() { Ok(()) } else { Err(line.expected("the end of the line")) }
}
