//! The messages of remote write: `prometheus.WriteRequest` of 1.0 (`prompb/remote.proto`,
//! `prompb/types.proto`) and `io.prometheus.write.v2.Request` of 2.0
//! (`prompb/io/prometheus/write/v2/types.proto`).

/// What is sent in 1.0: `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request1 {
    /// The series with what is new of them.
    #[prost(message, repeated, tag = "1")]
    pub series: Vec<Series1>,
    /// What is known of their families.
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<Metadata1>,
}

/// A series of 1.0: `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Series1 {
    /// Its labels by name; its own name is one of them.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// Numbers.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample1>,
    /// Examples of what was counted.
    #[prost(message, repeated, tag = "3")]
    pub exemplars: Vec<Exemplar1>,
    /// Native histograms.
    #[prost(message, repeated, tag = "4")]
    pub histograms: Vec<Histogram>,
}

/// A label.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Label {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A number at a moment.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample1 {
    /// The number.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// When, in milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

/// An example of what was counted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar1 {
    /// Its labels.
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    /// What was observed.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// When, in milliseconds since 1970.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// What is known of a family: `prometheus.MetricMetadata`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Metadata1 {
    /// Its type.
    #[prost(enumeration = "MetricType", tag = "1")]
    pub r#type: i32,
    /// Its name, as the text format has it.
    #[prost(string, tag = "2")]
    pub metric_family_name: String,
    /// Its help text.
    #[prost(string, tag = "4")]
    pub help: String,
    /// Its unit.
    #[prost(string, tag = "5")]
    pub unit: String,
}

/// The type of a family; the same numbers in 1.0 and 2.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum MetricType {
    /// Nobody said.
    Unknown = 0,
    /// Only goes up.
    Counter = 1,
    /// Goes up and down.
    Gauge = 2,
    /// Counts observations by size.
    Histogram = 3,
    /// Counts things that are there now by size.
    GaugeHistogram = 4,
    /// Counts and sums observations.
    Summary = 5,
    /// Says what something is.
    Info = 6,
    /// Says which of a set of states holds.
    StateSet = 7,
}

/// A native histogram at a moment; the same message in 1.0 and 2.0.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// How many observations there were.
    #[prost(oneof = "Count", tags = "1, 2")]
    pub count: Option<Count>,
    /// Their sum.
    #[prost(double, tag = "3")]
    pub sum: f64,
    /// Bucket `i` ends at 2^(`i` * 2^-`schema`), and includes its end.
    #[prost(sint32, tag = "4")]
    pub schema: i32,
    /// What is not further from zero than this is in the zero bucket.
    #[prost(double, tag = "5")]
    pub zero_threshold: f64,
    /// How much is in the zero bucket.
    #[prost(oneof = "ZeroCount", tags = "6, 7")]
    pub zero_count: Option<ZeroCount>,
    /// Which buckets there are below zero.
    #[prost(message, repeated, tag = "8")]
    pub negative_spans: Vec<BucketSpan>,
    /// How much more each has than the one before it.
    #[prost(sint64, repeated, tag = "9")]
    pub negative_deltas: Vec<i64>,
    /// How much is in each, if that is no whole number.
    #[prost(double, repeated, tag = "10")]
    pub negative_counts: Vec<f64>,
    /// Which buckets there are above zero.
    #[prost(message, repeated, tag = "11")]
    pub positive_spans: Vec<BucketSpan>,
    /// How much more each has than the one before it.
    #[prost(sint64, repeated, tag = "12")]
    pub positive_deltas: Vec<i64>,
    /// How much is in each, if that is no whole number.
    #[prost(double, repeated, tag = "13")]
    pub positive_counts: Vec<f64>,
    /// [`RESET_UNKNOWN`] or [`RESET_GAUGE`].
    #[prost(int32, tag = "14")]
    pub reset_hint: i32,
    /// When, in milliseconds since 1970.
    #[prost(int64, tag = "15")]
    pub timestamp: i64,
    /// Since when it was counted, from 2.0-rc.4 on; 0 is not said.
    #[prost(int64, tag = "17")]
    pub start_timestamp: i64,
}

/// Whether a histogram began anew is for the receiver to see.
pub const RESET_UNKNOWN: i32 = 0;
/// A histogram goes up and down.
pub const RESET_GAUGE: i32 = 3;

/// How many observations there were.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Count {
    /// A whole number.
    #[prost(uint64, tag = "1")]
    Whole(u64),
    /// Any number.
    #[prost(double, tag = "2")]
    Float(f64),
}

/// How much is in the zero bucket.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum ZeroCount {
    /// A whole number.
    #[prost(uint64, tag = "6")]
    Whole(u64),
    /// Any number.
    #[prost(double, tag = "7")]
    Float(f64),
}

/// Consecutive buckets.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct BucketSpan {
    /// How many buckets are left out since the span before it; of the first span, the index of its
    /// first bucket.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// How many buckets.
    #[prost(uint32, tag = "2")]
    pub length: u32,
}

/// What is sent in 2.0: `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request2 {
    /// Every text that the series name by its number; the first is empty.
    #[prost(string, repeated, tag = "4")]
    pub symbols: Vec<String>,
    /// The series with what is new of them.
    #[prost(message, repeated, tag = "5")]
    pub series: Vec<Series2>,
}

/// A series of 2.0, with samples or with histograms.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Series2 {
    /// Names and values of its labels, by name.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// Numbers.
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample2>,
    /// Native histograms.
    #[prost(message, repeated, tag = "3")]
    pub histograms: Vec<Histogram>,
    /// Examples of what was counted.
    #[prost(message, repeated, tag = "4")]
    pub exemplars: Vec<Exemplar2>,
    /// What is known of its family.
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Metadata2>,
    /// Since when it was counted, up to 2.0-rc.3; 0 is not said.
    #[prost(int64, tag = "6")]
    pub created_timestamp: i64,
}

/// A number at a moment.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Sample2 {
    /// The number.
    #[prost(double, tag = "1")]
    pub value: f64,
    /// When, in milliseconds since 1970.
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
    /// Since when it was counted, from 2.0-rc.4 on; 0 is not said.
    #[prost(int64, tag = "3")]
    pub start_timestamp: i64,
}

/// An example of what was counted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar2 {
    /// Names and values of its labels.
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    /// What was observed.
    #[prost(double, tag = "2")]
    pub value: f64,
    /// When, in milliseconds since 1970.
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

/// What is known of the family of a series.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Metadata2 {
    /// Its type.
    #[prost(enumeration = "MetricType", tag = "1")]
    pub r#type: i32,
    /// Its help text.
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
    /// Its unit.
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}
