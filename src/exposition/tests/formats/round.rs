//! Whatever names, labels and values there are: what is written can be read, and what was read is
//! written as it was.

use tallyboard_exposition::escaping::{Escaping, is_legacy_label, is_legacy_name};
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};
use tallyboard_exposition::sample::{
    Exemplar, FamilySamples, Labels, NativeBuckets, NativeHistogram, Sample, Span, Timestamp, Type,
    Value,
};

use crate::STARTS;
use crate::families::everything;

const ROUNDS: u64 = 1_000;

/// Checks a page in every format; `case` is in the message of a failure.
fn check(families: &[FamilySamples], case: &str) {
    for format in Format::EVERY {
        let page = format.encode_with(families, &STARTS);
        let text = String::from_utf8_lossy(&page);
        #[cfg(feature = "protobuf")]
        let is_text = *format != Format::Protobuf;
        #[cfg(not(feature = "protobuf"))]
        let is_text = true;
        assert!(!is_text || matches!(text, std::borrow::Cow::Borrowed(_)), "{case} {format:?}");
        let families = match parse(&page, *format, &Options::default()) {
            Ok(families) => families,
            Err(error) => panic!("{case} {format:?}: {error}:\n{text}"),
        };
        let again = format.encode_with(&families, &STARTS);
        let again_text = String::from_utf8_lossy(&again);
        assert!(again == page, "{case} {format:?}:\n{text}became:\n{again_text}");
    }
}

#[test]
fn a_page_of_everything_is_read_as_it_was_written() {
    check(&everything(), "everything");
}

#[test]
fn random_pages_are_read_as_they_were_written() {
    for seed in 0..ROUNDS {
        let families = Random(seed).page();
        for escaping in Escaping::EVERY {
            let escaped = escaping.apply(&families);
            check(&escaped.families, &format!("seed {seed} with {}", escaping.name()));
            if escaping == Escaping::AllowUtf8 {
                continue;
            }
            for family in &*escaped.families {
                assert!(is_legacy_name(&family.name), "seed {seed}: {:?}", family.name);
                let names = family.samples.iter().flat_map(|sample| &sample.labels);
                let wrong = names.map(|(name, _)| name).find(|name| !is_legacy_label(name));
                assert_eq!(wrong, None, "seed {seed} with {}", escaping.name());
            }
        }
    }
}

