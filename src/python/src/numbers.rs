//! Numbers as prometheus_client writes them: what an application compares pages with.

/// A page of text with its values written so: `1.0`, `1e+06`. Timestamps and labels stay.
pub(crate) fn rewritten(page: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len() + page.len() / 16);
    for line in page.split_inclusive(|&byte| byte == b'\n') {
        if line.starts_with(b"#") || line == b"\n" {
            out.extend_from_slice(line);
        } else {
            write_line(&mut out, line);
        }
    }
    out
}

/// Writes a line of a sample: its name with labels, its value, a timestamp, an exemplar.
fn write_line(out: &mut Vec<u8>, line: &[u8]) {
    let rest = write_value_behind(out, line, end_of_series(line));
    let exemplar = rest.windows(4).position(|four| four == b" # {");
    let Some(at) = exemplar else { return out.extend_from_slice(rest) };
    let (timestamp, exemplar) = rest.split_at(at + 3);
    out.extend_from_slice(timestamp);
    let rest = write_value_behind(out, exemplar, end_of_series(exemplar));
    out.extend_from_slice(rest);
}

/// Writes what is before the space at `end`, and the value behind it; gives what comes then.
fn write_value_behind<'a>(out: &mut Vec<u8>, text: &'a [u8], end: usize) -> &'a [u8] {
    let (series, value) = text.split_at((end + 1).min(text.len()));
    out.extend_from_slice(series);
    let end = value.iter().position(|byte| matches!(byte, b' ' | b'\n')).unwrap_or(value.len());
    let (value, rest) = value.split_at(end);
    write_number(out, value);
    rest
}

/// Where the space is behind a name and labels, in whose values there may be spaces.
fn end_of_series(text: &[u8]) -> usize {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, &byte) in text.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b' ' if !is_quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn write_number(out: &mut Vec<u8>, number: &[u8]) {
    out.extend_from_slice(number);
    // Most are small and whole.
    if number.len() <= 6 && number.iter().all(u8::is_ascii_digit) {
        out.extend_from_slice(b".0");
        return;
    }
    let parsed = std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok());
    if let Some(value) = parsed.filter(|value| value.is_finite()) {
        out.truncate(out.len() - number.len());
        out.extend_from_slice(float_to_go_string(value).as_bytes());
    }
}

/// What `floatToGoString` of prometheus_client makes of a number: Python's `repr`, but for those from
/// a million up.
fn float_to_go_string(value: f64) -> String {
    let shortest = format!("{value:e}");
    let mantissa = shortest.bytes().take_while(|&byte| byte != b'e');
    let digits = mantissa.filter(u8::is_ascii_digit).count();
    // Of two that are as short and as near Python takes the even one.
    let even = format!("{value:.*e}", digits - 1);
    let digits = if even.parse() == Ok(value) { even } else { shortest };
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((&digits, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    match exponent {
        -4..6 => positional(mantissa, exponent),
        6..16 if value < 0.0 => positional(mantissa, exponent),
        _ => format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

/// The digits of a mantissa with the point where the exponent has it.
fn positional(mantissa: &str, exponent: i32) -> String {
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(mantissa) => ("-", mantissa),
        None => ("", mantissa),
    };
    let digits: String = mantissa.chars().filter(|digit| *digit != '.').collect();
    let whole = usize::try_from(exponent + 1).unwrap_or(0);
    if whole == 0 {
        let zeros = "0".repeat(exponent.unsigned_abs() as usize - 1);
        return format!("{sign}0.{zeros}{digits}");
    }
    let (whole, fraction) = match digits.split_at_checked(whole) {
        Some((whole, fraction)) => (whole.to_owned(), fraction),
        None => (format!("{digits:0<whole$}"), ""),
    };
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    format!("{sign}{whole}.{fraction}")
}
