//! The metrics of this process as families, and expositions of them and of the whole service.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tallyboard_exposition::cells::{
    has_created, is_beside_native, labels_of, lines, type_of, values,
};
use tallyboard_exposition::native::Counted;
use tallyboard_exposition::negotiation::negotiate;
use tallyboard_exposition::sample::{Exemplar, FamilySamples, Sample, Timestamp, Value};
use tallyboard_exposition::whole;
use tallyboard_proto::control::{Reply, Request, decode, encode};
use tallyboard_proto::exemplar;
use tallyboard_proto::family::{EXEMPLAR_PREFIX, Family, Kind};
use tallyboard_proto::layout::slot_header;
use tallyboard_proto::log::Series;
use tallyboard_proto::native::{Native, cells};
use tallyboard_segment::mapping::{SlotMapping, read_bytes};
use tallyboard_segment::pass::Address;
use tallyboard_segment::reach;

use crate::instrument::native::counted;
use crate::registry::attach::{AttachError, unexpected};
use crate::registry::registry::Registry;
use crate::registry::state::State;

/// How long an exposition of the whole service may take, unless somebody says otherwise.
pub const EXPOSITION_TIMEOUT: Duration = Duration::from_secs(10);
/// Longer ones end beyond what a clock can say.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// An exposition: its content type, and its bytes.
pub type Exposition = (String, Vec<u8>);

/// The metrics of the whole service, as any of its processes can serve them: what the supervisor of
/// the shared registry exposes, in the format that fits a header `Accept`. Without a configured
/// supervisor it is the metrics of this process. The supervisor is waited for, up to ten seconds:
/// call it where a thread may block.
///
/// ```
/// let (content_type, page) = tallyboard::exposition("text/plain")?;
/// assert!(content_type.starts_with("text/plain"));
/// # Ok::<(), tallyboard::AttachError>(())
/// ```
///
/// # Errors
/// See [`Registry::exposition`].
pub fn exposition(accept: &str) -> Result<Exposition, AttachError> {
    Registry::shared().exposition(accept, &[])
}

impl Registry {
    /// The metrics of the whole service, or of this process when the registry has no supervisor, in
    /// the format that fits a header `Accept`: all, or those that `names` names by their own name or
    /// that of a sample.
    ///
    /// # Errors
    /// [`AttachError`] when a supervisor is configured and does not answer. The metrics of one
    /// process are no substitute: its counters are not those of the service.
    pub fn exposition(
        &'static self,
        accept: &str,
        names: &[&str],
    ) -> Result<Exposition, AttachError> {
        self.exposition_within(EXPOSITION_TIMEOUT, accept, names)
    }

    /// The same as [`exposition`](Self::exposition), for somebody who waits only so long. Where nobody
    /// listens it is said at once.
    ///
    /// # Errors
    /// As for [`exposition`](Self::exposition).
    pub fn exposition_within(
        &'static self,
        timeout: Duration,
        accept: &str,
        names: &[&str],
    ) -> Result<Exposition, AttachError> {
        match self.address() {
            None => Ok(self.exposition_of_process(accept, names)),
            Some(address) => self.ask_for_page(&address?, timeout, accept, names),
        }
    }

    /// The metrics of the whole service as families, or of this process when the registry has no
    /// supervisor: what a bridge takes. The supervisor is waited for, up to ten seconds.
    ///
    /// ```
    /// use tallyboard::{Counter, Registry};
    ///
    /// Counter::new("shop_orders_total", "Orders.")?.inc();
    /// let families = Registry::shared().families()?;
    /// assert!(families.iter().any(|family| family.name == "shop_orders"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As for [`exposition`](Self::exposition).
    pub fn families(&'static self) -> Result<Vec<FamilySamples>, AttachError> {
        self.families_named(EXPOSITION_TIMEOUT, &[])
    }

    /// The same of those that are named by their own name or that of a sample, or of all.
    pub(crate) fn families_named(
        &'static self,
        timeout: Duration,
        names: &[&str],
    ) -> Result<Vec<FamilySamples>, AttachError> {
        let Some(address) = self.address() else { return Ok(named(self.gather(), names)) };
        let address = address?;
        let (found, page) = self.ask_for_page(&address, timeout, whole::CONTENT_TYPE, names)?;
        whole::read(&page).ok_or(AttachError::Unexpected { address, expected: "families", found })
    }

