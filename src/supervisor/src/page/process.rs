//! What the system says of this supervisor and of the machine.

use tallyboard_exposition::sample::{FamilySamples, Value};
use tallyboard_segment::stat::{self, Stat, Units, max_fds, open_fds};

use crate::page::own;

/// The supervisor's own process, as `process_*` metrics name it. What cannot be read is left out.
pub(crate) fn own_process() -> Vec<FamilySamples> {
    let units = Units::of_this_machine();
    let stat = Stat::read("self");
    let whole = |value: Option<u64>| value.map(|value| value as f64);
    [
        (own::PROCESS_CPU, stat.map(|stat| units.seconds(stat.cpu_ticks))),
        (own::PROCESS_MAX_FDS, whole(max_fds("self"))),
        (own::PROCESS_OPEN_FDS, whole(open_fds("self"))),
        (own::PROCESS_RESIDENT, stat.map(|stat| units.bytes(stat.resident_pages))),
        (own::PROCESS_START, stat.and_then(|stat| units.moment(stat.start_time))),
        (own::PROCESS_VIRTUAL, stat.map(|stat| stat.virtual_bytes as f64)),
    ]
    .into_iter()
    .filter_map(|(own, value)| Some(own.value(Value::Float(value?))))
    .collect()
}

/// The machine and its kernel, as labels.
pub(crate) fn platform() -> FamilySamples {
    let labels = stat::platform();
    let labels = labels.each_ref().map(|(name, value)| (*name, value.as_str()));
    own::PLATFORM_INFO.info(&labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_described_whole() {
        assert_eq!(own_process().len(), 6);
        let platform = format!("{:?}", platform());
        assert!(platform.contains("\"Linux\"") && !platform.contains("\"\")"), "{platform}");
    }
}