/// The generator splitmix64, and pages made of it.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.word() % limit as u64) as usize
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn chance(&mut self) -> bool {
        self.below(2) == 0
    }

    fn text(&mut self) -> String {
        const CHARACTERS: &[char] = &[
            'a', 'Z', '_', ':', '0', '.', '-', ' ', '"', '\\', '\n', '\r', '\t', '{', '}', ',',
            '=', '#', '\0', '\u{7f}', 'ä', '\u{2028}', '\u{fffd}', '😱',
        ];
        (0..self.below(8)).map(|_| self.one_of(CHARACTERS)).collect()
    }

    /// Half of the names are legal as they are.
    fn name(&mut self, start: &str) -> String {
        if self.chance() { start.to_owned() } else { format!("{start}{}", self.text()) }
    }

    fn labels(&mut self, first: &str, second: usize) -> Labels {
        let more: Vec<(String, String)> =
            (0..self.below(3)).map(|at| (self.name(&format!("l{at}")), self.text())).collect();
        [(first.to_owned(), second.to_string())].into_iter().chain(more).collect()
    }

    fn float(&mut self) -> f64 {
        const FLOATS: &[f64] = &[
            0.0,
            -1.0,
            0.1,
            1e-7,
            -1e16,
            1e300,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            5e-324,
        ];
        if self.chance() { self.one_of(FLOATS) } else { self.amount() }
    }

    /// What may be counted or summed.
    fn amount(&mut self) -> f64 {
        self.word() as f64 / self.one_of(&[1.0, 1e3, 1e19, 3.0])
    }

    fn moment(&mut self) -> Timestamp {
        let nanos = self.one_of(&[0, 1_000_000, 789_000_000, 999_000_000]);
        Timestamp { seconds: self.below(2_000_000_000) as i64, nanos }
    }

    fn exemplar(&mut self) -> Exemplar {
        let timestamp = self.chance().then(|| self.moment());
        Exemplar { labels: self.labels("trace", 7), value: self.amount(), timestamp }
    }

    fn page(&mut self) -> Vec<FamilySamples> {
        (0..1 + self.below(4)).map(|at| self.family(at)).collect()
    }

    fn family(&mut self, at: usize) -> FamilySamples {
        let kind = self.one_of(&Type::EVERY);
        let name = self.name(&format!("n{at}"));
        let has_unit = !matches!(kind, Type::Info | Type::StateSet) && self.chance();
        let (name, unit) = match has_unit {
            true => (format!("{name}_seconds"), "seconds".to_owned()),
            false => (name, String::new()),
        };
        let series = 1 + self.below(3);
        let samples = (0..series).flat_map(|series| self.series(kind, &name, series));
        let mut samples: Vec<Sample> = samples.collect();
        let moment = self.chance().then(|| self.moment());
        samples.iter_mut().for_each(|sample| sample.timestamp = moment);
        // Blanks in front of a help text are between the two in format 0.0.4.
        let help = self.text().trim_start().to_owned();
        FamilySamples { kind, unit, help, samples, name }
    }

    /// The samples of one series.
    fn series(&mut self, kind: Type, name: &str, at: usize) -> Vec<Sample> {
        let labels = self.labels("series", at);
        let sample = |suffix, value| Sample::new(suffix, labels.clone(), value);
        let mut samples = match kind {
            Type::Counter => vec![sample("_total", Value::Float(self.amount()))],
            Type::Gauge | Type::Unknown => vec![sample("", Value::Float(self.float()))],
            Type::Info => vec![sample("_info", Value::Whole(1))],
            Type::StateSet => ["on", "off"]
                .map(|state| {
                    let mut sample = sample("", Value::Whole(u64::from(state == "on")));
                    sample.labels.push((name.to_owned(), state.to_owned()));
                    sample
                })
                .into(),
            Type::Summary => self.summary(&labels),
            Type::Histogram | Type::GaugeHistogram => self.histogram(kind, &labels),
        };
        for sample in &mut samples {
            if ["_total", "_bucket"].contains(&&*sample.suffix) && self.chance() {
                let mut exemplar = self.exemplar();
                // It is in its bucket.
                exemplar.value = match sample.labels.last().map(|(_, bound)| bound.as_str()) {
                    Some("0.25") => 0.125,
                    Some("1e+06") => 7.0,
                    _ => 1e9,
                };
                sample.exemplar = Some(exemplar);
            }
        }
        if matches!(kind, Type::Counter | Type::Summary | Type::Histogram) && self.chance() {
            let moment = self.moment();
            let seconds = moment.seconds as f64 + f64::from(moment.nanos) / 1e9;
            samples.push(sample("_created", Value::Float(seconds)));
        }
        samples
    }

    fn summary(&mut self, labels: &Labels) -> Vec<Sample> {
        let quantile = |(quantile, value): (&str, f64)| {
            let mut sample = Sample::new("", labels.clone(), Value::Float(value));
            sample.labels.push(("quantile".to_owned(), quantile.to_owned()));
            sample
        };
        let quantiles = [("0.5", self.amount()), ("1.0", f64::NAN)].map(quantile);
        let count = Sample::new("_count", labels.clone(), Value::Whole(self.word()));
        let sum = Sample::new("_sum", labels.clone(), Value::Float(self.amount()));
        quantiles.into_iter().chain([count, sum]).collect()
    }

    /// Classic, native, or both.
    fn histogram(&mut self, kind: Type, labels: &Labels) -> Vec<Sample> {
        let (positive, negative) = (self.buckets(), self.buckets());
        let zero_count = Value::Whole(self.below(9) as u64);
        let all = positive.counts.iter().chain(&negative.counts).chain([&zero_count]);
        let count = Value::Whole(all.map(|count| count.as_f64() as u64).sum());
        let mut native = NativeHistogram {
            schema: self.below(13) as i32 - 4,
            zero_threshold: self.one_of(&[0.0, 1e-128, 0.5]),
            zero_count,
            sum: self.amount(),
            positive,
            negative,
            exemplars: (0..self.below(3)).map(|_| self.exemplar()).collect(),
        };
        let (is_native, is_classic) = self.one_of(&[(true, false), (false, true), (true, true)]);
        if is_classic {
            // OpenMetrics 2.0 does not say whose an exemplar is: a bucket has one of them.
            native.exemplars.truncate(1);
        }
        let sum = Value::Float(native.sum);
        let sample = |suffix, value| Sample::new(suffix, labels.clone(), value);
        let mut samples = Vec::new();
        if is_native {
            samples.push(Sample { native: Some(Box::new(native)), ..sample("", count) });
        }
        if !is_classic {
            return samples;
        }
        for (bound, count) in [("0.25", Value::Whole(0)), ("1e+06", count), ("+Inf", count)] {
            let mut bucket = sample("_bucket", count);
            bucket.labels.push(("le".to_owned(), bound.to_owned()));
            samples.push(bucket);
        }
        let is_gauge = kind == Type::GaugeHistogram;
        let [count_name, sum_name] =
            if is_gauge { ["_gcount", "_gsum"] } else { ["_count", "_sum"] };
        samples.extend([sample(count_name, count), sample(sum_name, sum)]);
        samples
    }

    fn buckets(&mut self) -> NativeBuckets {
        let span = |random: &mut Self| Span {
            offset: 1 + random.below(5) as i32,
            length: 1 + random.below(3) as u32,
        };
        let mut spans: Vec<Span> = (0..self.below(3)).map(|_| span(self)).collect();
        if let Some(first) = spans.first_mut() {
            first.offset -= 3;
        }
        let length = spans.iter().map(|span| span.length).sum::<u32>();
        let counts = (0..length).map(|_| Value::Whole(self.below(1000) as u64)).collect();
        NativeBuckets { spans, counts }
    }
}
