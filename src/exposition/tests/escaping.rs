//! Names for readers that know only letters, digits, underscores and colons.

#![forbid(unsafe_code)]

use std::borrow::Cow;

use tallyboard_exposition::escaping::{Escaping, Outcome, is_legacy_label, is_legacy_name};
use tallyboard_exposition::sample::{Exemplar, FamilySamples, Sample, Type, Value};

/// A name in the schemes underscores, dots and values, as Go's `EscapeName` has it.
const NAMES: &[(&str, [&str; 3])] = &[
    ("", ["", "", ""]),
    (
        "no:escaping_required",
        ["no:escaping_required", "no:escaping__required", "no:escaping_required"],
    ),
    (
        "mysystem.prod.west.cpu.load",
        [
            "mysystem_prod_west_cpu_load",
            "mysystem_dot_prod_dot_west_dot_cpu_dot_load",
            "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load",
        ],
    ),
    (
        "mysystem.prod.west.cpu.load_total",
        [
            "mysystem_prod_west_cpu_load_total",
            "mysystem_dot_prod_dot_west_dot_cpu_dot_load__total",
            "U__mysystem_2e_prod_2e_west_2e_cpu_2e_load__total",
        ],
    ),
    ("http.status:sum", ["http_status:sum", "http_dot_status:sum", "U__http_2e_status:sum"]),
    ("label with 😱", ["label_with__", "label__with____", "U__label_20_with_20__1f631_"]),
    ("花火", ["__", "____", "U___82b1__706b_"]),
    ("label with ä", ["label_with__", "label__with____", "U__label_20_with_20__e4_"]),
    ("1digit", ["_digit", "__digit", "U___31_digit"]),
    ("a1", ["a1", "a1", "a1"]),
    ("_", ["_", "__", "_"]),
    (".", ["_", "_dot_", "U___2e_"]),
    ("\u{fffd}", ["_", "__", "U___fffd_"]),
    ("a\n\"", ["a__", "a____", "U__a_a__22_"]),
];

#[test]
fn names_are_escaped_as_in_go() {
    for (name, expect) in NAMES {
        assert_eq!(Escaping::AllowUtf8.escape(name), *name);
        let schemes = [Escaping::Underscores, Escaping::Dots, Escaping::Values];
        for (scheme, expect) in schemes.into_iter().zip(expect) {
            let escaped = scheme.escape(name);
            assert_eq!(escaped, *expect, "{name:?} with {}", scheme.name());
            assert!(escaped.is_empty() || is_legacy_name(&escaped), "{escaped:?}");
        }
    }
}

#[test]
fn values_bring_back_every_name() {
    for (name, [_, _, values]) in NAMES {
        assert_eq!(Escaping::Values.unescape(values), *name);
    }
}

#[test]
fn names_are_brought_back_as_in_go() {
    use Escaping::{AllowUtf8, Dots, Underscores, Values};
    for (scheme, escaped, expect) in [
        (AllowUtf8, "U__a_2e_b", "U__a_2e_b"),
        (Underscores, "a_b", "a_b"),
        (Dots, "no:escaping__required", "no:escaping_required"),
        (Dots, "mysystem_dot_prod__west", "mysystem.prod_west"),
        (Dots, "a", "a"),
        (Values, "a__b", "a__b"),
        (Values, "U__a__b", "a_b"),
        (Values, "U__", ""),
        // What is no escape leaves the whole name as it is.
        (Values, "U__a_", "U__a_"),
        (Values, "U__a_2e", "U__a_2e"),
        (Values, "U__a_x_", "U__a_x_"),
        (Values, "U__a_d900_", "U__a_d900_"),
        (Values, "U__a_10ffff_", "U__a_10ffff_"),
        (Values, "U__a_0000000_", "U__a_0000000_"),
        (Values, "U__a_2E_b", "a.b"),
        (Values, "U__a_0ffff_", "a\u{ffff}"),
    ] {
        assert_eq!(scheme.unescape(escaped), expect, "{escaped:?} with {}", scheme.name());
    }
}

