//! Bytes that no exposition has: nothing panics, and what is read has a place for its error.

use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};

const ROUNDS: usize = 20_000;

const DOCUMENTS: [&str; 8] = [
    "# HELP a b\\n c\n# TYPE a counter\na_total{b=\"c\\\"\",d=\"é\"} 1.5e3 12.25 # {e=\"f\"} 2 3\na_created 1\n# EOF\n",
    "# TYPE a_s histogram\n# UNIT a_s s\na_s_bucket{le=\"1\"} 1\na_s_bucket{le=\"+Inf\"} 2\na_s_count 2\na_s_sum 3\n# EOF\n",
    "# TYPE a summary\na{quantile=\"0.5\"} NaN\na_count 1\na_sum 2\n# TYPE b stateset\nb{b=\"c\"} 1\n# EOF\n",
    "# TYPE a histogram\na {count:3,sum:6,schema:0,zero_threshold:0,zero_count:1,positive_spans:[0:1,3:1],positive_deltas:[1,0]}\n# EOF\n",
    "# TYPE a histogram\na {count:3,sum:6,schema:-4,zero_threshold:0.5,zero_count:1,positive_spans:[-2:2],positive_buckets:[1,1],bucket:[1:2,+Inf:3]} 5 st@1.5 # {} 1 2\n# EOF\n",
    "# TYPE a summary\n{\"a\",\"b.c\"=\"d\"} {count:3,sum:6,quantile:[0.5:1,1:NaN]}\n# TYPE b_info info\nb_info 1\n# EOF\n",
    "#TYPE  a\tsummARY\n a { b = \"c\" , } +Inf 5\n\n# c\na_sum -1\n{\"d.e\",f=\"g\"}1\n",
    "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_count 2\nh_sum 1\n# TYPE c_total counter\nc_total 1 -5\n",
];

const PARTS: [&str; 40] = [
    "{",
    "}",
    "\"",
    ",",
    "=",
    " ",
    "\t",
    "\n",
    "#",
    "# EOF\n",
    "# TYPE a gauge\n",
    "# HELP a b\n",
    "\\",
    "\\n",
    "é",
    "\u{10ffff}",
    "\0",
    "\r",
    "a",
    "_total",
    "_bucket",
    "le=\"+Inf\"",
    "NaN",
    "-Inf",
    "1e999",
    "-1",
    "18446744073709551616",
    "0x1",
    "1_0",
    "st@",
    ":",
    "[",
    "]",
    "{count:1",
    "4294967295",
    "-9223372036854775808",
    "99999999999999999999999999",
    "1e-400",
    ".",
    "+",
];

/// A sequence of numbers that is the same for each seed (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Reads bytes in each format; an error is at a place of theirs, or right behind them.
fn check(bytes: &[u8], case: &str) {
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
    for format in Format::EVERY {
        for exact in [false, true] {
            let options = Options { exact, ..Options::default() };
            let Err(error) = parse(bytes, *format, &options) else { continue };
            #[cfg(feature = "protobuf")]
            if *format == Format::Protobuf {
                assert!(error.column <= bytes.len(), "{case}: {error}");
                continue;
            }
            let line = lines.get(error.line - 1).copied().unwrap_or_default();
            let is_there = error.line <= lines.len() + 1 && error.column >= 1;
            assert!(is_there && error.column <= line.len() + 1, "{case} {format:?}: {error}");
        }
    }
}

#[test]
fn documents_that_were_damaged_are_read_or_refused() {
    let mut random = Random(0x7a11);
    for round in 0..ROUNDS {
        let mut bytes = DOCUMENTS[random.below(DOCUMENTS.len())].as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len() + 1);
            let end = (at + random.below(8)).min(bytes.len());
            match random.below(4) {
                0 => drop(bytes.drain(at..end)),
                1 => drop(bytes.splice(at..at, PARTS[random.below(PARTS.len())].bytes())),
                2 => drop(bytes.splice(at..end, PARTS[random.below(PARTS.len())].bytes())),
                _ => bytes.insert(at, random.next() as u8),
            }
        }
        check(&bytes, &format!("round {round}: {:?}", String::from_utf8_lossy(&bytes)));
    }
}

#[test]
fn random_bytes_are_read_or_refused() {
    let mut random = Random(0xb17e5);
    for round in 0..ROUNDS / 4 {
        let length = random.below(60);
        let bytes: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        check(&bytes, &format!("round {round}: {bytes:?}"));
        let words: String = (0..length).map(|_| PARTS[random.below(PARTS.len())]).collect();
        check(words.as_bytes(), &format!("round {round}: {words:?}"));
    }
}

/// Each of these would keep a parser that looks back at every step busy for hours.
#[test]
fn a_long_document_is_read_in_one_pass() {
    const MANY: usize = 200_000;
    let repeat = |part: &str| part.repeat(MANY);
    let series: String = (0..MANY).map(|at| format!("a{{b=\"{at}\"}} 1\n")).collect();
    let families: String = (0..MANY).map(|at| format!("a{at} 1\n")).collect();
    let labels: String = (0..4000).map(|at| format!("l{at}=\"\",")).collect();
    let moments: String = (0..MANY).map(|at| format!("a 1 {at}\n")).collect();
    for (document, is_good) in [
        (format!("# TYPE a gauge\n{series}# EOF\n"), true),
        (format!("{families}# EOF\n"), true),
        (format!("# TYPE a gauge\n{moments}# EOF\n"), true),
        (format!("a{{{}}} 1\n# EOF\n", labels.trim_end_matches(',')), true),
        (format!("a{{b=\"{}\"}} 1\n# EOF\n", repeat("\\\\")), true),
        (format!("# HELP a {}\n# EOF\n", repeat("\\n\\\\x")), true),
        (format!("a{{b=\"{}", repeat("\\\"")), false),
        (format!("a{}", repeat("{")), false),
        (repeat("# HELP a b\n"), false),
    ] {
        for format in [Format::Text004, Format::OpenMetrics100, Format::OpenMetrics200] {
            let read = parse(document.as_bytes(), format, &Options::default());
            let start: String = document.chars().take(40).collect();
            assert_eq!(read.is_ok(), is_good, "{format:?} {start:?}: {:?}", read.err());
        }
    }
}
