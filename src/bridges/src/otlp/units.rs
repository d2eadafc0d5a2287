//! Units as UCUM writes them, which OTLP has, for the words that Prometheus has.

const UNITS: &[(&str, &str)] = &[
    ("amperes", "A"),
    ("bits", "bit"),
    ("bytes", "By"),
    ("celsius", "Cel"),
    ("days", "d"),
    ("gibibytes", "GiBy"),
    ("gigabytes", "GBy"),
    ("grams", "g"),
    ("hertz", "Hz"),
    ("hours", "h"),
    ("joules", "J"),
    ("kibibytes", "KiBy"),
    ("kilobytes", "kBy"),
    ("mebibytes", "MiBy"),
    ("megabytes", "MBy"),
    ("meters", "m"),
    ("microseconds", "us"),
    ("milliseconds", "ms"),
    ("minutes", "min"),
    ("nanoseconds", "ns"),
    ("percent", "%"),
    ("ratio", "1"),
    ("seconds", "s"),
    ("tebibytes", "TiBy"),
    ("terabytes", "TBy"),
    ("volts", "V"),
    ("watts", "W"),
];

/// What something is counted by, as OpenTelemetry's collector has it.
const PER: &[(&str, &str)] = &[
    ("day", "d"),
    ("hour", "h"),
    ("minute", "m"),
    ("month", "mo"),
    ("second", "s"),
    ("week", "w"),
    ("year", "y"),
];

/// The unit in UCUM; one that is not known stays as it is.
pub(super) fn ucum(unit: &str) -> String {
    let find = |table: &[(&str, &str)], unit: &str| {
        let found = table.iter().find(|(word, _)| *word == unit);
        found.map_or(unit, |(_, ucum)| ucum).to_owned()
    };
    match unit.split_once("_per_") {
        Some((unit, per)) => format!("{}/{}", find(UNITS, unit), find(PER, per)),
        None => find(UNITS, unit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_ucum_where_there_is_one() {
        assert!(UNITS.is_sorted() && PER.is_sorted());
        for (unit, expect) in [
            ("", ""),
            ("seconds", "s"),
            ("bytes_per_second", "By/s"),
            ("orders_per_week", "orders/w"),
            ("orders", "orders"),
        ] {
            assert_eq!(ucum(unit), expect);
        }
    }
}