#[test]
fn schemes_have_names() {
    for scheme in Escaping::EVERY {
        assert_eq!(Escaping::named(scheme.name()), Some(scheme));
    }
    assert_eq!(Escaping::named("Dots"), None);
    assert_eq!(Escaping::default(), Escaping::Underscores);
}

#[test]
fn legacy_names_are_those_of_the_data_model() {
    for (name, expect) in [
        ("", [false, false]),
        ("a", [true, true]),
        ("_9", [true, true]),
        ("a:b", [true, false]),
        (":", [true, false]),
        ("9", [false, false]),
        ("a.b", [false, false]),
        ("ä", [false, false]),
    ] {
        assert_eq!([is_legacy_name(name), is_legacy_label(name)], expect, "{name}");
    }
}

/// A sample by its labels, with a value that tells it apart.
fn sample(labels: &[(&str, &str)], value: u64) -> Sample {
    let labels = labels.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    Sample::new("", labels.collect(), Value::Whole(value))
}

fn family(kind: Type, name: &str, samples: Vec<Sample>) -> FamilySamples {
    FamilySamples { kind, name: name.to_owned(), samples, ..FamilySamples::default() }
}

#[test]
fn families_that_need_nothing_are_not_copied() {
    let plain = [family(Type::Gauge, "a_b:c", vec![sample(&[("d_e", "ä.")], 1)])];
    for scheme in Escaping::EVERY {
        let escaped = scheme.apply(&plain);
        assert!(matches!(escaped.families, Cow::Borrowed(_)), "{}", scheme.name());
    }
    let other = [family(Type::Gauge, "a.b", vec![])];
    assert!(matches!(Escaping::AllowUtf8.apply(&other).families, Cow::Borrowed(_)));
}

#[test]
fn names_of_families_labels_and_exemplars_are_escaped() {
    let mut counted = sample(&[("c.d", "e.f"), ("g:h", ""), ("_i", "")], 1);
    let labels = vec![("j.k".to_owned(), "l.m".to_owned())];
    counted.exemplar = Some(Exemplar { labels, value: 1.0, timestamp: None });
    let families = [family(Type::Gauge, "a.b", vec![counted])];
    for (scheme, names) in [
        (Escaping::Underscores, ["a_b", "c_d", "g_h", "_i", "j_k"]),
        // As in Go, a name that needs no escaping is not escaped by dots either.
        (Escaping::Dots, ["a_dot_b", "c_dot_d", "g__h", "_i", "j_dot_k"]),
        (Escaping::Values, ["U__a_2e_b", "U__c_2e_d", "U__g_3a_h", "_i", "U__j_2e_k"]),
    ] {
        let escaped = scheme.apply(&families);
        let family = &escaped.families[0];
        let sample = &family.samples[0];
        let exemplar = sample.exemplar.as_ref().expect("it has kept its exemplar");
        let labels = sample.labels.iter().chain(&exemplar.labels).map(|(name, _)| name.as_str());
        let found: Vec<&str> = [family.name.as_str()].into_iter().chain(labels).collect();
        assert_eq!(found, names, "{}", scheme.name());
    }
}

#[test]
fn the_suffix_of_a_counter_and_of_an_info_is_part_of_their_name() {
    for (kind, suffix, dots, values) in [
        (Type::Counter, "_total", "a_dot_b__total", "U__a_2e_b__total"),
        (Type::Info, "_info", "a_dot_b__info", "U__a_2e_b__info"),
        // A counter of text 0.0.4 may have none, and that of other types is put behind their name.
        (Type::Counter, "", "a_dot_b", "U__a_2e_b"),
        (Type::Summary, "_count", "a_dot_b_count", "U__a_2e_b_count"),
    ] {
        let mut counted = sample(&[], 1);
        counted.suffix = suffix.into();
        let families = [family(kind, "a.b", vec![counted])];
        for (scheme, expect) in [(Escaping::Dots, dots), (Escaping::Values, values)] {
            let escaped = scheme.apply(&families);
            let found = format!("{}{}", escaped.families[0].name, suffix);
            assert_eq!(found, expect, "{kind:?} with {}", scheme.name());
        }
    }
}

