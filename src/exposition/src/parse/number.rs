//! Numbers and timestamps as text has them.

use super::ParseError;
use super::cursor::Line;
use crate::sample::{Timestamp, Value};

/// Which numbers a format has, besides those that all have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    /// What does not fit a float is no number, as Go reads it.
    Finite,
    /// What does not fit a float is infinite.
    Any,
}

/// A number: digits with a point and an exponent, an infinity, or NaN.
pub(super) fn float(text: &str, range: Range) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let has_digits = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    if has_digits {
        let value: f64 = text.parse().ok()?;
        return (value.is_finite() || range == Range::Any).then_some(value);
    }
    let is = |word: &str| unsigned.eq_ignore_ascii_case(word);
    match text.as_bytes().first() {
        Some(b'-') if is("inf") || is("infinity") => Some(f64::NEG_INFINITY),
        Some(_) if is("inf") || is("infinity") => Some(f64::INFINITY),
        Some(_) if text.eq_ignore_ascii_case("nan") => Some(f64::NAN),
        _ => None,
    }
}

/// A number that has a point, an exponent or neither, but is neither infinite nor NaN.
pub(super) fn real(text: &str) -> Option<f64> {
    float(text, Range::Any)
        .filter(|value| value.is_finite() || text.bytes().any(|byte| byte.is_ascii_digit()))
}

/// A value: whole where the text is an integer that fits.
pub(super) fn value(text: &str, range: Range) -> Option<Value> {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match is_whole.then(|| text.parse().ok()).flatten() {
        Some(whole) => Some(Value::Whole(whole)),
        None => float(text, range).map(Value::Float),
    }
}

/// A value up to the next blank, named `what` in errors.
pub(super) fn take_value(
    line: &mut Line<'_>,
    range: Range,
    what: &str,
) -> Result<Value, ParseError> {
    let start = *line;
    let text = line.take_while(|byte| !super::cursor::is_blank(byte));
    value(text, range).ok_or_else(|| unexpected(&start, what, text))
}

/// The error that `text` stands where `what` should.
pub(super) fn unexpected(at: &Line<'_>, what: &str, text: &str) -> ParseError {
    match text.is_empty() {
        true => at.expected(what),
        false => at.error(format!("expected {what}, found {text:?}")),
    }
}

/// Seconds since 1970, with as many digits behind the point as there are nanoseconds; further ones
/// are dropped. What does not fit is the first or last moment that does.
pub(super) fn seconds(text: &str) -> Option<Timestamp> {
    let value = real(text)?;
    if !value.is_finite() || text.contains(['e', 'E']) {
        return Some(from_float(value));
    }
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = if whole.is_empty() { "0" } else { whole };
    let whole: i128 = whole.parse().unwrap_or(i128::from(i64::MAX));
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |nanos, digit| nanos * 10 + i128::from(digit - b'0'));
    let whole = whole.min(i128::from(i64::MAX));
    Some(from_nanos(sign * (whole * 1_000_000_000 + nanos)))
}

fn from_float(seconds: f64) -> Timestamp {
    let whole = seconds.floor();
    // A cast of a float saturates.
    Timestamp { seconds: whole as i64, nanos: ((seconds - whole) * 1e9) as u32 % 1_000_000_000 }
}

fn from_nanos(nanos: i128) -> Timestamp {
    let seconds = nanos.div_euclid(1_000_000_000);
    let seconds = seconds.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
    Timestamp { seconds, nanos: nanos.rem_euclid(1_000_000_000) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_grammar() {
        for (text, expect) in [
            ("1", 1.0),
            ("+1", 1.0),
            ("-1.5", -1.5),
            (".5", 0.5),
            ("5.", 5.0),
            ("1e3", 1e3),
            ("1E-3", 1e-3),
            ("0000001.2e-1", 0.12),
            ("Inf", f64::INFINITY),
            ("+inf", f64::INFINITY),
            ("-INFINITY", f64::NEG_INFINITY),
        ] {
            assert_eq!(float(text, Range::Any), Some(expect), "{text}");
        }
        assert!(float("nAn", Range::Any).is_some_and(f64::is_nan));
        for text in [
            "", "+", ".", "e5", "1e", "1_2", "0x1", "0x1p-3", "0b1", "0o1", "1 ", " 1", "+nan",
            "-NaN", "infinit", "1.1.1", "1z", "true", "٣",
        ] {
            assert_eq!(float(text, Range::Any), None, "{text}");
        }
        assert_eq!(float("1e999", Range::Finite), None);
        assert_eq!(float("1e999", Range::Any), Some(f64::INFINITY));
    }

    #[test]
    fn integers_are_whole_up_to_64_bits() {
        for (text, expect) in [
            ("18446744073709551615", Value::Whole(u64::MAX)),
            ("000", Value::Whole(0)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("1.0", Value::Float(1.0)),
            ("-1", Value::Float(-1.0)),
        ] {
            assert_eq!(value(text, Range::Any), Some(expect), "{text}");
        }
    }

    #[test]
    fn timestamps_have_nanoseconds_and_round_down() {
        for (text, seconds_, nanos) in [
            ("0", 0, 0),
            ("1.1", 1, 100_000_000),
            ("1604676851.123456789", 1_604_676_851, 123_456_789),
            ("0.0000000019", 0, 1),
            ("1.5e3", 1500, 0),
            ("-1.25", -2, 750_000_000),
            ("-0.5", -1, 500_000_000),
            (".5", 0, 500_000_000),
            ("12345678901234567890.5", i64::MAX, 500_000_000),
        ] {
            let expect = Timestamp { seconds: seconds_, nanos };
            assert_eq!(seconds(text), Some(expect), "{text}");
        }
        for text in ["", "NaN", "Inf", "-Inf", "1_2", "1z", "0x1", "1.1.1"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
