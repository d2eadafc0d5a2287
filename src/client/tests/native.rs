//! Native histograms of one process against a count of the same numbers by hand.

use std::collections::BTreeMap;

use tallyboard::sample::{NativeBuckets, NativeHistogram as Buckets, Sample, Value};
use tallyboard::{NativeHistogram, Registry};
use tallyboard_proto::native::index;

/// A generator of test numbers, of all sizes.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// Any number, or one of a range of a few octaves.
    fn number(&mut self) -> f64 {
        match self.word() % 8 {
            0 => f64::from_bits(self.word()),
            1 => [0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0, 1e-60, -1e-60]
                [self.word() as usize % 8],
            _ => {
                let size = (self.word() % 1000) as f64 / 100.0 - 5.0;
                if self.word().is_multiple_of(2) { size.exp2() } else { -size.exp2() }
            }
        }
    }
}

fn samples(registry: &'static Registry) -> Vec<Sample> {
    registry.gather().into_iter().flat_map(|family| family.samples).collect()
}

fn whole(value: Value) -> u64 {
    match value {
        Value::Whole(whole) => whole,
        Value::Float(float) => panic!("expected a whole number, found {float}"),
    }
}

/// The counts of one side by index.
fn counts(side: &NativeBuckets) -> BTreeMap<i32, u64> {
    let mut index = 0;
    let mut counts = side.counts.iter();
    let mut all = BTreeMap::new();
    for span in &side.spans {
        index += span.offset;
        for count in counts.by_ref().take(span.length as usize) {
            all.insert(index, whole(*count));
            index += 1;
        }
    }
    assert_eq!(counts.next(), None, "a bucket without a place in {side:?}");
    all.retain(|_, count| *count != 0);
    all
}

/// Holds what is shown against the numbers that were observed.
fn check(found: &Buckets, count: Value, most: u16, numbers: &[f64]) {
    let schema = found.schema as i8;
    let is_zero = |number: &&f64| number.abs() <= found.zero_threshold;
    let by_hand = |is_of_side: fn(f64) -> bool| {
        let mut all = BTreeMap::new();
        let outside = numbers.iter().filter(|number| !is_zero(number));
        for number in outside.filter(|number| is_of_side(**number)) {
            *all.entry(index(number.abs(), schema)).or_insert(0_u64) += 1;
        }
        all
    };
    let (above, below) = (counts(&found.positive), counts(&found.negative));
    assert_eq!(above, by_hand(|number| number > 0.0), "schema {schema}");
    assert_eq!(below, by_hand(|number| number < 0.0), "schema {schema}");
    assert_eq!(whole(found.zero_count), numbers.iter().filter(is_zero).count() as u64);
    assert_eq!(whole(count), numbers.len() as u64);
    assert!(schema == -4 || above.len() + below.len() <= usize::from(most), "{above:?} {below:?}");
}

#[test]
fn numbers_of_all_sizes_are_counted_once_in_no_more_buckets_than_there_may_be() {
    let mut random = Random(14);
    for (round, schema) in (-4..=8).cycle().take(60).enumerate() {
        let registry = Registry::new();
        let most = [1, 8, 40, 160][round % 4];
        let bounds: &[f64] = if round % 3 == 0 { &[] } else { &[-2.5, 0.0, 0.7, 20.0] };
        let histogram = NativeHistogram::builder("sizes", "").registry(registry).schema(schema);
        let histogram = histogram.max_buckets(most).classic_buckets(bounds);
        let histogram = histogram.register().expect("well formed");
        let mut numbers = Vec::new();
        for _ in 0..500 {
            let number = random.number();
            histogram.observe(number);
            // What is no number is dropped.
            numbers.extend(Some(number).filter(|number| !number.is_nan()));
        }
        let samples = samples(registry);
        let native = samples[0].native.as_ref().expect("a native histogram");
        check(native, samples[0].value, most, &numbers);
        let classic: Vec<u64> = samples
            .iter()
            .filter(|sample| sample.suffix == "_bucket")
            .map(|sample| whole(sample.value))
            .collect();
        let up_to = |bound: f64| numbers.iter().filter(|number| **number <= bound).count() as u64;
        let mut expect: Vec<u64> = bounds.iter().copied().map(up_to).collect();
        if !bounds.is_empty() {
            expect.push(numbers.len() as u64);
        }
        assert_eq!(classic, expect);
    }
}

#[test]
fn threads_that_begin_the_same_buckets_lose_nothing() {
    let registry = Registry::new();
    let histogram = NativeHistogram::builder("sizes", "").registry(registry).schema(8);
    let histogram = histogram.max_buckets(64).register().expect("well formed");
    let numbers: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    let mut random = Random(thread);
                    let numbers: Vec<f64> = (0..5_000).map(|_| random.number()).collect();
                    numbers.iter().for_each(|number| histogram.observe(*number));
                    numbers.into_iter().filter(|number| !number.is_nan()).collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a thread")).collect()
    });
    let samples = samples(registry);
    let native = samples[0].native.as_ref().expect("a native histogram");
    check(native, samples[0].value, 64, &numbers);
}

#[test]
fn a_reset_a_removal_and_an_exemplar_are_of_the_whole_histogram() {
    let registry = Registry::new();
    let family = NativeHistogram::builder("sizes", "").registry(registry).schema(0);
    let family = family.labels(&["of"]).family().expect("well formed");
    let histogram = family.with(&["a"]).expect("one label");
    let shown = |expect: &[f64]| {
        let samples = samples(registry);
        let native = samples.first().and_then(|sample| sample.native.as_deref());
        match native {
            Some(native) => check(native, samples[0].value, 160, expect),
            None => assert!(expect.is_empty(), "{samples:?}"),
        }
    };
    [1.0, 3.0, 3.0].iter().for_each(|size| histogram.observe(*size));
    histogram.reset();
    [3.0, 9.0].iter().for_each(|size| histogram.observe(*size));
    shown(&[3.0, 9.0]);
    assert_eq!(family.remove(&["a"]), Ok(true));
    shown(&[]);
    let again = family.with(&["a"]).expect("one label");
    again.observe_with_exemplar(9.0, &[("trace_id", "a")]).expect("short labels");
    shown(&[9.0]);
    let samples = samples(registry);
    let native = samples[0].native.as_ref().expect("a native histogram");
    assert_eq!(native.exemplars[0].value, 9.0);
    assert_eq!(native.sum, 9.0);
}