#[test]
fn the_states_of_a_set_stay_under_its_name() {
    let families = [family(Type::StateSet, "a.b_c", vec![sample(&[("a.b_c", "on")], 1)])];
    let escaped = Escaping::Dots.apply(&families);
    assert_eq!(escaped.families[0].name, "a_dot_b__c");
    assert_eq!(escaped.families[0].samples[0].labels[0].0, "a_dot_b__c");
    // A label has no colons, so that this set has none either.
    let families = [family(Type::StateSet, "a:b", vec![sample(&[("a:b", "on")], 1)])];
    let escaped = Escaping::Underscores.apply(&families);
    assert_eq!(escaped.families[0].name, "a_b");
    assert_eq!(escaped.families[0].samples[0].labels[0].0, "a_b");
}

/// Names and values after underscores, then how many families were merged, and how many series joined
/// and left out, by the names that they really have.
fn check(
    families: &[FamilySamples],
    expect: &[(&str, &[u64])],
    merged: usize,
    collisions: &[(&str, Outcome, usize)],
) {
    let escaped = Escaping::Underscores.apply(families);
    let values = |family: &FamilySamples| -> Vec<u64> {
        family.samples.iter().map(|sample| sample.value.as_f64() as u64).collect()
    };
    let found = escaped.families.iter().map(|family| (family.name.as_str(), values(family)));
    let expect = expect.iter().map(|(name, values)| (*name, values.to_vec()));
    assert_eq!(found.collect::<Vec<_>>(), expect.collect::<Vec<_>>());
    let found = escaped.collisions.iter().map(|of| (&*of.family, of.outcome, of.series));
    assert_eq!(found.collect::<Vec<_>>(), collisions);
    assert_eq!(escaped.merged, merged);
    let left_out = collisions.iter().filter(|(_, outcome, _)| *outcome == Outcome::LeftOut);
    assert_eq!(escaped.left_out(), left_out.map(|(_, _, series)| series).sum::<usize>());
}

#[test]
fn families_that_get_the_same_name_are_merged() {
    let dotted = family(Type::Gauge, "a.b", vec![sample(&[("c", "1")], 1)]);
    let dashed = family(Type::Gauge, "a-b", vec![sample(&[("c", "2")], 2)]);
    let other = family(Type::Gauge, "z", vec![sample(&[], 3)]);
    check(&[dotted, other, dashed], &[("a_b", &[1, 2]), ("z", &[3])], 1, &[]);
}

#[test]
fn a_family_that_contradicts_another_is_refused_and_the_older_name_stays() {
    let dotted = family(Type::Counter, "a.b", vec![sample(&[], 1)]);
    let plain = family(Type::Gauge, "a_b", vec![sample(&[], 2)]);
    let left_out = [("a.b", Outcome::LeftOut, 1)];
    check(&[dotted, plain], &[("a_b", &[2])], 0, &left_out);
}

#[test]
fn no_two_samples_have_the_same_name_and_labels() {
    let dotted = family(Type::Gauge, "a.b", vec![sample(&[("c", "1")], 1)]);
    let plain = family(Type::Gauge, "a_b", vec![sample(&[("c", "1")], 2)]);
    let left_out = [("a.b", Outcome::LeftOut, 1)];
    check(&[dotted, plain], &[("a_b", &[2])], 1, &left_out);
    let labels = family(
        Type::Gauge,
        "a",
        vec![
            sample(&[("c.d", "1")], 1),
            sample(&[("c_d", "1")], 2),
            sample(&[("c.d", "2"), ("c_d", "3")], 3),
        ],
    );
    check(&[labels], &[("a", &[1])], 0, &[("a", Outcome::LeftOut, 2)]);
}

