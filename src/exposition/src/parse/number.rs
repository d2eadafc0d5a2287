//! Values and timestamps as text has them, and what is said of a text that is none.

use super::cursor::{Line, is_blank};
use super::error::ParseError;
use crate::number::{float, real};
use crate::sample::{Timestamp, Value};

/// A value: whole where the text is an integer that fits.
pub(super) fn value(text: &str) -> Option<Value> {
    let is_whole = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match is_whole.then(|| text.parse().ok()).flatten() {
        Some(whole) => Some(Value::Whole(whole)),
        None => float(text).map(Value::Float),
    }
}

/// A value up to the next blank, named `what` in errors.
pub(super) fn take_value(line: &mut Line<'_>, what: &str) -> Result<Value, ParseError> {
    let start = *line;
    let text = line.take_while(|byte| !is_blank(byte));
    value(text).ok_or_else(|| unexpected(&start, what, text))
}

/// The error that `text` stands where `what` should.
pub(super) fn unexpected(at: &Line<'_>, what: &str, text: &str) -> ParseError {
    // Only digits that do not fit become infinite: the word does not begin with one.
    let begins = text.trim_start_matches(['+', '-', '.']).starts_with(|c: char| c.is_ascii_digit());
    match text.parse::<f64>() {
        Ok(number) if begins && number.is_infinite() => {
            at.error(format!("expected {what} that fits 64 bits, found {text:?}"))
        }
        _ if text.is_empty() => at.expected(what),
        _ => at.error(format!("expected {what}, found {text:?}")),
    }
}

/// Seconds since 1970, with as many digits behind the point as there are nanoseconds; further ones
/// are dropped. A moment whose seconds do not fit 64 bits is none.
pub(super) fn seconds(text: &str) -> Option<Timestamp> {
    let value = real(text)?;
    if text.contains(['e', 'E']) {
        return Timestamp::from_seconds(value);
    }
    let (sign, digits) = match text.as_bytes().first() {
        Some(b'-') => (-1, &text[1..]),
        Some(b'+') => (1, &text[1..]),
        _ => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9);
    let nanos = nanos.fold(0, |nanos, digit| nanos * 10 + i128::from(digit - b'0'));
    Timestamp::from_nanos(sign * (whole.checked_mul(1_000_000_000)? + nanos))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_whole_up_to_64_bits() {
        for (text, expect) in [
            ("18446744073709551615", Value::Whole(u64::MAX)),
            ("000", Value::Whole(0)),
            ("18446744073709551616", Value::Float(18_446_744_073_709_551_616.0)),
            ("1.0", Value::Float(1.0)),
            ("-1", Value::Float(-1.0)),
        ] {
            assert_eq!(value(text), Some(expect), "{text}");
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
            ("9223372036854775807.999999999", i64::MAX, 999_999_999),
            ("-9223372036854775808", i64::MIN, 0),
            ("1e18", 1_000_000_000_000_000_000, 0),
        ] {
            let expect = Timestamp { seconds: seconds_, nanos };
            assert_eq!(seconds(text), Some(expect), "{text}");
        }
        for text in [
            "",
            "NaN",
            "Inf",
            "-Inf",
            "1_2",
            "1z",
            "0x1",
            "1.1.1",
            "9223372036854775808",
            "-9223372036854775808.5",
            "1e19",
            "1e400",
            "12345678901234567890.5",
            "100000000000000000000000000000000000000000",
        ] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
