//! What is different in two definitions of a name, in words for people.

use tallyboard_proto::family::{Family, Kind};

use crate::board::unions::bounds_of;

/// How long a description may be: bounds and help texts may be thousands of bytes.
const MOST_BYTES: usize = 200;

/// What one definition says, and what another says instead.
pub(crate) fn differences(from: &Family, to: &Family) -> (String, String) {
    let (from, to) = (parts(from), parts(to));
    let differ: Vec<bool> = from.iter().zip(&to).map(|(from, to)| from != to).collect();
    let said = |parts: [String; 5]| {
        let parts = parts.into_iter().zip(&differ).filter(|(_, differs)| **differs);
        let parts: Vec<String> = parts.map(|(part, _)| part).collect();
        shortened(&parts.join(", "))
    };
    (said(from), said(to))
}

fn parts(family: &Family) -> [String; 5] {
    let kind = match &family.kind {
        Kind::Gauge(mode) => format!("gauge of mode {}", mode.name()),
        other => other.name().to_owned(),
    };
    [
        kind,
        format!("labels {}", family.labels.join(" ")),
        of_kind(&family.kind),
        format!("unit {}", family.unit),
        format!("help {:?}", family.help),
    ]
}

fn of_kind(kind: &Kind) -> String {
    let bounds = bounds_of(kind).unwrap_or_default();
    let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
    let bounds = bounds.join(" ");
    match kind {
        Kind::Histogram(_) => format!("bounds {bounds}"),
        Kind::NativeHistogram(native) => format!(
            "schema {} zero threshold {:e} buckets {} bounds {bounds}",
            native.schema, native.zero_threshold, native.max_buckets
        ),
        Kind::StateSet(states) => format!("states {}", states.join(" ")),
        _ => String::new(),
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= MOST_BYTES {
        return text.to_owned();
    }
    format!("{}...", &text[..text.floor_char_boundary(MOST_BYTES)])
}

#[cfg(test)]
mod tests {
    use tallyboard_proto::family::GaugeMode;

    use super::*;

    fn check(from: (Kind, &[&str], &str), to: (Kind, &[&str], &str), expect: [&str; 2]) {
        let family = |(kind, labels, help): (Kind, &[&str], &str)| {
            Family::new(kind, "m", "", help, labels).unwrap()
        };
        let (from, to) = differences(&family(from), &family(to));
        assert_eq!([from.as_str(), to.as_str()], expect);
    }

    #[test]
    fn what_differs_is_said_and_nothing_else() {
        let (counter, gauge) = (Kind::Counter, Kind::Gauge);
        check(
            (counter.clone(), &["a"], "Old."),
            (counter.clone(), &["a", "b"], "Old."),
            ["labels a", "labels a b"],
        );
        check(
            (gauge(GaugeMode::Max), &[], "Old."),
            (gauge(GaugeMode::LiveMax), &[], "New."),
            ["gauge of mode max, help \"Old.\"", "gauge of mode livemax, help \"New.\""],
        );
        let histogram = |bounds: &[f64]| Kind::Histogram(bounds.into());
        check(
            (histogram(&[1.0, 5.0]), &[], ""),
            (histogram(&[0.5]), &[], ""),
            ["bounds 1 5", "bounds 0.5"],
        );
        let long = "é".repeat(150);
        let (_, to) = differences(
            &Family::new(counter.clone(), "m", "", "", &[]).unwrap(),
            &Family::new(counter, "m", "", &long, &[]).unwrap(),
        );
        assert!(to.ends_with("...") && to.len() < MOST_BYTES + 4, "{to}");
    }
}