#[test]
fn histograms_are_not_mixed() {
    let histogram = |name, bound, value| {
        let mut bucket = sample(&[("le", bound)], value);
        bucket.suffix = "_bucket".into();
        family(Type::Histogram, name, vec![bucket])
    };
    let families = [histogram("a.b", "1", 1), histogram("a-b", "2", 2)];
    check(&families, &[("a_b", &[1])], 1, &[("a-b", Outcome::LeftOut, 1)]);
}

#[test]
fn samples_of_different_families_do_not_get_the_same_name() {
    let mut total = sample(&[], 1);
    total.suffix = "_total".into();
    let counter = family(Type::Counter, "a.b", vec![total]);
    let gauge = family(Type::Gauge, "a_b_total", vec![sample(&[], 2)]);
    let left_out = [("a.b", Outcome::LeftOut, 1)];
    check(&[counter, gauge], &[("a_b", &[]), ("a_b_total", &[2])], 0, &left_out);
}

#[test]
fn counters_that_become_alike_are_added_up_but_for_those_that_may_not() {
    let counter = |name, labels: &[(&str, &str)], value| {
        let mut total = sample(labels, value);
        total.suffix = "_total".into();
        family(Type::Counter, name, vec![total])
    };
    let families = [
        counter("a.b", &[("c.d", "1")], 1),
        counter("a_b", &[("c_d", "1")], 2),
        counter("a-b", &[("c-d", "2")], 4),
        counter("a/b", &[("c_d", "2")], 8),
    ];
    let joined = [("a.b", Outcome::Joined, 1), ("a/b", Outcome::Joined, 1)];
    check(&families, &[("a_b", &[3, 12])], 3, &joined);
    let alone = Escaping::Underscores.apply_with(&families, |name| name != "a_b");
    let values = alone.families[0].samples.iter().map(|sample| sample.value.as_f64());
    assert_eq!(values.collect::<Vec<_>>(), [2.0, 12.0]);
    assert_eq!((alone.left_out(), alone.origin("a_b"), alone.origin("z")), (1, "a_b", "z"));
}

#[test]
fn a_label_never_begins_with_two_underscores_once_it_is_escaped() {
    for (label, underscores, dots) in [
        ("花火", "U___82b1__706b_", "U___82b1__706b_"),
        ("..name..", "U___2e__2e_name_2e__2e_", "_dot__dot_name_dot__dot_"),
        ("花", "_", "U___82b1_"),
        ("a:b", "a_b", "a__b"),
        ("_a", "_a", "_a"),
        ("_.a", "U_____2e_a", "U_____2e_a"),
    ] {
        let found = [Escaping::Underscores, Escaping::Dots].map(|of| of.escape_label(label));
        assert_eq!(found, [underscores, dots], "{label}");
        assert_eq!(Escaping::AllowUtf8.escape_label(label), label);
    }
}

#[test]
fn an_exemplar_with_a_label_twice_is_left_out_alone() {
    let mut counted = sample(&[], 1);
    let labels = [("a.b", "1"), ("a_b", "2")].map(|(name, value)| (name.into(), value.into()));
    counted.exemplar = Some(Exemplar { labels: labels.into(), value: 1.0, timestamp: None });
    let families = [family(Type::Counter, "c", vec![counted])];
    let has_exemplar = |scheme: Escaping| {
        let escaped = scheme.apply(&families);
        assert_eq!((escaped.families[0].samples.len(), escaped.left_out()), (1, 0));
        escaped.families[0].samples[0].exemplar.is_some()
    };
    let found = Escaping::EVERY.map(has_exemplar);
    assert_eq!(found, [true, false, true, true]);
}

#[test]
fn names_that_are_apart_are_so_in_every_scheme() {
    for (one, other, expect) in [
        ("a.b", "a_b", false),
        ("a.b", "a_dot_b", false),
        ("a.b", "U__a_2e_b", false),
        ("a.b", "a__b", true),
        ("a_b", "a_b", false),
        ("a_b", "a__b", true),
        ("a.b", "a-b", false),
        ("花火", "花", true),
    ] {
        assert_eq!(Escaping::are_apart(one, other), expect, "{one} {other}");
        assert_eq!(Escaping::are_apart(other, one), expect, "{other} {one}");
    }
}
