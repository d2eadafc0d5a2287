//! The formats, by name, and what may be chosen of a page. How a page is written in each stands in
//! `encode.rs`, above those who write.

/// A format that a page may be written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Format {
    /// Prometheus text 0.0.4, which everybody reads.
    #[default]
    Text004,
    /// Prometheus text 1.0.0: 0.0.4 with any names.
    Text100,
    /// OpenMetrics text 0.0.1: 1.0.0 under its first name.
    OpenMetrics001,
    /// OpenMetrics text 1.0.0.
    OpenMetrics100,
    /// OpenMetrics text 2.0.0, which is not finished.
    OpenMetrics200,
    /// Prometheus' protocol buffers, each behind its length.
    #[cfg(feature = "protobuf")]
    Protobuf,
}

/// What a page has or has not, where that can be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Choices {
    /// Whether OpenMetrics 1.0 has the samples `_created`, which a Prometheus stores as series of their
    /// own unless it is told to read them as start times.
    pub created: bool,
    /// Whether it is written when native histograms began, which Prometheus 3.5 cannot read.
    pub native_starts: bool,
    /// Whether protocol buffers have native histograms as such. Otherwise they have the classic buckets,
    /// or without any the count and the sum: a Prometheus that reads protocol buffers and no native
    /// histograms stores nothing of a histogram that has both.
    pub native_buckets: bool,
}

impl Default for Choices {
    fn default() -> Self {
        Self { created: true, native_starts: false, native_buckets: true }
    }
}

impl Format {
    /// Every format.
    pub const EVERY: &[Self] = &[
        Self::Text004,
        Self::Text100,
        Self::OpenMetrics001,
        Self::OpenMetrics100,
        Self::OpenMetrics200,
        #[cfg(feature = "protobuf")]
        Self::Protobuf,
    ];

    /// Its content type.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text004 => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text100 => "text/plain; version=1.0.0; charset=utf-8",
            Self::OpenMetrics001 => "application/openmetrics-text; version=0.0.1; charset=utf-8",
            Self::OpenMetrics100 => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::OpenMetrics200 => "application/openmetrics-text; version=2.0.0; charset=utf-8",
            #[cfg(feature = "protobuf")]
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; \
                 encoding=delimited"
            }
        }
    }
}
