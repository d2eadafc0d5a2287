//! Documents beside the real `promtool check metrics`: the same verdict, and all of its problems.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::build::tallyboard;

/// Documents on which all versions agree: good ones, bad taste, and what is no exposition.
pub const DOCUMENTS: &[&str] = &[
    "",
    "\n\n",
    "# a comment\n",
    "# HELP a_total b\n# TYPE a_total counter\na_total 1\n",
    "# HELP a b\n# TYPE a gauge\na{c=\"d\",} +Inf -5\n",
    "# HELP a b\n# TYPE a summary\na{quantile=\"0.5\"} NaN\na_sum 1\na_count 2\n",
    "# HELP a b\n# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\n",
    "# HELP a b\\n \\\\\n# TYPE a untyped\n  a\t{ c = \"\\\"\\n\\\\\" } \t1\n",
    "# HELP a b\na{c=\"d\"}1\n",
    "# HELP a b\na+1\n",
    "# HELP a b\n#TYPE a gAUGe\na 1e3\n",
    "#\n#a\n# \n# HELP\n# TYPE\n# HELP a\n# TYPE a\n",
    "# HELP a b\n# TYPE a gauge\na .5 9223372036854775807\n",
    "# HELP a b\na{}Infinity\n",
    "# HELP a b\na{b=\"\0\"} 1\n",
    "# HELP a b\na{b=\"é\" ,c=\"d\" , } 1\n",
    "# HELP a b\n# TYPE a histogram\na 1\n",
    "# HELP a b\n# TYPE a histogram\na_bucket{le=\"NaN\"} 1\n",
    "# HELP a b\n# TYPE a summary\na{quantile=\"2\"} 1\na_sum 1\na_sum 2\n",
    "# HELP a_count b\n# TYPE a_count histogram\na_count_sum 1\n",
    "# HELP gauge b\n# TYPE gauge gauge\ngauge 1\n# HELP s b\n# TYPE s gauge\ns 1\n",
    // Bad taste.
    "a 1\n",
    "# HELP a\na 1\n",
    "# HELP a b\n# TYPE a counter\na 1\n",
    "# HELP a_total b\n# TYPE a_total gauge\na_total 1\n",
    "# HELP a_bucket b\n# TYPE a_bucket gauge\na_bucket 1\n",
    "# HELP a_count b\n# TYPE a_count counter\na_count 1\n",
    "# HELP a_sum b\n# TYPE a_sum gauge\na_sum 1\n",
    "# HELP a b\n# TYPE a gauge\na{le=\"1\"} 1\n",
    "# HELP a b\n# TYPE a gauge\na{quantile=\"1\"} 1\n",
    "# HELP a_milliseconds b\n# TYPE a_milliseconds gauge\na_milliseconds 1\n",
    "# HELP a_hours b\n# TYPE a_hours gauge\na_hours 1\n",
    "# HELP a_ms b\n# TYPE a_ms gauge\na_ms 1\n",
    "# HELP a_gauge b\n# TYPE a_gauge gauge\na_gauge 1\n",
    "# HELP a:b c\n# TYPE a:b gauge\na:b 1\n",
    "# HELP aB c\n# TYPE aB gauge\naB 1\n",
    "# HELP a b\n# TYPE a gauge\na{cD=\"1\"} 1\n",
    "# TYPE a counter\n# HELP a b\na_total 1\n",
    "# HELP a_summary_b c\n# TYPE a_summary_b summary\na_summary_b_sum 1\n",
    "# HELP a_hectoBytes b\n# TYPE a_hectoBytes gauge\na_hectoBytes 1\n",
    "# HELP kilobytes b\n# TYPE kilobytes gauge\nkilobytes 1\n",
    // No expositions.
    "a",
    "a 1",
    "a\n",
    "a b\n",
    "a 1 b\n",
    "a 1 2.5\n",
    "a 1 2 3\n",
    "a 1 \n",
    "a 1 2 \n",
    "a 1_0\n",
    "a 0x1\n",
    "a 1e999\n",
    "1a 1\n",
    "a-b 1\n",
    "a.b 1\n",
    "é 1\n",
    "\u{feff}a 1\n",
    "a\0 1\n",
    "a 1\r\n",
    "a 1 9223372036854775808\n",
    "a .\n",
    "a +NaN\n",
    "a 1 # {} 1\n",
    "{} 1\n",
    "a{b=\"\\",
    "a{",
    "#",
    "# HELP a b",
    "# HELP a b\\\n",
    // Names that are for text 1.0.0.
    "{\"a.b\"} 1\n",
    "a{\"b.c\"=\"d\"} 1\n",
    "# HELP \"a.b\" c\n",
    "a{b=\"c\",b=\"d\"} 1\n",
    "{b=\"c\"} 1\n",
    "a{b=c} 1\n",
    "a{b='c'} 1\n",
    "a{b=\"c} 1\n",
    "a{b=\"c\"d=\"e\"} 1\n",
    "a{b=\"c\",,} 1\n",
    "a{,} 1\n",
    "a{b=\"\\x\"} 1\n",
    "a{__name__=\"b\"} 1\n",
    "a{1=\"b\"} 1\n",
    "# HELP a b\n# HELP a b\n",
    "# HELP a \\x\n",
    "# TYPE a gauge\n# TYPE a gauge\n",
    "# TYPE a tally\n",
    "# TYPE a unknown\n",
    "# TYPE a info\n",
    "# TYPE a gauge \n",
    "a 1\n# TYPE a gauge\n",
    "# TYPE a-b gauge\n",
    "# TYPE a histogram\na_bucket{le=\"b\"} 1\n",
    "# TYPE a histogram\na_bucket{le=\"0x1p3\"} 1\n",
    "# TYPE a summary\na{quantile=\"b\"} 1\n",
];

/// Exit status of a program that reads a document, and what it says.
fn verdict(mut program: Command, document: &str) -> (Option<i32>, String) {
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("the program starts; `promtool` is of prometheus");
    let mut stdin = child.stdin.take().expect("the program reads");
    // One that has seen enough may not read all of it.
    let _ = stdin.write_all(document.as_bytes());
    drop(stdin);
    let output = child.wait_with_output().expect("the program ends");
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

/// Holds the verdicts of `tallyboard check` on these documents against those of a promtool, which has
/// no problem that is not found; gives how often there was which status.
///
/// # Panics
/// When they differ.
pub fn compare(promtool: &Path, documents: &[&str]) -> [usize; 4] {
    let mut seen = [0; 4];
    for document in documents {
        let mut command = Command::new(promtool);
        command.args(["check", "metrics"]);
        let (expect, theirs) = verdict(command, document);
        let mut check = Command::new(tallyboard());
        check.arg("check");
        let (found, ours) = verdict(check, document);
        assert_eq!(found, expect, "{document:?}: promtool says {theirs:?}, check {ours:?}");
        let status = found.and_then(|status| usize::try_from(status).ok());
        seen[status.expect("an exit status")] += 1;
        let problems = theirs.lines().filter(|_| found == Some(3));
        for problem in problems.filter(|line| !line.is_empty()) {
            assert!(
                ours.lines().any(|line| line == problem),
                "{document:?}: no {problem:?}: {ours}"
            );
        }
    }
    seen
}
