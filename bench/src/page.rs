//! A page to write and to read.

use tallyboard_exposition::sample::{FamilySamples, Sample, Type, Value};

/// How many lines a page of text has.
#[must_use]
pub fn lines(page: &[u8]) -> usize {
    page.iter().filter(|byte| **byte == b'\n').count()
}

/// A counter and a histogram with so many series each.
#[must_use]
pub fn page(series: usize) -> Vec<FamilySamples> {
    let routes: Vec<String> = (0..series).map(|route| format!("/items/{route}")).collect();
    let labels = |route: &String, le: Option<&str>| {
        let own = [("route", route.as_str()), ("status", "200")];
        let all = own.into_iter().chain(le.map(|le| ("le", le)));
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    let total = |route| Sample::new("_total", labels(route, None), Value::Whole(123_456));
    let histogram = |route| {
        let bounds = ["0.005", "0.01", "0.05", "0.1", "0.5", "1.0", "5.0", "10.0", "+Inf"];
        let count = |le| Sample::new("_bucket", labels(route, Some(le)), Value::Whole(4_321));
        let mut samples: Vec<Sample> = bounds.into_iter().map(count).collect();
        samples.push(Sample::new("_count", labels(route, None), Value::Whole(4_321)));
        samples.push(Sample::new("_sum", labels(route, None), Value::Float(1_234.567_89)));
        samples
    };
    let family = |kind, name: &str, samples| FamilySamples {
        kind,
        name: name.to_owned(),
        help: "What this is.".to_owned(),
        samples,
        ..FamilySamples::default()
    };
    vec![
        family(Type::Counter, "app_requests", routes.iter().map(total).collect()),
        family(Type::Histogram, "app_latency", routes.iter().flat_map(histogram).collect()),
    ]
}
