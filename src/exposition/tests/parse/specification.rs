//! Everything that the specification of OpenMetrics 2.0 shows by example, said of a shop: each is read,
//! also where nobody says which version it is, and what it says must not be is refused.

use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse, parse_any};

use crate::lines;

/// What is shown, a document without its last line, and how many samples of version 1 it is.
type Row = (&'static str, &'static str, usize);

const COMPLETE: [Row; 2] = [
    (
        "a complete exposition",
        "# TYPE shop_till_seconds summary\n# UNIT shop_till_seconds seconds\n\
         # HELP shop_till_seconds How long somebody stood at the till.\n\
         shop_till_seconds{till=\"/1\",paid=\"CASH\"} {count:807283,sum:9036.32,quantile:[0.95:2,0.99:20]} st@1605281325.0\n\
         shop_till_seconds{till=\"/2\",paid=\"CASH\"} {count:34,sum:479.3,quantile:[0.95:2.5,0.99:2.9]} st@1605301325.0\n\
         # TYPE shop_guests gauge\n# HELP shop_guests How many are there.\nshop_guests 69\n\
         # TYPE shop_open_seconds_total counter\n# UNIT shop_open_seconds_total seconds\n\
         # HELP shop_open_seconds_total How long it has been open.\nshop_open_seconds_total 4.20072246e+06\n\
         # TYPE shop_walk_seconds histogram\n# UNIT shop_walk_seconds seconds\n\
         # HELP shop_walk_seconds How long they walk.\n\
         shop_walk_seconds{floor=\"/1\",by=\"FOOT\"} {count:2,sum:1.2e2,schema:0,zero_threshold:1e-4,zero_count:0,positive_spans:[1:2],positive_buckets:[1,1],bucket:[0.5:1,1:2,+Inf:2]} st@1605301325.0\n\
         # TYPE shop_walk_seconds:rate5m gaugehistogram\n\
         shop_walk_seconds:rate5m{floor=\"/1\",by=\"FOOT\"} {gcount:0.01,gsum:2.0,schema:0,zero_threshold:1e-4,zero_count:0.0,positive_spans:[1:2],positive_buckets:[0.005,0.005]}\n\
         # TYPE \"shop.read.errors\" counter\n# HELP \"shop.read.errors\" Labels that could not be read.\n\
         {\"shop.read.errors\",\"shop.name\"=\"corner\"} 3482\n",
        10 + 1 + 1 + 7 + 1 + 1,
    ),
    (
        "names in quotes",
        "# TYPE \"till.open.seconds\" counter\n# UNIT \"till.open.seconds\" seconds\n\
         # HELP \"till.open.seconds\" How long it was open.\n{\"till.open.seconds\",\"till.name\"=\"first\"} 4.20072246e+06\n\
         # TYPE \"till_queue\" gauge\n# HELP \"till_queue\" How many stand there.\n{\"till_queue\",\"at\"=\"door\"} 4.5\n",
        2,
    ),
];

const METADATA: [Row; 11] = [
    (
        "a name that is quoted and bare",
        "# TYPE \"lost\" counter\n# HELP lost What was lost.\n{\"lost\",\"till.name\"=\"first\"} 3482\nlost{\"till.name\"=\"second\"} 123\n",
        2,
    ),
    ("a type", "# TYPE sold_total counter\n", 0),
    ("a unit before _total", "# TYPE sold_grams_total counter\n# UNIT sold_grams_total grams\n", 0),
    ("a unit that is not in the name", "# TYPE sold_total counter\n# UNIT sold_total grams\n", 0),
    ("a name with a unit that is not said", "# TYPE sold_grams_total counter\n", 0),
    (
        "all metadata",
        "# TYPE sold_grams_total counter\n# UNIT sold_grams_total grams\n# HELP sold_grams_total A word and \\n a \\\" quote\n",
        0,
    ),
    (
        "metrics without metadata",
        "# TYPE sold_grams_total counter\nsold_grams_total 1\nsold_ounces_total 2\nsold_count 3\n",
        3,
    ),
    ("a value 0", "till_grams_count 0\n", 1),
    ("a value 0 with no labels", "till_grams_count{} 0\n", 1),
    ("escapes in a value", "till_grams_count{a=\"x\",b=\"an escaped\\\" quote \\n \"} 0\n", 1),
    (
        "escapes in names",
        "{\"\\\"till\\\".grams.count\",\"b\\\\\"=\"an escaped\\\" quote \\n \"} 0\n",
        1,
    ),
];

