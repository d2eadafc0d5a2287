//! Samples as lines of the plaintext protocol.
//!
//! Names, labels and numbers are written as `GraphiteBridge` of `prometheus_client` 0.26 writes
//! them, byte for byte, where carbon stores what it reads. Where it would not, they differ: a number
//! that is none and a line that is too long are left out, a tag without a value is, and a label
//! `name` becomes the tag `name_`, because carbon has the metric itself under that tag and would
//! make all series that differ in it one.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;

use tallyboard_exposition::escaping::renamed;
use tallyboard_exposition::sample::{FamilySamples, Sample, Timestamp, Type};

/// Longest line that carbon reads, without its end: at a longer one it hangs up, and loses what is
/// behind it (`MAX_LENGTH` of Twisted's `LineReceiver`).
pub const MOST_LINE_BYTES: usize = 16_384;

/// A snapshot as lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    /// The lines, each with its end.
    pub text: String,
    /// How many they are.
    pub count: u64,
    /// When the snapshot was taken.
    pub at: Timestamp,
    /// What is not in them.
    pub left_out: LeftOut,
}

/// How many samples were left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Their value is not a number, which carbon drops without a word.
    pub not_a_number: u64,
    /// Their line is longer than [`MOST_LINE_BYTES`].
    pub too_long: u64,
    /// Their own timestamp is before 1970, of which carbon takes one second for now and stores
    /// nothing.
    pub before_1970: u64,
    /// They have the name of others once it is one of Graphite, and cannot be added to them: carbon
    /// keeps the last of several values of one second.
    pub same_name: u64,
}

impl LeftOut {
    /// All of them.
    #[must_use]
    pub fn total(self) -> u64 {
        self.not_a_number + self.too_long + self.before_1970 + self.same_name
    }

    pub(super) fn add(&mut self, other: Self) {
        self.not_a_number += other.not_a_number;
        self.too_long += other.too_long;
        self.before_1970 += other.before_1970;
        self.same_name += other.same_name;
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { not_a_number, too_long, before_1970, same_name } = self;
        write!(
            out,
            "{not_a_number} are not a number, {too_long} make too long a line, {before_1970} are of before 1970, {same_name} have the name of another"
        )
    }
}

impl Lines {
    /// The lines of a snapshot that was taken `now`, which is the time of each sample that has none of
    /// its own. `prefix` is written as it is, with a dot behind it unless it is empty. Labels become
    /// parts of the path, or tags.
    ///
    /// ```
    /// use tallyboard_bridges::graphite::Lines;
    /// use tallyboard_exposition::sample::{FamilySamples, Sample, Timestamp, Type, Value};
    ///
    /// let mut orders = FamilySamples::new(Type::Counter, "orders", "Orders.");
    /// let labels = vec![("shop".to_owned(), "Zoë's".to_owned())];
    /// orders.samples.push(Sample::new("_total", labels, Value::Whole(3)));
    /// let now = Timestamp { seconds: 1_700_000_000, nanos: 0 };
    /// let text = |tags| Lines::of(std::slice::from_ref(&orders), "eu", tags, now).text;
    /// assert_eq!(text(false), "eu.orders_total.shop.Zo__s 3.0 1700000000\n");
    /// assert_eq!(text(true), "eu.orders_total;shop=Zo__s 3.0 1700000000\n");
    /// ```
    #[must_use]
    pub fn of(families: &[FamilySamples], prefix: &str, tags: bool, now: Timestamp) -> Self {
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}.") };
        let mut lines = Self { at: now, ..Self::default() };
        // What counts and becomes alike is added up, as on a page whose names are escaped.
        let renamed = renamed(families, word);
        lines.left_out.same_name = renamed.left_out() as u64;
        let mut writer = Writer { lines, prefix, tags, now, written: HashSet::new() };
        for family in &*renamed.families {
            for (at, sample) in family.samples.iter().enumerate() {
                match &sample.native {
                    None => writer.write(family, sample, &sample.suffix, sample.value.as_f64()),
                    Some(native) => {
                        let behind = &family.samples[at + 1..];
                        for (suffix, value) in parts(family.kind, sample, native.sum, behind) {
                            writer.write(family, sample, suffix, value);
                        }
                    }
                }
            }
        }
        writer.lines
    }
}

/// What is left of a native histogram here: its count and its sum, as far as the classic one behind
/// it does not have them.
fn parts(kind: Type, native: &Sample, sum: f64, behind: &[Sample]) -> Vec<(&'static str, f64)> {
    let names = match kind {
        Type::GaugeHistogram => ["_gcount", "_gsum"],
        _ => ["_count", "_sum"],
    };
    let is_its = |sample: &&Sample| {
        let labels = sample.labels().filter(|(name, _)| *name != "le");
        sample.native.is_none() && labels.eq(native.labels())
    };
    let classic: Vec<&str> =
        behind.iter().take_while(is_its).map(|sample| &*sample.suffix).collect();
    let parts = names.into_iter().zip([native.value.as_f64(), sum]);
    parts.filter(|(suffix, _)| !classic.contains(suffix)).collect()
}

