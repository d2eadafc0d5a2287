//! The messages of OTLP for metrics, with the field numbers of `opentelemetry-proto` 1.x
//! (`collector/metrics/v1`, `metrics/v1`, `common/v1`, `resource/v1`), as far as they are sent or read
//! here.

/// What is sent: `opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    /// The metrics, by what they are of.
    #[prost(message, repeated, tag = "1")]
    pub resource_metrics: Vec<ResourceMetrics>,
}

/// What is answered: `ExportMetricsServiceResponse`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Response {
    /// What was left out.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// What a receiver left out, or warns of.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PartialSuccess {
    /// How many points it did not take.
    #[prost(int64, tag = "1")]
    pub rejected_data_points: i64,
    /// Why.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// `google.rpc.Status`: the body of an answer with a status from 400 on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Status {
    /// A code of gRPC.
    #[prost(int32, tag = "1")]
    pub code: i32,
    /// What is wrong.
    #[prost(string, tag = "2")]
    pub message: String,
}

/// The metrics of one resource.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ResourceMetrics {
    /// The resource.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// Its metrics, by what has counted them.
    #[prost(message, repeated, tag = "2")]
    pub scope_metrics: Vec<ScopeMetrics>,
}

/// What is measured: a service, mostly.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Resource {
    /// What is known of it.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// The metrics of one scope.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ScopeMetrics {
    /// The scope.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// Its metrics.
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
}

/// What has counted: `InstrumentationScope`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Scope {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
}

/// An attribute.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct KeyValue {
    /// Its name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// The value of an attribute. Labels are texts, so the other kinds are not here.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct AnyValue {
    /// The text; an empty one is a value as well.
    #[prost(string, optional, tag = "1")]
    pub string_value: Option<String>,
}

/// A metric with its points.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metric {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its help text.
    #[prost(string, tag = "2")]
    pub description: String,
    /// Its unit, as UCUM writes it.
    #[prost(string, tag = "3")]
    pub unit: String,
    /// Its points.
    #[prost(oneof = "Data", tags = "5, 7, 9, 10, 11")]
    pub data: Option<Data>,
    /// What is known beside that: `prometheus.type`.
    #[prost(message, repeated, tag = "12")]
    pub metadata: Vec<KeyValue>,
}

/// The points of a metric, by its kind.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Data {
    /// Values that go up and down.
    #[prost(message, tag = "5")]
    Gauge(Gauge),
    /// Values that are added up.
    #[prost(message, tag = "7")]
    Sum(Sum),
    /// Observations in buckets with bounds.
    #[prost(message, tag = "9")]
    Histogram(Histogram),
    /// Observations in buckets that grow by a factor.
    #[prost(message, tag = "10")]
    ExponentialHistogram(ExponentialHistogram),
    /// Count, sum and quantiles of observations.
    #[prost(message, tag = "11")]
    Summary(Summary),
}

/// `AggregationTemporality`: every value is since its start, and not since the one before it.
pub const CUMULATIVE: i32 = 2;

/// Values that go up and down.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Gauge {
    /// The points.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<NumberDataPoint>,
}

/// Values that are added up.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Sum {
    /// The points.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<NumberDataPoint>,
    /// [`CUMULATIVE`].
    #[prost(int32, tag = "2")]
    pub aggregation_temporality: i32,
    /// Whether they only go up.
    #[prost(bool, tag = "3")]
    pub is_monotonic: bool,
}

/// Observations in buckets with bounds.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Histogram {
    /// The points.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<HistogramDataPoint>,
    /// [`CUMULATIVE`].
    #[prost(int32, tag = "2")]
    pub aggregation_temporality: i32,
}

/// Observations in buckets that grow by a factor.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExponentialHistogram {
    /// The points.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<ExponentialHistogramDataPoint>,
    /// [`CUMULATIVE`].
    #[prost(int32, tag = "2")]
    pub aggregation_temporality: i32,
}

/// Count, sum and quantiles of observations.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    /// The points.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<SummaryDataPoint>,
}

/// A number at a moment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct NumberDataPoint {
    /// The labels.
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    /// Since when it was added up, in nanoseconds since 1970; 0 for what is not.
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// When it was this, in nanoseconds since 1970.
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// The number.
    #[prost(oneof = "Number", tags = "4, 6")]
    pub value: Option<Number>,
    /// Examples of what was counted.
    #[prost(message, repeated, tag = "5")]
    pub exemplars: Vec<Exemplar>,
}

