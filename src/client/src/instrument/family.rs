//! Families: a metric with labels, and how one is described.

use std::marker::PhantomData;

use tallyboard_proto::family::{Family as Description, Kind};

use super::labels::{LabelSet, Typed};
use super::metric::Metric;
use crate::error::{LabelError, RegisterError};
use crate::registry::children::Values;
use crate::registry::registered::FamilyRef;
use crate::registry::registry::Registry;

/// A metric with labels: one series per set of label values.
#[derive(Clone, Copy, Debug)]
pub struct Family<M> {
    family: FamilyRef,
    /// The names of the set that it was registered with; empty when it was none.
    names: &'static [&'static str],
    metric: PhantomData<fn() -> M>,
}

impl<M: Metric> Family<M> {
    /// The series with these values, in the order of the label names. It begins when nobody had
    /// it yet; keep the handle where it is used often.
    ///
    /// ```
    /// use tallyboard::Counter;
    ///
    /// let requests = Counter::builder("app_requests_total", "Requests answered.");
    /// let requests = requests.labels(&["route", "status"]).family()?;
    /// requests.with(&["/", "200"])?.inc();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`LabelError`] for another number of values, or a value of more than 4,096 bytes. A family
    /// that has reached its limit of label sets gives a handle whose counts are dropped.
    pub fn with<S: AsRef<str>>(&self, values: &[S]) -> Result<M, LabelError> {
        self.series(values)
    }

    /// The series with these values, by label name in any order.
    ///
    /// ```
    /// use tallyboard::Counter;
    ///
    /// let requests = Counter::builder("app_requests_total", "Requests answered.");
    /// let requests = requests.labels(&["route", "status"]).family()?;
    /// requests.with_named(&[("status", "200"), ("route", "/")])?.inc();
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Family::with`], and for a name that is no label or comes twice.
    pub fn with_named(&self, labels: &[(&str, &str)]) -> Result<M, LabelError> {
        let names = &self.family.family().labels;
        let unknown = |name: &str| !names.iter().any(|label| **label == *name);
        let twice = |at: usize, name: &str| labels[..at].iter().any(|(other, _)| *other == name);
        let wrong =
            labels.iter().enumerate().find(|(at, (name, _))| unknown(name) || twice(*at, name));
        if let Some((_, (found, _))) = wrong {
            return Err(LabelError::Name {
                family: self.family.family().name.to_string(),
                expected: self.family.label_names(),
                found: (*found).to_owned(),
            });
        }
        self.series(&Named { names, labels })
    }

    /// The series with the values of a typed set.
    ///
    /// ```
    /// use tallyboard::Histogram;
    ///
    /// tallyboard::labels! {
    ///     struct Query { table: &'static str, is_write: bool }
    /// }
    /// let seconds = Histogram::builder("app_query_seconds", "Time to answer a query.");
    /// let seconds = seconds.labels_of::<Query>().family()?;
    /// seconds.with_labels(&Query { table: "users", is_write: false })?.observe(0.002);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Family::with`], and for a set whose names are not the family's labels in their order.
    #[inline]
    pub fn with_labels<L: LabelSet>(&self, labels: &L) -> Result<M, LabelError> {
        if !std::ptr::eq(self.names, L::NAMES) {
            self.check_names(L::NAMES)?;
        }
        self.series(&Typed(labels))
    }

    /// Removes the series with these values, in the order of the label names, from this process;
    /// says whether it was there. It is shown as long as another living process holds it, which is
    /// one that began it or has counted it. When somebody counts it again, it begins at 0, with a new
    /// created time.
    ///
    /// ```
    /// use tallyboard::Counter;
    ///
    /// let sent = Counter::builder("app_sent_total", "Bytes sent.").labels(&["client"]).family()?;
    /// sent.with(&["a"])?.inc_by(10);
    /// assert!(sent.remove(&["a"])?);
    /// assert!(!sent.remove(&["a"])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`LabelError`] for another number of values than labels.
    pub fn remove<S: AsRef<str>>(&self, values: &[S]) -> Result<bool, LabelError> {
        let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
        self.family.check_count(values.len())?;
        Ok(self.family.remove(&values))
    }

    /// Removes every series of the family from this process, as [`Family::remove`] does; says how
    /// many there were.
    pub fn clear(&self) -> usize {
        self.family.clear()
    }

    /// Gives the name up, for bindings whose programs register another definition in its place.
    pub(crate) fn retire(&self) {
        self.family.retire();
    }