struct Writer {
    lines: Lines,
    prefix: String,
    tags: bool,
    now: Timestamp,
    /// The names that have a line, each with its second.
    written: HashSet<(String, i64)>,
}

impl Writer {
    fn write(&mut self, family: &FamilySamples, sample: &Sample, suffix: &str, value: f64) {
        let Timestamp { seconds, .. } = sample.timestamp.unwrap_or(self.now);
        let Lines { text, count, left_out, .. } = &mut self.lines;
        if value.is_nan() {
            left_out.not_a_number += 1;
            return;
        }
        if seconds < 0 {
            left_out.before_1970 += 1;
            return;
        }
        let begin = text.len();
        text.push_str(&self.prefix);
        push_word(text, &family.name);
        push_word(text, suffix);
        let mut labels: Vec<(&str, &str)> = sample.labels().collect();
        labels.sort_unstable();
        for (name, value) in labels {
            if self.tags { push_tag(text, name, value) } else { push_nodes(text, name, value) }
        }
        // Only the values of labels can still be alike.
        if !self.written.insert((text[begin..].to_owned(), seconds)) {
            text.truncate(begin);
            left_out.same_name += 1;
            return;
        }
        text.push(' ');
        text.push_str(&number(value));
        text.push(' ');
        text.push_str(&seconds.to_string());
        if text.len() - begin > MOST_LINE_BYTES {
            text.truncate(begin);
            left_out.too_long += 1;
            return;
        }
        text.push('\n');
        *count += 1;
    }
}

fn push_nodes(text: &mut String, name: &str, value: &str) {
    for word in [name, value] {
        text.push('.');
        push_word(text, word);
    }
}

fn push_tag(text: &mut String, name: &str, value: &str) {
    // Carbon refuses a tag without a value; for Prometheus there is no such label.
    if value.is_empty() {
        return;
    }
    text.push(';');
    push_word(text, if name == "name" { "name_" } else { name });
    text.push('=');
    push_word(text, value);
}

/// Everything that is not a letter of ASCII, a digit, `_` or `-` is a `_`, dots too, so that a label
/// is one node of a path.
fn push_word(text: &mut String, word: &str) {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '-');
    text.extend(word.chars().map(|letter| if is_allowed(letter) { letter } else { '_' }));
}

fn word(name: &str) -> String {
    let mut word = String::with_capacity(name.len());
    push_word(&mut word, name);
    word
}

/// A number as Python writes a float: the shortest digits that read back as the same one, with a
/// fraction or an exponent of at least two digits.
fn number(value: f64) -> Cow<'static, str> {
    if value.is_infinite() {
        return Cow::Borrowed(if value > 0.0 { "inf" } else { "-inf" });
    }
    let shown = format!("{value:?}");
    let Some((mantissa, exponent)) = shown.split_once('e') else { return shown.into() };
    let sign = if exponent.starts_with('-') { '-' } else { '+' };
    format!("{mantissa}e{sign}{:0>2}", exponent.trim_start_matches('-')).into()
}

#[cfg(test)]
mod tests {
    use tallyboard_exposition::sample::{Exemplar, NativeHistogram, Value};

    use super::*;

    const NOW: Timestamp = Timestamp { seconds: 1_700_000_000, nanos: 999_999_999 };