/// The number of a point.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub enum Number {
    /// A float.
    #[prost(double, tag = "4")]
    AsDouble(f64),
    /// A whole number.
    #[prost(sfixed64, tag = "6")]
    AsInt(i64),
}

/// A histogram at a moment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistogramDataPoint {
    /// The labels.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// Since when it was counted, in nanoseconds since 1970.
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// When it was this, in nanoseconds since 1970.
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// How many observations there were.
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    /// Their sum, if there is one.
    #[prost(double, optional, tag = "5")]
    pub sum: Option<f64>,
    /// How many are in each bucket: one more than there are bounds.
    #[prost(fixed64, repeated, tag = "6")]
    pub bucket_counts: Vec<u64>,
    /// Where the buckets end, each with its end.
    #[prost(double, repeated, tag = "7")]
    pub explicit_bounds: Vec<f64>,
    /// Examples of what was counted.
    #[prost(message, repeated, tag = "8")]
    pub exemplars: Vec<Exemplar>,
}

/// A histogram with buckets that grow by a factor, at a moment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ExponentialHistogramDataPoint {
    /// The labels.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
    /// Since when it was counted, in nanoseconds since 1970.
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// When it was this, in nanoseconds since 1970.
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// How many observations there were.
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    /// Their sum, if there is one.
    #[prost(double, optional, tag = "5")]
    pub sum: Option<f64>,
    /// A bucket is 2^(2^-`scale`) times as far from zero as the one before it.
    #[prost(sint32, tag = "6")]
    pub scale: i32,
    /// How many are not further from zero than `zero_threshold`.
    #[prost(fixed64, tag = "7")]
    pub zero_count: u64,
    /// What is above that.
    #[prost(message, optional, tag = "8")]
    pub positive: Option<Buckets>,
    /// What is below that, by distance from zero.
    #[prost(message, optional, tag = "9")]
    pub negative: Option<Buckets>,
    /// Examples of what was counted.
    #[prost(message, repeated, tag = "11")]
    pub exemplars: Vec<Exemplar>,
    /// Where the bucket around zero ends.
    #[prost(double, tag = "14")]
    pub zero_threshold: f64,
}

/// Buckets on one side of zero, without gaps.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Buckets {
    /// The number of the first one, by its lower bound.
    #[prost(sint32, tag = "1")]
    pub offset: i32,
    /// How many are in each.
    #[prost(uint64, repeated, tag = "2")]
    pub bucket_counts: Vec<u64>,
}

/// A summary at a moment.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SummaryDataPoint {
    /// The labels.
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    /// Since when it was counted, in nanoseconds since 1970.
    #[prost(fixed64, tag = "2")]
    pub start_time_unix_nano: u64,
    /// When it was this, in nanoseconds since 1970.
    #[prost(fixed64, tag = "3")]
    pub time_unix_nano: u64,
    /// How many observations there were.
    #[prost(fixed64, tag = "4")]
    pub count: u64,
    /// Their sum.
    #[prost(double, tag = "5")]
    pub sum: f64,
    /// Quantiles of them.
    #[prost(message, repeated, tag = "6")]
    pub quantile_values: Vec<ValueAtQuantile>,
}

/// A quantile.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct ValueAtQuantile {
    /// Which, from 0 to 1.
    #[prost(double, tag = "1")]
    pub quantile: f64,
    /// Its value.
    #[prost(double, tag = "2")]
    pub value: f64,
}

/// An example of what was counted.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    /// Its labels, but for the ids below.
    #[prost(message, repeated, tag = "7")]
    pub filtered_attributes: Vec<KeyValue>,
    /// When it was, in nanoseconds since 1970.
    #[prost(fixed64, tag = "2")]
    pub time_unix_nano: u64,
    /// What was observed.
    #[prost(double, optional, tag = "3")]
    pub as_double: Option<f64>,
    /// The span it was in, 8 bytes or none.
    #[prost(bytes = "vec", tag = "4")]
    pub span_id: Vec<u8>,
    /// The trace it was in, 16 bytes or none.
    #[prost(bytes = "vec", tag = "5")]
    pub trace_id: Vec<u8>,
}