const NUMBERS: [Row; 12] = [
    ("a gauge", "# TYPE till gauge\ntill 17.0\n", 1),
    ("gauges with a label", "# TYPE till gauge\ntill{a=\"bb\"} 17.0\ntill{a=\"ccc\"} 17.0\n", 2),
    ("a family without metrics", "# TYPE till gauge\n", 0),
    ("a label and a moment", "# TYPE till gauge\ntill{a=\"b\"} 17.0 1520879607.789\n", 1),
    ("a moment", "# TYPE till gauge\ntill 17.0 1520879607.789\n", 1),
    ("two moments", "# TYPE till gauge\ntill 17.0 123\ntill 18.0 456\n", 2),
    ("a counter", "# TYPE till_total counter\ntill_total 17.0\n", 1),
    ("its moment", "# TYPE till_total counter\ntill_total 17.0 1520879607.789\n", 1),
    ("its start", "# TYPE till_total counter\ntill_total 17.0 st@1520430000.123\n", 2),
    (
        "its moment and start",
        "# TYPE till_total counter\ntill_total 17.0 1520879607.789 st@1520430000.123\n",
        2,
    ),
    (
        "a counter that is not called _total",
        "# TYPE till counter\ntill 17.0 1520879607.789 st@1520879607.789\n",
        2,
    ),
    (
        "an exemplar",
        "# TYPE till_total counter\ntill_total 17.0 1520879607.789 st@1520430000.123 # {trace_id=\"Qa7\"} 0.67 1520879606.1\n",
        2,
    ),
];

const STATES: [Row; 7] = [
    (
        "a stateset",
        "# TYPE till stateset\ntill{till=\"a\"} 0\ntill{till=\"bb\"} 1\ntill{till=\"ccc\"} 0\n",
        3,
    ),
    (
        "two statesets",
        "# TYPE till stateset\ntill{at=\"door\",till=\"a\"} 1.0\ntill{at=\"door\",till=\"bb\"} 0.0\n\
         till{at=\"wall\",till=\"a\"} 1.0\ntill{at=\"wall\",till=\"bb\"} 0.0\n",
        4,
    ),
    (
        "statesets at several moments",
        "# TYPE till stateset\ntill{at=\"door\",till=\"a\"} 1.0 1000000000.000\ntill{at=\"door\",till=\"a\"} 0.0 1000000001.000\n\
         till{at=\"door\",till=\"bb\"} 0.0 1000000000.000\ntill{at=\"door\",till=\"bb\"} 1.0 1000000001.000\n\
         till{at=\"wall\",till=\"a\"} 1.0 1000000000.000\ntill{at=\"wall\",till=\"a\"} 1.0 1000000001.000\n",
        6,
    ),
    ("an info", "# TYPE till_info info\ntill_info{name=\"pretty till\",version=\"8.2.7\"} 1\n", 1),
    (
        "infos",
        "# TYPE till_info info\ntill_info{at=\"door\",name=\"pretty\",version=\"8.2.7\"} 1.0\n\
         till_info{at=\"wall\",name=\"prettier\",version=\"8.1.9\"} 1.0\n",
        2,
    ),
    ("a metric without a type", "# TYPE till unknown\ntill 42.23\n", 1),
    (
        "what the target is",
        "# TYPE target_info info\n# HELP target_info The shop\ntarget_info{env=\"street\",hostname=\"corner\",owner=\"me\"} 1\n",
        1,
    ),
];

