//! A number as the texts have it: in a value, in a bound, in a quantile.

/// A number: digits with a point and an exponent, an infinity, or NaN. Digits that are beyond what a
/// float has are no number: Prometheus refuses a document for one.
pub(crate) fn float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return real(text);
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
pub(crate) fn real(text: &str) -> Option<f64> {
    text.parse().ok().filter(|value: &f64| value.is_finite())
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
            assert_eq!(float(text), Some(expect), "{text}");
        }
        assert!(float("nAn").is_some_and(f64::is_nan));
        for text in [
            "", "+", ".", "e5", "1e", "1_2", "0x1", "0x1p-3", "0b1", "0o1", "1 ", " 1", "+nan",
            "-NaN", "infinit", "1.1.1", "1z", "true", "٣", "1e400", "-1e309",
        ] {
            assert_eq!(float(text), None, "{text}");
        }
    }
}
