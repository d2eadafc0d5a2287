//! What a collector says, as the families that it is kept in.
//!
//! A family has the type that the collector says, and of its samples those that the type has. Any
//! other sample is a family of its own name, of which nobody knows the type.

use tallyboard_exposition::cells::declared_of;
use tallyboard_exposition::sample::{FamilySamples, Sample, Type};
use tallyboard_proto::cell::Join;
use tallyboard_proto::family::{Declared, Family, GaugeMode, Kind, MAX_HELP_BYTES, Samples};

use crate::error::RegisterError;

/// What the names of counts end in.
const COUNTS: [&str; 4] = ["_total", "_count", "_sum", "_bucket"];

/// A family, and the samples of it that a collector says, each with what its name has behind that of
/// the family.
pub(crate) struct Part<'a> {
    pub(crate) name: String,
    pub(crate) family: Result<Family, RegisterError>,
    pub(crate) samples: Vec<(&'a str, &'a Sample)>,
}

/// The families of a collector of this mode, none without samples.
pub(crate) fn parts(collected: &FamilySamples, mode: GaugeMode) -> Vec<Part<'_>> {
    let declared = declared_of(collected.kind);
    let (own, others): (Vec<&Sample>, Vec<&Sample>) =
        collected.samples.iter().partition(|sample| is_of(declared, sample));
    let mut parts = Vec::new();
    if !own.is_empty() {
        let samples = own.into_iter().map(|sample| (&*sample.suffix, sample)).collect();
        parts.push(Part {
            name: collected.name.clone(),
            family: family(collected, declared, mode),
            samples,
        });
    }
    for sample in others {
        let name = format!("{}{}", collected.name, sample.suffix);
        match parts.iter_mut().find(|part| part.name == name) {
            Some(part) => part.samples.push(("", sample)),
            None => {
                let samples = vec![("", sample)];
                parts.push(Part { family: of_no_type(&name, declared, mode), name, samples });
            }
        }
    }
    parts
}

/// Whether a sample is one that families of this type have.
fn is_of(declared: Declared, sample: &Sample) -> bool {
    let is_quantile = || sample.labels().any(|(name, _)| name == "quantile");
    declared.suffixes().contains(&&*sample.suffix)
        && (declared != Declared::Summary || !sample.suffix.is_empty() || is_quantile())
}

/// The family of the type that the collector says.
pub(crate) fn family(
    collected: &FamilySamples,
    declared: Declared,
    mode: GaugeMode,
) -> Result<Family, RegisterError> {
    let FamilySamples { name, unit, help, .. } = collected;
    let is_suffix = name.strip_suffix(unit.as_str()).is_some_and(|stem| stem.ends_with('_'));
    let has_unit = is_suffix && !matches!(collected.kind, Type::Info | Type::StateSet);
    let unit = if has_unit { unit.as_str() } else { "" };
    let kind = Kind::Samples(Samples::new(declared, mode));
    Ok(Family::named(kind, name, unit, &help[..help.floor_char_boundary(MAX_HELP_BYTES)], &[])?)
}

/// The family of a sample that has the name of no family's: what is named as a count among counts is
/// one.
fn of_no_type(name: &str, among: Declared, mode: GaugeMode) -> Result<Family, RegisterError> {
    let is_count = match among {
        Declared::Counter => true,
        Declared::Histogram | Declared::Summary => COUNTS.iter().any(|end| name.ends_with(end)),
        _ => false,
    };
    let usual = Samples::new(Declared::Unknown, mode);
    let join = if is_count { Join::Add } else { usual.join };
    Ok(Family::named(Kind::Samples(Samples { join, ..usual }), name, "", "", &[])?)
}

/// What a collector of Rust says, with the suffixes that it may leave out.
pub(crate) fn with_suffixes(mut said: Vec<FamilySamples>) -> Vec<FamilySamples> {
    for family in &mut said {
        let suffix = match family.kind {
            Type::Counter => "_total",
            Type::Info => "_info",
            _ => continue,
        };
        if let Some(stem) = family.name.strip_suffix(suffix) {
            family.name.truncate(stem.len());
        }
        let bare = family.samples.iter_mut().filter(|sample| sample.suffix.is_empty());
        bare.for_each(|sample| sample.suffix = suffix.into());
    }
    said
}

#[cfg(test)]
mod tests {
    use tallyboard_exposition::sample::Value;

    use super::*;

    /// The families that a sample of a family is kept in, each with its type and how it is joined.
    fn check(kind: Type, (suffix, label): (&'static str, &str), expect: (&str, Declared, Join)) {
        let mut said = FamilySamples::new(kind, "x", "Help.");
        let labels = vec![(label.to_owned(), "0.5".to_owned())];
        said.samples.push(Sample::new(suffix, labels, Value::Whole(1)));
        let parts = parts(&said, GaugeMode::Max);
        let [Part { family: Ok(family), samples, .. }] = &parts[..] else { panic!("one family") };
        let Kind::Samples(kept) = family.kind else { panic!("{family:?}") };
        let suffix = samples[0].0;
        let found = (format!("{}{suffix}", family.name), kept.declared, kept.join_of(suffix));
        assert_eq!(found, (expect.0.to_owned(), expect.1, expect.2), "{kind:?} {suffix}");
    }

    #[test]
    fn a_sample_that_its_type_does_not_have_is_a_family_of_no_type() {
        let most = Join::Gauge(GaugeMode::Max);
        let newest = Join::Gauge(GaugeMode::MostRecent);
        check(Type::Counter, ("_total", "l"), ("x_total", Declared::Counter, Join::Add));
        check(Type::Counter, ("_created", "l"), ("x_created", Declared::Counter, Join::Earliest));
        check(Type::Counter, ("", "l"), ("x", Declared::Unknown, Join::Add));
        check(Type::Summary, ("", "quantile"), ("x", Declared::Summary, newest));
        check(Type::Summary, ("", "l"), ("x", Declared::Unknown, most));
        check(Type::Summary, ("_bucket", "le"), ("x_bucket", Declared::Unknown, Join::Add));
        check(Type::Gauge, ("", "l"), ("x", Declared::Gauge, most));
        check(Type::Gauge, ("_total", "l"), ("x_total", Declared::Unknown, most));
        check(Type::GaugeHistogram, ("_gsum", "l"), ("x_gsum", Declared::GaugeHistogram, most));
        check(Type::Info, ("_info", "l"), ("x_info", Declared::Info, newest));
        check(Type::StateSet, ("", "x"), ("x", Declared::StateSet, newest));
    }

    #[test]
    fn help_and_unit_are_cut_to_what_they_may_be() {
        let mut said = FamilySamples::new(Type::Gauge, "x_seconds", &"é".repeat(4096));
        said.unit = "seconds".into();
        let of = |said: &FamilySamples| family(said, Declared::Gauge, GaugeMode::All).unwrap();
        let kept = of(&said);
        assert_eq!((kept.help.len(), &*kept.unit), (MAX_HELP_BYTES, "seconds"));
        said.unit = "bytes".into();
        assert_eq!(&*of(&said).unit, "");
    }
}
