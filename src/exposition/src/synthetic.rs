//! The series that Prometheus adds to each target itself
//! (<https://prometheus.io/docs/concepts/jobs_instances/>). A sample of the target's own that has one of
//! these names, and no labels, is taken instead: a gauge `up` of 0 makes a healthy target one that is down.

/// Their names; the last three are there with the feature `extra-scrape-metrics`.
pub const NAMES: [&str; 8] = [
    "up",
    "scrape_duration_seconds",
    "scrape_samples_scraped",
    "scrape_samples_post_metric_relabeling",
    "scrape_series_added",
    "scrape_timeout_seconds",
    "scrape_sample_limit",
    "scrape_body_size_bytes",
];

/// Whether samples of this name are taken for those of the scraper.
#[must_use]
pub fn is_synthetic(name: &str) -> bool {
    NAMES.contains(&name)
}