    /// The series that this process holds: their label values, and the metric.
    ///
    /// ```
    /// use tallyboard::Counter;
    ///
    /// let sent = Counter::builder("app_sent_total", "Bytes sent.").labels(&["client"]).family()?;
    /// sent.with(&["a"])?.inc();
    /// let clients: Vec<String> = sent.iter().map(|(values, _)| values[0].to_string()).collect();
    /// assert_eq!(clients, ["a"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (Box<[Box<str>]>, M)> {
        let family = self.family;
        let held = self.family.held().into_iter();
        held.filter_map(move |values| {
            let series = family.series(&*values).ok()?;
            Some((values, M::of(series, family)))
        })
    }

    fn check_names(&self, names: &[&str]) -> Result<(), LabelError> {
        let family = self.family.family();
        if family.labels.iter().map(|label| &**label).eq(names.iter().copied()) {
            return Ok(());
        }
        Err(LabelError::Set {
            family: family.name.to_string(),
            expected: self.family.label_names(),
            found: names.iter().map(ToString::to_string).collect(),
        })
    }

    #[inline]
    fn series(&self, values: &(impl Values + ?Sized)) -> Result<M, LabelError> {
        Ok(M::of(self.family.series(values)?, self.family))
    }
}

/// Values by name, in the order of the family's names.
struct Named<'a> {
    names: &'a [Box<str>],
    labels: &'a [(&'a str, &'a str)],
}

impl Values for Named<'_> {
    #[inline]
    fn each(&self, mut visit: impl FnMut(&str)) {
        for name in self.names {
            if let Some((_, value)) = self.labels.iter().find(|(label, _)| **label == **name) {
                visit(value);
            }
        }
    }
}

/// Describes a metric before it is registered.
#[derive(Clone, Debug)]
#[must_use = "a metric exists once it is registered"]
pub struct Builder<M> {
    pub(crate) kind: Kind,
    name: String,
    help: String,
    unit: String,
    labels: Vec<String>,
    names: &'static [&'static str],
    registry: Option<&'static Registry>,
    reuse: bool,
    /// Whether the mode of a gauge was given.
    pub(crate) has_mode: bool,
    metric: PhantomData<fn() -> M>,
}

impl<M: Metric> Builder<M> {
    pub(crate) fn new(kind: Kind, name: &str, help: &str) -> Self {
        Self {
            kind,
            name: name.to_owned(),
            help: help.to_owned(),
            unit: String::new(),
            labels: Vec::new(),
            names: &[],
            registry: None,
            reuse: false,
            has_mode: true,
            metric: PhantomData,
        }
    }

    /// The unit, which must be the last part of the name: `seconds`, `bytes`.
    pub fn unit(mut self, unit: &str) -> Self {
        unit.clone_into(&mut self.unit);
        self
    }

    /// The label names of a family.
    pub fn labels(mut self, labels: &[&str]) -> Self {
        self.labels = labels.iter().map(ToString::to_string).collect();
        self.names = &[];
        self
    }

    /// The label names of a family, those of a typed set: see [`labels!`](crate::labels!).
    pub fn labels_of<L: LabelSet>(mut self) -> Self {
        self = self.labels(L::NAMES);
        self.names = L::NAMES;
        self
    }

    /// Another registry than the shared one.
    pub fn registry(mut self, registry: &'static Registry) -> Self {
        self.registry = Some(registry);
        self
    }

    /// Takes the metric that this program registered before under the same definition, instead of
    /// refusing. A forked child has its parent's handles and registrations, so a child that
    /// registers again what its parent may have registered needs this as well.
    ///
    /// ```
    /// use tallyboard::Counter;
    ///
    /// let requests = || Counter::builder("app_requests_total", "Requests answered.");
    /// requests().register()?.inc();
    /// assert!(requests().register().is_err());
    /// requests().reuse().register()?.inc();
    /// # Ok::<(), tallyboard::RegisterError>(())
    /// ```
    pub fn reuse(mut self) -> Self {
        self.reuse = true;
        self
    }

    /// Registers a metric with labels.
    ///
    /// # Errors
    /// [`RegisterError`] when the description is not one that can be, or the program registered
    /// the name before: as something else, or the same without [`Builder::reuse`] now.
    pub fn family(self) -> Result<Family<M>, RegisterError> {
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        let registry = self.registry.unwrap_or_else(Registry::shared);
        let kind =
            if self.has_mode { self.kind } else { Kind::Gauge(registry.configured.gauge_mode) };
        let description = Description::new(kind, &self.name, &self.unit, &self.help, &labels)?;
        let family = registry.register(description, M::HAS_PARTS, self.reuse)?;
        Ok(Family { family, names: self.names, metric: PhantomData })
    }

    /// Registers a metric without labels.
    ///
    /// # Errors
    /// As [`Builder::family`], and when labels were given.
    pub fn register(self) -> Result<M, RegisterError> {
        let (name, found) = (self.name.clone(), self.labels.len());
        let labels = RegisterError::Labels { name, found };
        if found != 0 {
            return Err(labels);
        }
        let family = self.family()?.family;
        let series = family.series(&[""; 0] as &[&str]).map_err(|_| labels)?;
        Ok(M::of(series, family))
    }
}
