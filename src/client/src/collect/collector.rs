//! Collectors: metrics that are not counted but looked up.

use tallyboard_exposition::sample::FamilySamples;
use tallyboard_proto::family::GaugeMode;

/// Something that knows metrics when it is asked: a pool, a cache, another library.
///
/// ```
/// use tallyboard::sample::{FamilySamples, Sample, Type, Value};
/// use tallyboard::{Collector, Registry};
///
/// struct Pool;
///
/// impl Collector for Pool {
///     fn collect(&self) -> Vec<FamilySamples> {
///         let mut family = FamilySamples::new(Type::Gauge, "pool_connections", "Open connections.");
///         family.samples.push(Sample::new("", vec![], Value::Whole(4)));
///         vec![family]
///     }
/// }
///
/// let registry = Registry::new();
/// registry.register_collector(Pool)?;
/// assert_eq!(registry.gather()[0].samples[0].value, Value::Whole(4));
/// # Ok::<(), tallyboard::RegisterError>(())
/// ```
pub trait Collector: Send + Sync + 'static {
    /// The families that it will collect; their samples do not matter. What it would collect now,
    /// unless it says otherwise.
    fn describe(&self) -> Vec<FamilySamples> {
        self.collect()
    }

    /// Its families, now, with any samples that their types have, each with labels of its own. In the
    /// shared registry a count that goes down, or is not among them any more, is left as it was.
    fn collect(&self) -> Vec<FamilySamples>;

    /// How its gauges in many processes become one. It is asked once, when it is registered.
    fn gauge_mode(&self) -> GaugeMode {
        GaugeMode::All
    }
}
