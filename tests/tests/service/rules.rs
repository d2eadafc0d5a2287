//! The recording rules for a service on many hosts: that they are rules, that they say what they
//! should, that the book has these and no others, and what the real Prometheus makes of a native
//! histogram of two hosts.

#![forbid(unsafe_code)]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value as Json;
use tallyboard::{NativeHistogram, Registry};
use tallyboard_exposition::format::Format;
use tallyboard_tests::build::root;
use tallyboard_tests::read::http::get;
use tallyboard_tests::receive::programs::program;
use tallyboard_tests::receive::stand_in::{Says, StandIn};
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};
use tallyboard_tests::start::directory::Directory;

const RULES: &str = "tests/rules/recording.yml";
/// The page of the book that shows them.
const PAGE: &str = "docs/many-machines.md";
const TEST: &str = "tests/rules/test.yml";

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect("a file of this project is readable")
}

/// Whether promtool is content, and what it says.
fn promtool(words: &[&str], directory: &Path) -> (bool, String) {
    let mut command = Command::new(program("promtool", "prometheus"));
    let output = command.args(words).current_dir(directory).output().expect("promtool runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// The verdict of the rules' test on these rules.
fn test(rules: &str) -> (bool, String) {
    let directory = Directory::new("rules");
    directory.write("recording.yml", rules);
    directory.write("test.yml", &read(TEST));
    promtool(&["test", "rules", "test.yml"], directory.path())
}

/// The blocks of a page in this language.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    let blocks = page.split(&*begin).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap_or(rest)).collect()
}

#[test]
fn promtool_takes_them_for_rules() {
    let (is_good, said) = promtool(&["check", "rules", RULES], root());
    assert!(is_good, "{said}");
    let rules = read(RULES).matches("- record: ").count();
    assert!(said.contains(&format!("SUCCESS: {rules} rules found")), "{said}");
    let directory = Directory::new("no-rules");
    directory.write("bad.yml", &read(RULES).replace("sum without", "sum with"));
    assert!(!promtool(&["check", "rules", "bad.yml"], directory.path()).0);
}

#[test]
fn they_make_one_service_of_two_hosts() {
    let (is_good, said) = test(&read(RULES));
    assert!(is_good, "{said}");
}

#[test]
fn each_of_them_is_tested() {
    let rules = read(RULES);
    let (head, rest) = rules.split_once("      - record: ").expect("there are rules");
    let each: Vec<&str> = rest.split("      - record: ").collect();
    let mut tested = 0;
    for (at, rule) in each.iter().enumerate() {
        let (record, expr) = rule.split_once('\n').expect("a rule has an expression");
        // promtool 2.42 cannot write one; the real Prometheus has it below.
        if record == "job:shop_delivery_seconds:rate5m" {
            continue;
        }
        let mistaken: Vec<(&str, &str)> = [
            ("sum without", "max without"),
            ("max without", "sum without"),
            ("count by", "sum without"),
            ("0.99", "0.5"),
            ("instance", "job"),
            (", pid", ""),
            (", version", ""),
            ("[5m]", "[1m]"),
        ]
        .into_iter()
        .filter(|(part, _)| expr.contains(part))
        .collect();
        assert!(!mistaken.is_empty(), "{record} has nothing that could be mistaken");
        let mut is_found = false;
        for (part, other) in mistaken {
            let wrong = format!("{record}\n{}", expr.replacen(part, other, 1));
            let mut all: Vec<&str> = each.clone();
            all[at] = &wrong;
            let wrong = format!("{head}      - record: {}", all.join("      - record: "));
            assert_ne!(wrong, rules);
            is_found |= !test(&wrong).0;
        }
        assert!(is_found, "nothing that could be mistaken in {record} is found");
        tested += 1;
    }
    assert_eq!(tested + 1, each.len());
}

#[test]
fn the_page_has_these_rules_and_no_others() {
    let page = read(PAGE);
    let quoted: Vec<&str> =
        blocks(&page, "yaml").into_iter().filter(|block| block.contains("- record: ")).collect();
    assert_eq!(quoted, [read(RULES)]);
    assert!(page.contains(&format!("`{RULES}`")), "{PAGE} does not name {RULES}");
    // The jobs and names that they are about are scraped in the same chapter.
    let (is_good, said) = {
        let directory = Directory::new("scrape");
        let scrape = blocks(&page, "yaml").into_iter().find(|b| b.contains("scrape_configs:"));
        directory.write("prometheus.yml", scrape.expect("how hosts are scraped"));
        directory.write("recording.yml", &read(RULES));
        promtool(&["check", "config", "prometheus.yml"], directory.path())
    };
    assert!(is_good, "{said}");
}

/// A host that serves a native histogram, which counts at each scrape; in the one format that
/// Prometheus 2.42 reads it from.
fn host() -> StandIn {
    let registry = Registry::new();
    let builder = NativeHistogram::builder("shop_delivery_seconds", "Time.").registry(registry);
    let seconds = builder.register().expect("a native histogram");
    StandIn::start(move |_, _| {
        seconds.observe(0.5);
        seconds.observe(3.0);
        let page = Format::Protobuf.encode(&registry.gather());
        Says::page(Format::Protobuf.content_type(), &page)
    })
}

/// The samples of an instant query.
fn query(address: SocketAddr, query: &str) -> Vec<Json> {
    let path = format!("/api/v1/query?query={}", query.replace('(', "%28").replace(')', "%29"));
    let answer = get(address, &path).expect("Prometheus answers");
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    let answer: Json = serde_json::from_str(&answer.body).expect("Prometheus answers with JSON");
    answer["data"]["result"].as_array().expect("a vector").clone()
}

#[test]
fn a_native_histogram_of_two_hosts_is_one() {
    let _watchdog = Watchdog::new("a_native_histogram_of_two_hosts_is_one");
    let (one, two) = (host(), host());
    let directory = Directory::new("native-rules");
    directory.write("recording.yml", &read(RULES));
    let config = format!(
        "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: [recording.yml]\n\
         scrape_configs:\n  - job_name: shop\n    static_configs:\n      - targets: ['{}', '{}']\n",
        one.address(),
        two.address()
    );
    let config = directory.write("prometheus.yml", &config);
    let address = free_address();
    let mut command = Command::new(program("prometheus", "prometheus"));
    command.arg(format!("--config.file={}", config.display()));
    command.arg(format!("--storage.tsdb.path={}", directory.file("data").display()));
    command.arg(format!("--web.listen-address={address}"));
    command.args(["--enable-feature=native-histograms", "--log.level=warn"]);
    let _prometheus = Running::start(&mut command);
    until(|| get(address, "/-/ready").ok().filter(|answer| answer.status == 200));

    let record = "job:shop_delivery_seconds:rate5m";
    // A rate needs two samples of each host.
    let found = until(|| {
        let of_both = query(address, "count(shop_delivery_seconds)");
        let rates = query(address, "count(rate(shop_delivery_seconds[5m]))");
        let is_two = |found: &[Json]| found.first().is_some_and(|found| found["value"][1] == "2");
        let sum = query(address, record);
        (is_two(&of_both) && is_two(&rates) && !sum.is_empty()).then_some(sum)
    });
    assert_eq!(found.len(), 1, "{found:?}");
    let labels = serde_json::json!({ "__name__": record, "job": "shop" });
    assert_eq!(found[0]["metric"], labels);
    // Half of the observations are 0.5, and half 3, whichever host they are of.
    let buckets = found[0]["histogram"][1]["buckets"].as_array().expect("buckets").clone();
    assert_eq!(buckets.len(), 2, "{buckets:?}");
    let number = |value: &Json| value.as_str().expect("a text").parse::<f64>().expect("a number");
    for (bucket, value) in buckets.iter().zip([0.5, 3.0]) {
        let (from, to) = (number(&bucket[1]), number(&bucket[2]));
        assert!(from < value && value <= to, "{buckets:?}");
        assert!(number(&bucket[3]) > 0.0, "{buckets:?}");
    }
    let ratio = number(&buckets[0][3]) / number(&buckets[1][3]);
    assert!((ratio - 1.0).abs() < 1e-9, "{buckets:?}");
}
