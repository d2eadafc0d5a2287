//! How a program has something asked rather than counted.

use std::any::type_name;
use std::sync::Arc;

use tallyboard_exposition::cells::declared_of;
use tallyboard_exposition::sample::FamilySamples;
use tallyboard_proto::family::Family;

use super::collector::Collector;
use super::parts::{family, with_suffixes};
use crate::error::RegisterError;
use crate::instrument::gauge::Gauge;
use crate::instrument::metric::Metric;
use crate::registry::definition::{describe, shares_a_name};
use crate::registry::questions::{Source, new_number};
use crate::registry::registry::Registry;

impl Gauge {
    /// Has the gauge ask `value` from now on, and show nothing else: when its registry is exposed, or
    /// every few seconds in the shared one (see
    /// [`RegistryBuilder::refresh_interval`](crate::RegistryBuilder::refresh_interval)). What it is set
    /// to, or added, changes nothing. A callback that panics shows nothing until it answers again. It
    /// ends when the series is removed.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicUsize, Ordering};
    /// use tallyboard::{Gauge, Registry};
    ///
    /// static WAITING: AtomicUsize = AtomicUsize::new(3);
    /// let registry = Registry::new();
    /// let waiting = Gauge::builder("app_waiting", "Requests that wait.").registry(registry);
    /// waiting.register()?.set_function(|| WAITING.load(Ordering::Relaxed) as f64);
    /// let (_, page) = registry.exposition_of_process("", &[]);
    /// assert!(String::from_utf8_lossy(&page).contains("app_waiting 3\n"));
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub fn set_function(&self, value: impl Fn() -> f64 + Send + Sync + 'static) {
        let registry = self.series().registry();
        registry.keep_refreshing();
        registry.ask(self.series(), Some(Arc::new(value)));
        registry.refresh_soon();
    }
}

impl Registry {
    /// Registers a collector.
    ///
    /// # Errors
    /// [`RegisterError`] when it describes a family that cannot be, or one whose samples have a name
    /// that this program has registered before.
    pub fn register_collector<C: Collector>(
        &'static self,
        collector: C,
    ) -> Result<(), RegisterError> {
        let mode = collector.gauge_mode();
        let described = with_suffixes(collector.describe());
        let of = |of: &FamilySamples| family(of, declared_of(of.kind), mode);
        let families = described.iter().map(of).collect::<Result<Vec<_>, _>>()?;
        self.first_use();
        self.keep_refreshing();
        let mut state = self.state.lock();
        let known = state.registered.iter().map(|definition| &definition.family);
        let others = state.questions.sources.iter().flat_map(|source| source.families.iter());
        let known: Vec<&Family> = known.chain(others).collect();
        for family in &families {
            if let Some(existing) = known.iter().find(|known| shares_a_name(known, family)) {
                let (existing, found) = (describe(existing), describe(family));
                return Err(RegisterError::Duplicate { existing, found });
            }
        }
        state.questions.sources.push(Source {
            number: new_number(),
            name: type_name::<C>(),
            families: families.into(),
            mode,
            function: Arc::new(move || collector.collect()),
        });
        drop(state);
        self.refresh_soon();
        Ok(())
    }
}