const DISTRIBUTIONS: [Row; 12] = [
    (
        "a summary",
        "# TYPE till summary\ntill {count:17,sum:324789.3,quantile:[]} st@1520430000.123\n",
        3,
    ),
    (
        "quantiles",
        "# TYPE till summary\ntill {count:0,sum:0.0,quantile:[0.95:123.7,0.99:150]} st@1520430000.123\n",
        5,
    ),
    (
        "classic buckets",
        "# TYPE till histogram\ntill {count:17,sum:324789.3,bucket:[0.0:0,1e-05:0,0.0001:5,0.1:8,1.0:10,10.0:11,100000.0:11,1e+06:15,1e+23:16,1.1e+23:17,+Inf:17]} st@1520430000.123\n",
        14,
    ),
    (
        "native buckets",
        "# TYPE till_seconds histogram\ntill_seconds{at=\"/1\"} {count:59,sum:1.2e2,schema:7,zero_threshold:1e-4,zero_count:0,negative_spans:[1:2],negative_buckets:[5,7],positive_spans:[-1:2,3:4],positive_buckets:[5,7,10,9,8,8]} st@1520430000.123\n",
        2,
    ),
    (
        "native buckets that are not used",
        "# TYPE till_seconds histogram\ntill_seconds{at=\"/1\"} {count:0,sum:0,schema:3,zero_threshold:1e-4,zero_count:0} st@1520430000.123\n",
        2,
    ),
    (
        "both kinds of buckets",
        "# TYPE till_seconds histogram\n# UNIT till_seconds seconds\n# HELP till_seconds How long it takes.\n\
         till_seconds{at=\"/1\"} {count:2,sum:1.2e2,schema:0,zero_threshold:1e-4,zero_count:0,positive_spans:[1:2],positive_buckets:[1,1],bucket:[0.5:1,1:2,+Inf:2]}\n",
        6,
    ),
    (
        "exemplars of native buckets",
        "# TYPE till histogram\ntill {count:17,sum:324789.3,schema:0,zero_threshold:1e-4,zero_count:0,positive_spans:[0:2],positive_buckets:[5,12]} st@1520430000.123 # {trace_id=\"sha\"} 0.67 1520879607.789 # {trace_id=\"oka\"} 1.2 1520879608.589\n",
        2,
    ),
    (
        "exemplars of classic buckets",
        "# TYPE till histogram\ntill {count:17,sum:324789.3,bucket:[0.01:0,0.1:8,1.0:11,10.0:17,+Inf:17]} st@1520430000.123 # {} 0.054 1520879607.7 # {trace_id=\"koo\"} 1.67 1520879602.890 # {trace_id=\"ohg\"} 9.8 1520879607.789\n",
        8,
    ),
    (
        "exemplars of both",
        "# TYPE till histogram\ntill {count:17,sum:324789.3,schema:0,zero_threshold:1e-4,zero_count:0,positive_spans:[0:2],positive_buckets:[5,12],bucket:[0.01:0,0.1:8,1.0:11,10.0:17,+Inf:17]} st@1520430000.123 # {} 0.054 1520879607.7 # {trace_id=\"koo\"} 1.67 1520879602.890\n",
        9,
    ),
    (
        "a gauge histogram",
        "# TYPE till gaugehistogram\ntill {gcount:42,gsum:3289.3,bucket:[0.01:20,0.1:25,1:34,+Inf:42]}\n",
        6,
    ),
    (
        "a gauge histogram with native buckets",
        "# TYPE till_seconds gaugehistogram\ntill_seconds{at=\"/1\"} {gcount:59,gsum:1.2e2,schema:7,zero_threshold:1e-4,zero_count:0,negative_spans:[1:2],negative_buckets:[5,7],positive_spans:[-1:2,3:4],positive_buckets:[5,7,10,9,8,8]}\n",
        1,
    ),
    ("a metric without metadata", "till 42.23\n", 1),
];

/// What the specification shows to be wrong, and what is said of it.
const WRONG: [(&str, &str, &str); 2] = [
    (
        "groups of states that do not stand together",
        "# TYPE till stateset\ntill{at=\"door\",of=\"x\",till=\"a\"} 1.0\ntill{at=\"door\",of=\"x\",till=\"bb\"} 0.0\n\
         till{at=\"wall\",of=\"x\",till=\"a\"} 1.0\ntill{at=\"door\",of=\"y\",till=\"a\"} 1.0\ntill{at=\"door\",of=\"x\",till=\"ccc\"} 0.0\n",
        "6:1: the samples of a metric stand together",
    ),
    (
        "states that do not stand together",
        "# TYPE till_seconds summary\n# UNIT till_seconds seconds\n# TYPE till stateset\n\
         till{at=\"door\",of=\"x\",till=\"a\"} 1.0\ntill{at=\"door\",of=\"x\",till=\"bb\"} 0.0\n\
         till{at=\"door\",of=\"y\",till=\"a\"} 1.0\ntill{at=\"door\",of=\"x\",till=\"ccc\"} 0.0\n",
        "7:1: the samples of a metric stand together",
    ),
];

#[test]
fn every_example_of_openmetrics_2_is_read_whether_its_version_is_said_or_not() {
    let rows = [&COMPLETE[..], &METADATA, &NUMBERS, &STATES, &DISTRIBUTIONS].concat();
    assert_eq!(rows.len() + WRONG.len(), 46);
    for (what, document, samples) in rows {
        let document = format!("{document}# EOF\n");
        let families = parse(document.as_bytes(), Format::OpenMetrics200, &Options::default());
        let families = families.unwrap_or_else(|error| panic!("{what}: {error}: {document}"));
        assert_eq!(lines(&families).len(), samples, "{what}: {families:?}");
        let (format, found) = parse_any(document.as_bytes(), &Options::default());
        let found = found.unwrap_or_else(|error| panic!("{what}: {error}: {document}"));
        assert_eq!(found, families, "{what} as {format:?}");
        // And without a line feed at the end.
        let (_, found) = parse_any(document.trim_end().as_bytes(), &Options::default());
        assert_eq!(found.as_ref(), Ok(&families), "{what}");
    }
    for (what, document, expect) in WRONG {
        let document = format!("{document}# EOF\n");
        let read = parse(document.as_bytes(), Format::OpenMetrics200, &Options::default());
        let error = read.expect_err(what).to_string();
        assert!(error.starts_with(expect), "{what}: {error}");
        assert!(parse_any(document.as_bytes(), &Options::default()).1.is_err(), "{what}");
    }
}
