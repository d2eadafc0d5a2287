//! Which families there may be.

use super::error::FamilyError;
use super::kind::Kind;
use super::samples::Declared;
use crate::limits::{MAX_BOUNDS, MAX_HELP_BYTES, MAX_LABELS, MAX_NAME_BYTES, MAX_STATES};
use crate::names::{
    BUCKET_PREFIX, COLLECTOR_ERRORS, COLLECTOR_LABEL, EXEMPLAR_PREFIX, LAST_WORKER_LABEL, is_name,
    is_reserved,
};
use crate::native::{MAX_BUCKETS, MAX_SCHEMA, MIN_SCHEMA, Native};

/// Says what is wrong with a family of a name as it is kept.
pub(super) fn check(
    kind: &Kind,
    name: &str,
    unit: &str,
    help: &str,
    labels: &[&str],
) -> Result<(), FamilyError> {
    match kind {
        Kind::Exemplar => check_name_behind(EXEMPLAR_PREFIX, name)?,
        Kind::Bucket(_) => check_name_behind(BUCKET_PREFIX, name)?,
        Kind::Counter if is_collector_errors(name, unit, labels) => {}
        _ => check_name(name)?,
    }
    let has_unit = match kind {
        Kind::Info | Kind::StateSet(_) | Kind::Exemplar | Kind::Bucket(_) => false,
        Kind::Counter
        | Kind::Gauge(_)
        | Kind::Histogram(_)
        | Kind::NativeHistogram(_)
        | Kind::Summary => true,
        Kind::Samples(samples) => !matches!(samples.declared, Declared::Info | Declared::StateSet),
    };
    if !unit.is_empty() && !has_unit {
        let (unit, metric) = (unit.to_owned(), name.to_owned());
        return Err(FamilyError::NoUnit { kind: kind.name(), unit, metric });
    }
    if !unit.is_empty() && !name.strip_suffix(unit).is_some_and(|stem| stem.ends_with('_')) {
        return Err(FamilyError::Unit { unit: unit.to_owned(), metric: name.to_owned() });
    }
    if help.len() > MAX_HELP_BYTES {
        return Err(FamilyError::Help { found: help.len() });
    }
    check_labels(kind, name, labels)?;
    check_samples(kind, labels)?;
    check_bounds(kind)?;
    check_native(kind)?;
    check_states(kind)
}

/// Whether a counter is that of errors of collectors, which is no other.
fn is_collector_errors(name: &str, unit: &str, labels: &[&str]) -> bool {
    name == COLLECTOR_ERRORS && unit.is_empty() && labels == [COLLECTOR_LABEL]
}

fn check_name(name: &str) -> Result<(), FamilyError> {
    if !is_name(name) {
        return Err(FamilyError::Name { found: name.to_owned() });
    }
    if is_reserved(name) {
        return Err(FamilyError::Reserved { found: name.to_owned() });
    }
    Ok(())
}

fn check_name_behind(prefix: &str, name: &str) -> Result<(), FamilyError> {
    match name.strip_prefix(prefix) {
        Some(of) => check_name(of),
        None => Err(FamilyError::Name { found: name.to_owned() }),
    }
}

fn check_labels(kind: &Kind, name: &str, labels: &[&str]) -> Result<(), FamilyError> {
    if labels.len() > MAX_LABELS {
        return Err(FamilyError::Labels { found: labels.len(), metric: name.to_owned() });
    }
    for (at, &label) in labels.iter().enumerate() {
        let expected = if !is_name(label) {
            "have from 1 to 256 bytes, none of them 0"
        } else if label.starts_with("__") {
            "do not begin with __, which Prometheus keeps for itself"
        } else if labels[..at].contains(&label) {
            "differ from each other"
        } else if label == "le" && matches!(kind, Kind::Histogram(_) | Kind::NativeHistogram(_)) {
            "of a histogram are not le, which its buckets have"
        } else if label == "quantile" && matches!(kind, Kind::Summary) {
            "of a summary are not quantile, which its quantiles have"
        } else if label == name && matches!(kind, Kind::StateSet(_)) {
            "of a stateset are not its own name, which its states have"
        } else if label == LAST_WORKER_LABEL
            && matches!(kind, Kind::Gauge(mode) if mode.is_per_process())
        {
            "of a gauge of mode all or liveall are not tallyboard_worker, which tells the processes apart when pid and worker are taken"
        } else {
            continue;
        };
        return Err(FamilyError::Label {
            expected,
            found: label.to_owned(),
            metric: name.to_owned(),
        });
    }
    Ok(())
}

fn check_bounds(kind: &Kind) -> Result<(), FamilyError> {
    let Kind::Histogram(bounds) = kind else { return Ok(()) };
    if !bounds.is_empty() && are_bounds(bounds) {
        return Ok(());
    }
    Err(FamilyError::Bounds { found: format!("{bounds:?}") })
}

fn are_bounds(bounds: &[f64]) -> bool {
    bounds.windows(2).all(|pair| pair[0] < pair[1])
        && bounds.iter().all(|bound| bound.is_finite())
        && bounds.len() <= MAX_BOUNDS
}

fn check_native(kind: &Kind) -> Result<(), FamilyError> {
    let (Kind::NativeHistogram(native) | Kind::Bucket(native)) = kind else { return Ok(()) };
    let Native { schema, zero_threshold, max_buckets, bounds } = native;
    if (MIN_SCHEMA..=MAX_SCHEMA).contains(schema)
        && (0.0..f64::INFINITY).contains(zero_threshold)
        && (1..=MAX_BUCKETS).contains(max_buckets)
        && are_bounds(bounds)
    {
        return Ok(());
    }
    Err(FamilyError::Native { found: format!("{native:?}") })
}

fn check_samples(kind: &Kind, labels: &[&str]) -> Result<(), FamilyError> {
    match kind {
        Kind::Samples(samples) if !samples.may_be() || !labels.is_empty() => {
            Err(FamilyError::Samples { found: format!("{samples:?} with labels {labels:?}") })
        }
        _ => Ok(()),
    }
}

fn check_states(kind: &Kind) -> Result<(), FamilyError> {
    let Kind::StateSet(states) = kind else { return Ok(()) };
    let fits = |state: &str| (1..=MAX_NAME_BYTES).contains(&state.len());
    let differ = states.iter().enumerate().all(|(at, state)| !states[..at].contains(state));
    if differ && states.iter().all(|state| fits(state)) && (1..=MAX_STATES).contains(&states.len())
    {
        return Ok(());
    }
    Err(FamilyError::States { found: format!("{states:?}") })
}
