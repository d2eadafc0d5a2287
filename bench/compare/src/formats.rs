//! Writing and reading each format, beside those of the rivals that have it.

use std::hint::black_box;

use prometheus::{Encoder, ProtobufEncoder, TextEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use tallyboard_bench::page::{lines, page};
use tallyboard_bench::{Outcome, Race};
use tallyboard_exposition::format::Format;
use tallyboard_exposition::parse::{Options, parse};

use crate::Labels;

/// Series of each family; each has one line as a counter and eleven as a histogram.
const SERIES: usize = 200;
/// How much longer a longer document is.
const TIMES: usize = 10;
const BOUNDS: [f64; 8] = [0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0];

/// The rivals write the same families, names and labels.
pub(crate) fn writing() -> Outcome {
    let families = page(SERIES);
    let samples = lines(&Format::Text004.encode(&families));
    let (theirs, client) = (registry(), client());
    let ours = |format: Format| {
        let families = &families;
        move || black_box(format.encode(families))
    };
    Race::new("a line of a page, written whole")
        .enter("prometheus TextEncoder", || encode(TextEncoder::new(), &theirs))
        .of(samples)
        .enter("prometheus ProtobufEncoder", || encode(ProtobufEncoder::new(), &theirs))
        .of(samples)
        .enter("prometheus-client, OpenMetrics 1.0", || {
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &client).expect("it encodes");
            black_box(text)
        })
        .of(samples)
        .enter("tallyboard, text 0.0.4", ours(Format::Text004))
        .of(samples)
        .enter("tallyboard, OpenMetrics 1.0", ours(Format::OpenMetrics100))
        .of(samples)
        .enter("tallyboard, OpenMetrics 2.0", ours(Format::OpenMetrics200))
        .of(samples)
        .enter("tallyboard, protobuf", ours(Format::Protobuf))
        .of(samples)
        .run()
}

fn encode(encoder: impl Encoder, registry: &prometheus::Registry) -> Vec<u8> {
    let mut page = Vec::new();
    encoder.encode(&registry.gather(), &mut page).expect("it encodes");
    black_box(page)
}

/// The rival reads text and OpenMetrics 1.0.
pub(crate) fn reading() -> Vec<Outcome> {
    let ours = |format: Format, page: &[u8]| {
        black_box(parse(page, format, &Options::default())).expect("a page")
    };
    let texts = |format: Format| {
        [SERIES, SERIES * TIMES]
            .map(|series| String::from_utf8(format.encode(&page(series))).expect("a page of text"))
    };
    let [short, long] = texts(Format::Text004);
    let read = |page: &str| black_box(openmetrics_parser::prometheus::parse_prometheus(page));
    let text = Race::new("a line of text 0.0.4, read")
        .enter("openmetrics-parser", || read(&short).expect("a page"))
        .of(lines(short.as_bytes()))
        .enter("openmetrics-parser, ten times as long", || read(&long).expect("a page"))
        .of(lines(long.as_bytes()))
        .enter("tallyboard", || ours(Format::Text004, short.as_bytes()))
        .of(lines(short.as_bytes()))
        .enter("tallyboard, ten times as long", || ours(Format::Text004, long.as_bytes()))
        .of(lines(long.as_bytes()))
        .run();
    let [short, long] = texts(Format::OpenMetrics100);
    let read = |page: &str| black_box(openmetrics_parser::openmetrics::parse_openmetrics(page));
    let openmetrics = Race::new("a line of OpenMetrics 1.0, read")
        .enter("openmetrics-parser", || read(&short).expect("a page"))
        .of(lines(short.as_bytes()))
        .enter("openmetrics-parser, ten times as long", || read(&long).expect("a page"))
        .of(lines(long.as_bytes()))
        .enter("tallyboard", || ours(Format::OpenMetrics100, short.as_bytes()))
        .of(lines(short.as_bytes()))
        .enter("tallyboard, ten times as long", || ours(Format::OpenMetrics100, long.as_bytes()))
        .of(lines(long.as_bytes()))
        .run();
    let samples = lines(short.as_bytes());
    let [two, protobuf] = [Format::OpenMetrics200, Format::Protobuf];
    let pages = [two, protobuf].map(|format| format.encode(&page(SERIES)));
    let others = Race::new("what is a line of text, read in the other formats")
        .enter("tallyboard, OpenMetrics 1.0", || ours(Format::OpenMetrics100, short.as_bytes()))
        .of(samples)
        .enter("tallyboard, OpenMetrics 2.0", || ours(two, &pages[0]))
        .of(samples)
        .enter("tallyboard, protobuf", || ours(protobuf, &pages[1]))
        .of(samples)
        .run();
    vec![text, openmetrics, others]
}

fn routes() -> impl Iterator<Item = String> {
    (0..SERIES).map(|route| format!("/items/{route}"))
}

fn registry() -> prometheus::Registry {
    let registry = prometheus::Registry::new();
    let options = prometheus::Opts::new("app_requests_total", "What this is.");
    let counters =
        prometheus::IntCounterVec::new(options, &["route", "status"]).expect("well formed");
    let options = prometheus::HistogramOpts::new("app_latency", "What this is.");
    let options = options.buckets(BOUNDS.to_vec());
    let histograms =
        prometheus::HistogramVec::new(options, &["route", "status"]).expect("well formed");
    for route in routes() {
        counters.with_label_values(&[route.as_str(), "200"]).inc_by(123_456);
        histograms.with_label_values(&[route.as_str(), "200"]).observe(0.3);
    }
    registry.register(Box::new(counters)).expect("registered once");
    registry.register(Box::new(histograms)).expect("registered once");
    registry
}

fn client() -> prometheus_client::registry::Registry {
    let mut registry = prometheus_client::registry::Registry::default();
    let counters = Family::<Labels, Counter>::default();
    let histograms = Family::<Labels, Histogram>::new_with_constructor(|| Histogram::new(BOUNDS));
    registry.register("app_requests", "What this is.", counters.clone());
    registry.register("app_latency", "What this is.", histograms.clone());
    for route in routes() {
        let labels = Labels { route, status: "200".to_owned() };
        counters.get_or_create(&labels).inc_by(123_456);
        histograms.get_or_create(&labels).observe(0.3);
    }
    registry
}