    /// Asks the supervisor for an exposition.
    fn ask_for_page(
        &self,
        address: &Address,
        timeout: Duration,
        accept: &str,
        names: &[&str],
    ) -> Result<Exposition, AttachError> {
        let metrics = names.iter().map(ToString::to_string).collect();
        let request = encode(&Request::Scrape { metrics, accept: accept.to_owned() });
        let begun = Instant::now();
        let deadline = begun + timeout.min(LONGEST_TIMEOUT);
        let answer = reach::ask(address, self.configured.trust, &request, timeout, deadline);
        let answer = answer.map_err(|source| match source.is_late() {
            true => {
                let (address, waited) = (address.clone(), begun.elapsed());
                AttachError::Exposition { address, waited, source }
            }
            false => AttachError::Reach(source),
        })?;
        let expected = "an exposition and its descriptor";
        match (decode(&answer.packet.bytes)?, answer.packet.descriptor) {
            (Reply::Body { bytes, content_type }, Some(descriptor)) => {
                let page = read_bytes(&descriptor.into(), bytes).map_err(|error| {
                    let (address, found) = (address.clone(), error.to_string());
                    AttachError::Unexpected { address, expected, found }
                })?;
                Ok((content_type, page))
            }
            (reply, _) => Err(unexpected(address, expected, reply)),
        }
    }

    /// The metrics of this process alone, in the format that fits a header `Accept`.
    pub fn exposition_of_process(&'static self, accept: &str, names: &[&str]) -> Exposition {
        let negotiated = negotiate(accept);
        let families = named(self.gather(), names);
        let escaped = negotiated.escaping.apply(&families).families;
        let page = negotiated.format.encode(&escaped);
        (negotiated.content_type().into_owned(), page)
    }

    /// The metrics of this process alone, with those of its collectors, in order of name.
    pub fn gather(&'static self) -> Vec<FamilySamples> {
        self.run_callbacks(&mut BTreeSet::new());
        let mut families = self.counted();
        if self.address().is_none() {
            families.extend(self.collected());
        }
        families.sort_by(|a, b| a.name.cmp(&b.name));
        families
    }

    fn counted(&'static self) -> Vec<FamilySamples> {
        self.first_use();
        let state = self.state.lock();
        let Some(mapping) = state.page().mapping() else { return Vec::new() };
        let registered = state.registered.iter().filter_map(|definition| definition.ordinal);
        registered.filter_map(|family| family_of(&state, mapping, family)).collect()
    }
}

/// The families that are named by their own name or that of a sample, or all when none is.
fn named(mut families: Vec<FamilySamples>, names: &[&str]) -> Vec<FamilySamples> {
    families.retain(|family| names.is_empty() || names.iter().any(|name| family.is_named(name)));
    families
}

/// What this process has in a family; nothing when it has nothing to show.
fn family_of(state: &State, mapping: &SlotMapping, ordinal: u32) -> Option<FamilySamples> {
    let family = &state.contents.families()[ordinal as usize];
    let kind = type_of(&family.kind)?;
    let mut series = state.held(mapping, ordinal);
    if family.kind == Kind::Info {
        newest_of_each(state, mapping, family, &mut series);
    }
    series.sort_by_key(|&series| &state.contents.series()[series as usize].values);
    let samples = series.into_iter().flat_map(|series| samples_of(state, mapping, family, series));
    let samples: Vec<Sample> = samples.collect();
    let (name, unit, help) = (&family.name, &family.unit, &family.help);
    (!samples.is_empty()).then(|| FamilySamples {
        kind,
        name: name.to_string(),
        unit: unit.to_string(),
        help: help.to_string(),
        samples,
    })
}

/// Keeps of an info, for each set of label values, what was set last.
fn newest_of_each(state: &State, mapping: &SlotMapping, family: &Family, series: &mut Vec<u32>) {
    let stamp = |series: u32| state.cells_of(mapping, series)[0];
    let labels =
        |series: u32| &state.contents.series()[series as usize].values[..family.labels.len()];
    series.sort_by_key(|&series| (labels(series), std::cmp::Reverse(stamp(series))));
    series.dedup_by_key(|series| labels(*series));
}