    fn labels(labels: &[(&str, &str)]) -> Vec<(String, String)> {
        labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn family(kind: Type, name: &str, samples: Vec<Sample>) -> FamilySamples {
        FamilySamples { samples, ..FamilySamples::new(kind, name, "") }
    }

    fn lines(family: FamilySamples, tags: bool) -> Lines {
        Lines::of(&[family], "", tags, NOW)
    }

    /// Name, labels and value of a sample; its line, and its line with tags, both without the time.
    type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], f64, &'a str, &'a str);

    /// What `GraphiteBridge` of `prometheus_client` 0.26 has sent.
    const SENT: &[Row<'_>] = &[
        ("c_total", &[], 3.0, "c_total 3.0", "c_total 3.0"),
        ("g", &[("a", "b")], -0.0, "g.a.b -0.0", "g;a=b -0.0"),
        ("g", &[("b", "x.y z"), ("a", "ü/€")], 0.5, "g.a.___.b.x_y_z 0.5", "g;a=___;b=x_y_z 0.5"),
        ("g", &[("a", "-_9Z")], 1e20, "g.a.-_9Z 1e+20", "g;a=-_9Z 1e+20"),
        ("g", &[("a", ";=~^!")], 1e-7, "g.a._____ 1e-07", "g;a=_____ 1e-07"),
        ("g", &[("B", "1"), ("a", "2"), ("C", "3")], 1.0, "g.B.1.C.3.a.2 1.0", "g;B=1;C=3;a=2 1.0"),
        ("h_bucket", &[("le", "1.0")], 1.0, "h_bucket.le.1_0 1.0", "h_bucket;le=1_0 1.0"),
        ("h_bucket", &[("le", "+Inf")], 2.0, "h_bucket.le._Inf 2.0", "h_bucket;le=_Inf 2.0"),
        ("a:b", &[], f64::INFINITY, "a_b inf", "a_b inf"),
        ("g", &[], f64::NEG_INFINITY, "g -inf", "g -inf"),
        ("g", &[("a", "\n\"\\")], 1e16, "g.a.___ 1e+16", "g;a=___ 1e+16"),
        ("g", &[], 9_999_999_999_999_998.0, "g 9999999999999998.0", "g 9999999999999998.0"),
        ("g", &[], 123_456_789.125, "g 123456789.125", "g 123456789.125"),
        ("g", &[], 0.0001, "g 0.0001", "g 0.0001"),
        ("g", &[], 0.000_012_345, "g 1.2345e-05", "g 1.2345e-05"),
        ("g", &[], f64::MAX, "g 1.7976931348623157e+308", "g 1.7976931348623157e+308"),
        ("g", &[], 5e-324, "g 5e-324", "g 5e-324"),
        ("g", &[], 0.1 + 0.2, "g 0.30000000000000004", "g 0.30000000000000004"),
    ];

    #[test]
    fn a_line_is_what_the_bridge_of_prometheus_client_sends() {
        for (name, pairs, value, plain, tagged) in SENT {
            let sample = Sample::new("", labels(pairs), Value::Float(*value));
            let family = family(Type::Unknown, name, vec![sample]);
            for (tags, expect) in [(false, plain), (true, tagged)] {
                let found = lines(family.clone(), tags);
                assert_eq!(found.text, format!("{expect} 1700000000\n"));
                assert_eq!((found.count, found.left_out.total()), (1, 0));
            }
        }
    }

    #[test]
    fn a_prefix_stands_before_each_line_as_it_is() {
        let samples =
            ["_total", "_created"].map(|suffix| Sample::new(suffix, vec![], Value::Whole(7)));
        let family = family(Type::Counter, "c", samples.to_vec());
        let found = Lines::of(&[family], "servers.web-1.ä", true, NOW);
        let expect =
            "servers.web-1.ä.c_total 7.0 1700000000\nservers.web-1.ä.c_created 7.0 1700000000\n";
        assert_eq!((&*found.text, found.count), (expect, 2));
    }

    #[test]
    fn where_carbon_would_lose_something_a_line_is_different() {
        let check = |pairs: &[(&str, &str)], tags, expect: &str| {
            let sample = Sample::new("", labels(pairs), Value::Whole(1));
            let found = lines(family(Type::Gauge, "g", vec![sample]), tags);
            assert_eq!(found.text, format!("{expect} 1.0 1700000000\n"));
        };
        // A tag without a value is refused, a node without a name is a name.
        check(&[("k", ""), ("l", "1")], true, "g;l=1");
        check(&[("k", ""), ("l", "1")], false, "g.k..l.1");
        check(&[("name", "x")], true, "g;name_=x");
        check(&[("name", "x")], false, "g.name.x");
    }

    #[test]
    fn what_carbon_would_not_store_is_left_out_and_counted() {
        let sample = |value: f64, label: usize, millis: Option<i64>| {
            let pairs = labels(&[("a", &"x".repeat(label))]);
            let timestamp = millis.map(Timestamp::from_millis);
            Sample { timestamp, ..Sample::new("", pairs, Value::Float(value)) }
        };
        // `g;a=` and ` 1.0 1700000000` are 19 bytes.
        let most = MOST_LINE_BYTES - 19;
        let samples = vec![
            sample(f64::NAN, 1, None),
            sample(1.0, most, None),
            sample(1.0, most + 1, None),
            sample(1.0, 1, Some(-1)),
            sample(f64::NAN, 100_000, Some(-1)),
            sample(2.0, 1, Some(0)),
        ];
        let found = lines(family(Type::Gauge, "g", samples), true);
        let LeftOut { not_a_number, too_long, before_1970, same_name } = found.left_out;
        assert_eq!((not_a_number, too_long, before_1970, same_name), (2, 1, 1, 0));
        assert_eq!(found.count, 2);
        let lengths: Vec<usize> = found.text.lines().map(str::len).collect();
        assert_eq!(lengths, [MOST_LINE_BYTES, "g;a=x 2.0 0".len()]);
        assert_eq!(found.left_out.total(), 4);
        let said = "2 are not a number, 1 make too long a line, 1 are of before 1970, \
                    0 have the name of another";
        assert_eq!(found.left_out.to_string(), said);
    }

    #[test]
    fn what_has_one_name_in_graphite_is_added_up_or_left_out() {
        let of = |kind, name, suffix, pairs: &[(&str, &str)], value| {
            family(kind, name, vec![Sample::new(suffix, labels(pairs), Value::Whole(value))])
        };
        let families = [
            of(Type::Counter, "a.b", "_total", &[("c.d", "1")], 1),
            of(Type::Counter, "a_b", "_total", &[("c_d", "1")], 2),
            of(Type::Counter, "a:b", "_total", &[("c:d", "1")], 4),
            of(Type::Gauge, "é", "", &[], 8),
            of(Type::Gauge, "_", "", &[], 16),
            of(Type::Gauge, "g", "", &[("l", "x.y")], 32),
            of(Type::Gauge, "h-i", "", &[("l", "x y")], 64),
        ];
        let mut all = families.to_vec();
        let alike = Sample::new("", labels(&[("l", "x y")]), Value::Whole(128));
        all[5].samples.push(alike);
        let found = Lines::of(&all, "", false, NOW);
        let expect = "a_b_total.c_d.1 7.0 1700000000\n_ 16.0 1700000000\ng.l.x_y 32.0 1700000000\n\
                      h-i.l.x_y 64.0 1700000000\n";
        assert_eq!((&*found.text, found.count), (expect, 4));
        assert_eq!((found.left_out.same_name, found.left_out.total()), (2, 2));
    }

    #[test]
    fn a_sample_has_its_own_time_or_that_of_the_snapshot() {
        let sample = Sample::new("", vec![], Value::Whole(1));
        let own = Sample { timestamp: Some(Timestamp::from_millis(1_999)), ..sample.clone() };
        let exemplar = Exemplar { labels: vec![], value: 1.0, timestamp: None };
        let other = Sample { exemplar: Some(exemplar), ..sample };
        let found = lines(family(Type::Gauge, "g", vec![own, other]), false);
        assert_eq!(found.text, "g 1.0 1\ng 1.0 1700000000\n");
    }

    #[test]
    fn a_native_histogram_is_its_count_and_sum_and_its_classic_buckets_where_it_has_them() {
        let of = |suffix, pairs: &[(&str, &str)], value| {
            Sample::new(suffix, labels(pairs), Value::Float(value))
        };
        let native = |pairs: &[(&str, &str)]| {
            let native = NativeHistogram { sum: 2.5, ..NativeHistogram::default() };
            Sample { native: Some(Box::new(native)), ..of("", pairs, 3.0) }
        };
        let a = &[("a", "1")][..];
        let classic = [
            of("_bucket", &[("a", "1"), ("le", "1.0")], 1.0),
            of("_bucket", &[("a", "1"), ("le", "+Inf")], 3.0),
            of("_count", a, 3.0),
            of("_sum", a, 2.5),
        ];
        let [one, all, count, sum] = classic.clone();
        let words = |kind, samples: Vec<Sample>| {
            let found = lines(family(kind, "h", samples), false).text;
            let lines = found.lines().map(|line| line.trim_end_matches(" 1700000000").to_owned());
            lines.collect::<Vec<_>>().join("|")
        };
        let both = "h_count.a.1 3.0|h_sum.a.1 2.5";
        assert_eq!(words(Type::Histogram, vec![native(a)]), both);
        assert_eq!(words(Type::GaugeHistogram, vec![native(a)]), "h_gcount.a.1 3.0|h_gsum.a.1 2.5");
        let with_classic = [&[native(a)][..], &classic].concat();
        let buckets = "h_bucket.a.1.le.1_0 1.0|h_bucket.a.1.le._Inf 3.0";
        assert_eq!(words(Type::Histogram, with_classic), format!("{buckets}|{both}"));
        // Of one series, what another has says nothing; of what comes twice the first is sent.
        let other = vec![native(&[("a", "2")]), native(a), one, all];
        let expect = format!("h_count.a.2 3.0|h_sum.a.2 2.5|{both}|{buckets}");
        assert_eq!(words(Type::Histogram, other), expect);
        let halves = vec![native(a), sum, native(&[]), count];
        let expect = "h_count.a.1 3.0|h_sum.a.1 2.5|h_count 3.0|h_sum 2.5";
        assert_eq!(words(Type::Histogram, halves), expect);
    }
}
