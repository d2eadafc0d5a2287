//! Families as they are: whatever no format has a place for is read as it was written.

use tallyboard_exposition::sample::{
    Exemplar, FamilySamples, NativeBuckets, NativeHistogram, Sample, Span, Timestamp, Type, Value,
};
use tallyboard_exposition::whole::{read, write};

/// Families of every type, with values that some format or other refuses.
fn oddities() -> Vec<FamilySamples> {
    let exemplar = Exemplar {
        labels: vec![("id".into(), "\n\"é".into())],
        value: -0.0,
        timestamp: Some(Timestamp { seconds: -1, nanos: 5 }),
    };
    let native = NativeHistogram {
        schema: -4,
        zero_threshold: 0.5,
        zero_count: Value::Float(0.25),
        sum: -1.5,
        positive: NativeBuckets {
            spans: vec![Span { offset: -3, length: 2 }],
            counts: vec![Value::Whole(u64::MAX), Value::Float(1e300)],
        },
        negative: NativeBuckets::default(),
        exemplars: vec![exemplar.clone()],
    };
    let family = |kind: Type| {
        let mut family = FamilySamples::new(kind, "a.name", "Help.\n");
        family.unit = "name".into();
        let mut sample = Sample::new("_sum", vec![("le".into(), "1".into())], Value::Float(-2.5));
        family.samples.push(sample.clone());
        sample.exemplar = Some(Exemplar { timestamp: None, ..exemplar.clone() });
        sample.timestamp = Some(Timestamp { seconds: i64::MIN, nanos: 0 });
        sample.native = Some(Box::new(native.clone()));
        sample.suffix = String::from("_of_its_own").into();
        family.samples.push(sample);
        family
    };
    Type::EVERY.into_iter().map(family).chain([FamilySamples::default()]).collect()
}

#[test]
fn everything_is_read_as_it_was_written() {
    assert_eq!(read(&write(&[])), Some(Vec::new()));
    let families = oddities();
    assert_eq!(read(&write(&families)).as_ref(), Some(&families));
}

#[test]
fn what_is_cut_or_longer_or_damaged_is_nothing_or_families_and_never_a_panic() {
    let page = write(&oddities());
    for end in 0..page.len() {
        assert_eq!(read(&page[..end]), None, "cut at {end}");
    }
    assert_eq!(read(&[&page[..], b"\0"].concat()), None);
    let mut some = 0;
    for at in 0..page.len() {
        for damage in [0x01, 0x80, 0xff] {
            let mut page = page.clone();
            page[at] ^= damage;
            some += usize::from(read(&page).is_some());
        }
    }
    assert!(some > 0, "another number is a number, too");
}