fn samples_of(state: &State, mapping: &SlotMapping, family: &Family, ordinal: u32) -> Vec<Sample> {
    let series = &state.contents.series()[ordinal as usize];
    let cells = state.own_cells(mapping, ordinal);
    let mut numbers = Vec::new();
    let native = native_of(state, mapping, family, ordinal, &cells);
    numbers.extend(native.iter().flat_map(Counted::values));
    // One process has one value, whatever the mode says of many.
    match family.kind {
        Kind::Gauge(_) if cells[1] == 0 => {}
        Kind::Gauge(_) => numbers.push(Value::Float(f64::from_bits(cells[0]))),
        Kind::NativeHistogram(_) => {}
        _ => values(&family.kind, 0, &cells, |_, float| float, &mut numbers),
    }
    if has_created(&family.kind) {
        numbers.push(Value::Float(series.created_ms as f64 / 1000.0));
    }
    let labels = labels_of(std::iter::empty(), family, series);
    let plain = vec![("", None)];
    let lines = if matches!(family.kind, Kind::Gauge(_)) { plain } else { lines(family) };
    let sample = |(at, ((suffix, more), value))| {
        let own = labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let more: Option<(&str, String)> = more;
        let labels = own.chain(more.map(|(name, value)| (name.to_owned(), value)));
        let mut sample = Sample::new(suffix, labels.collect(), value);
        sample.exemplar = exemplar_of(state, mapping, family, series, at);
        sample
    };
    let lines = lines.into_iter().zip(numbers).enumerate();
    let lines = lines.filter(|(_, ((suffix, _), _))| is_beside_native(&family.kind, suffix));
    let native = native.map(|native| {
        let own = labels.iter().map(|(name, value)| (name.to_string(), value.to_string()));
        let exemplars = (0..native.classic.len())
            .filter_map(|bucket| exemplar_of(state, mapping, family, series, bucket));
        native.into_sample(own.collect(), exemplars.collect())
    });
    native.into_iter().chain(lines.map(sample)).collect()
}

/// What this process has counted in a series of a native histogram, which has these cells.
fn native_of(
    state: &State,
    mapping: &SlotMapping,
    family: &Family,
    ordinal: u32,
    cells: &[u64],
) -> Option<Counted> {
    let Kind::NativeHistogram(native) = &family.kind else { return None };
    let buckets = counted(state, mapping, ordinal).into_iter();
    Some(Counted::new(native, cells, f64::from_bits(cells[cells::SUM]), buckets))
}

/// The exemplar of a line of a series: of the one line of a counter, or of a bucket.
fn exemplar_of(
    state: &State,
    mapping: &SlotMapping,
    family: &Family,
    series: &Series,
    line: usize,
) -> Option<Exemplar> {
    let bucket = match &family.kind {
        Kind::Counter if line == 0 => None,
        Kind::Histogram(bounds) | Kind::NativeHistogram(Native { bounds, .. })
            if line <= bounds.len() =>
        {
            Some(line.to_string().into())
        }
        _ => return None,
    };
    let of = state.contents.families_named(&format!("{EXEMPLAR_PREFIX}{}", family.name));
    // Of several definitions the one that has these labels.
    let of = of.into_iter().find(|&of| {
        let labels = &state.contents.families()[of as usize].labels;
        labels.starts_with(&family.labels)
            && labels.len() == family.labels.len() + usize::from(bucket.is_some())
    })?;
    let values: Vec<Box<str>> = series.values.iter().cloned().chain(bucket).collect();
    let found = state.contents.find_series(of, &values)?;
    let at = slot_header::WORDS + state.contents.series()[found as usize].cell;
    let found = exemplar::read(mapping, at)?;
    let at_ms = i64::try_from(found.at_ms).unwrap_or(i64::MAX);
    let timestamp = Some(Timestamp::from_millis(at_ms));
    Some(Exemplar { labels: found.labels, value: found.value, timestamp })
}
