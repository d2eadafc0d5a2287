//! The process collector: what /proc says of the workers. It reads when the loop's timer says so and
//! once more when a worker dies, never in a scrape.
//!
//! A worker is a process by its pid and start time, however many slots it has. One in a pid namespace
//! that the supervisor does not see into is left out. Processor time of the dead stays in the sum;
//! the keeper remembers it for the next supervisor.

use std::collections::BTreeMap;

use tallyboard_exposition::sample::{FamilySamples, Value};
use tallyboard_proto::slot::Tenant;

use crate::page::labels::WorkerLabel;
use crate::page::own;
use tallyboard_segment::stat::{Stat, Units, max_fds, open_fds};

/// A process that has or had a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Process {
    pid: u64,
    start_time: u64,
}

impl Process {
    /// That of a slot; nothing when the slot table does not say enough to know it again.
    pub(crate) fn of(tenant: &Tenant) -> Option<Self> {
        let (pid, start_time) = (tenant.pid, tenant.start_time);
        (pid != 0 && start_time != 0).then_some(Self { pid, start_time })
    }

    /// What /proc says of it, unless its pid is another process's by now.
    fn stat(self) -> Option<Stat> {
        Stat::read(self.pid).filter(|stat| stat.start_time == self.start_time)
    }
}

/// Processor time in clock ticks, as a supervisor leaves it to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// That of the dead.
    pub(crate) dead: u64,
    /// The sum as it was exposed.
    pub(crate) total: u64,
    /// Whether it is exposed: from the first process that could be seen on, whoever lives.
    pub(crate) is_exposed: bool,
}

/// What was seen of the workers.
#[derive(Debug)]
pub(crate) struct Collector {
    units: Units,
    /// Those that are not known to be dead.
    seen: BTreeMap<Process, Seen>,
    spent: Spent,
}

#[derive(Debug, Default)]
struct Seen {
    cpu_ticks: u64,
    /// What it is now, while it lives in a slot.
    now: Option<Now>,
}

#[derive(Debug)]
struct Now {
    /// The first of its slots.
    slot: usize,
    stat: Stat,
    open_fds: Option<u64>,
    max_fds: Option<u64>,
}

/// A number of a process, unless nobody could see it.
type Number<'a> = dyn Fn(&Now) -> Option<f64> + 'a;

impl Collector {
    /// A collector that goes on where an earlier one stopped.
    pub(crate) fn new(spent: Spent) -> Self {
        Self { units: Units::of_this_machine(), seen: BTreeMap::new(), spent }
    }

    /// Looks at the processes that have slots, and at those that had one and live on.
    pub(crate) fn look<'a>(&mut self, tenants: impl Iterator<Item = (usize, u64, &'a Tenant)>) {
        let mut slots = BTreeMap::new();
        for (slot, _, tenant) in tenants {
            if let Some(process) = Process::of(tenant) {
                slots.entry(process).or_insert(slot);
            }
        }
        let mut processes: Vec<Process> = self.seen.keys().copied().collect();
        processes.extend(slots.keys().filter(|process| !self.seen.contains_key(process)));
        for process in processes {
            let slot = slots.get(&process).copied();
            let stat = process.stat();
            let is_alive = stat.is_some_and(|stat| !stat.is_zombie);
            if is_alive || self.seen.contains_key(&process) {
                let seen = self.seen.entry(process).or_default();
                seen.take(stat);
                let now = stat.zip(slot).filter(|_| is_alive);
                seen.now = now.map(|(stat, slot)| Now {
                    slot,
                    stat,
                    open_fds: open_fds(process.pid),
                    max_fds: max_fds(process.pid),
                });
            }
            if !is_alive && slot.is_none() {
                self.forget(process);
            }
        }
        self.catch_up();
    }

    /// Sees a process for the last time: the kernel has said that it is dead.
    pub(crate) fn see_last(&mut self, process: Process) {
        let stat = process.stat();
        if stat.is_some() {
            self.seen.entry(process).or_default().take(stat);
        }
    }

    /// Takes the dead out of the living, unless their death is still to be acted on in another slot.
    pub(crate) fn bury<'a, T: Iterator<Item = &'a Tenant>>(
        &mut self,
        dead: &[Process],
        tenants: impl Fn() -> T,
    ) {
        for &process in dead {
            if !tenants().any(|tenant| Process::of(tenant) == Some(process)) {
                self.forget(process);
            }
        }
        self.catch_up();
    }

    fn forget(&mut self, process: Process) {
        if let Some(seen) = self.seen.remove(&process) {
            self.spent.dead = self.spent.dead.saturating_add(seen.cpu_ticks);
        }
    }

    /// Counts as spent by the dead what an earlier supervisor exposed and nobody alive accounts for,
    /// so that the sum does not fall.
    fn catch_up(&mut self) {
        let living =
            self.seen.values().fold(0, |sum: u64, seen| sum.saturating_add(seen.cpu_ticks));
        let unaccounted = self.spent.total.saturating_sub(living);
        self.spent.dead = self.spent.dead.max(unaccounted);
        self.spent.total = self.spent.dead.saturating_add(living);
        let sees_any = || self.seen.values().any(|seen| seen.now.is_some());
        self.spent.is_exposed |= self.spent.total > 0 || sees_any();
    }

    /// What the next supervisor must know.
    pub(crate) fn spent(&self) -> Spent {
        self.spent
    }

    /// The families of the service and of each worker. What nobody could see is left out.
    pub(crate) fn families(&self, kind: WorkerLabel) -> Vec<FamilySamples> {
        let now: Vec<&Now> = self.seen.values().filter_map(|seen| seen.now.as_ref()).collect();
        let sum = |value: &Number<'_>| now.iter().filter_map(|n| value(n)).reduce(|a, b| a + b);
        let least = |value: &Number<'_>| now.iter().filter_map(|n| value(n)).reduce(f64::min);
        let whole = |value: Option<u64>| value.map(|value| value as f64);
        let units = &self.units;
        let cpu = self.spent.is_exposed.then(|| units.seconds(self.spent.total));
        let service = [
            (own::SERVICE_CPU, cpu),
            (own::SERVICE_MAX_FDS, least(&|now| whole(now.max_fds))),
            (own::SERVICE_OPEN_FDS, sum(&|now| whole(now.open_fds))),
            (own::SERVICE_RESIDENT, sum(&|now| Some(units.bytes(now.stat.resident_pages)))),
            (own::SERVICE_START, least(&|now| units.moment(now.stat.start_time))),
            (own::SERVICE_THREADS, sum(&|now| Some(now.stat.threads as f64))),
            (own::SERVICE_VIRTUAL, sum(&|now| Some(now.stat.virtual_bytes as f64))),
        ];
        let service =
            service.into_iter().filter_map(|(own, value)| Some(own.value(Value::Float(value?))));
        let each: [(own::Own, &Number<'_>); 6] = [
            (own::WORKER_CPU, &|now| Some(units.seconds(now.stat.cpu_ticks))),
            (own::WORKER_OPEN_FDS, &|now| whole(now.open_fds)),
            (own::WORKER_RESIDENT, &|now| Some(units.bytes(now.stat.resident_pages))),
            (own::WORKER_START, &|now| units.moment(now.stat.start_time)),
            (own::WORKER_THREADS, &|now| Some(now.stat.threads as f64)),
            (own::WORKER_VIRTUAL, &|now| Some(now.stat.virtual_bytes as f64)),
        ];
        let each = each.into_iter().map(|(own, value)| {
            let own = own::Own { label: Some(kind.name(std::iter::empty())), ..own };
            own.labelled(self.seen.iter().filter_map(|(process, seen)| {
                let now = seen.now.as_ref()?;
                let label = match kind {
                    WorkerLabel::Pid => process.pid.to_string(),
                    WorkerLabel::Slot => now.slot.to_string(),
                };
                Some((label, Value::Float(value(now)?)))
            }))
        });
        service.chain(each.filter(|family| !family.samples.is_empty())).collect()
    }
}

impl Seen {
    fn take(&mut self, stat: Option<Stat>) {
        self.now = None;
        self.cpu_ticks = self.cpu_ticks.max(stat.map_or(0, |stat| stat.cpu_ticks));
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use super::*;

    fn tenant(pid: u32, start_time: u64) -> Tenant {
        Tenant { pid: pid.into(), start_time, ..Tenant::default() }
    }

    fn tenant_of(pid: u32) -> Tenant {
        tenant(pid, Stat::read(pid).expect("a living process").start_time)
    }

    /// A process that has spent processor time and waits.
    fn spender() -> Child {
        let script = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo spent; read line";
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a shell starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the shell answers");
        assert_eq!(line, "spent\n");
        child
    }

    fn look(collector: &mut Collector, tenants: &[Tenant]) {
        collector.look(tenants.iter().enumerate().map(|(slot, tenant)| (slot, 1, tenant)));
    }

    /// The samples of a family: labels and value.
    fn samples(collector: &Collector, kind: WorkerLabel, name: &str) -> Vec<(String, f64)> {
        let families = collector.families(kind);
        let family = families.into_iter().find(|family| family.name == name);
        let value = |value| match value {
            Value::Float(value) => value,
            Value::Whole(value) => panic!("{value} is whole"),
        };
        let samples = family.into_iter().flat_map(|family| family.samples);
        let text = |labels: Vec<(String, String)>| {
            labels.iter().map(|(name, value)| format!("{name}={value}")).collect()
        };
        samples.map(|sample| (text(sample.labels), value(sample.value))).collect()
    }

    #[test]
    fn a_process_counts_once_whatever_slots_it_has_and_others_are_left_out() {
        let own = tenant_of(std::process::id());
        let mut collector = Collector::new(Spent::default());
        assert!(collector.families(WorkerLabel::Pid).is_empty());
        let later = tenant(std::process::id(), own.start_time + 1);
        let tenants = [tenant(0, 5), tenant(1, 0), own, own, later, tenant(u32::MAX, 5)];
        look(&mut collector, &tenants);
        let pid = format!("pid={}", std::process::id());
        for (kind, label) in [(WorkerLabel::Pid, pid.as_str()), (WorkerLabel::Slot, "worker=2")] {
            for (each, all) in [
                ("tallyboard_worker_cpu_seconds", "process_cpu_seconds"),
                ("tallyboard_worker_open_fds", "process_open_fds"),
                ("tallyboard_worker_resident_memory_bytes", "process_resident_memory_bytes"),
                ("tallyboard_worker_start_time_seconds", "process_start_time_seconds"),
                ("tallyboard_worker_threads", "process_threads"),
                ("tallyboard_worker_virtual_memory_bytes", "process_virtual_memory_bytes"),
            ] {
                let [(ref found, each)] = samples(&collector, kind, each)[..] else {
                    panic!("{each}: {collector:?}")
                };
                assert_eq!((found.as_str(), each.is_finite()), (label, true));
                assert_eq!(samples(&collector, kind, all), [(String::new(), each)], "{all}");
            }
        }
        assert!(samples(&collector, WorkerLabel::Pid, "process_max_fds")[0].1 >= 3.0);
    }

    #[test]
    fn processor_time_does_not_fall_when_workers_die_or_the_supervisor_does() {
        let mut children: Vec<Child> = (0..3).map(|_| spender()).collect();
        let pids: Vec<u32> = children.iter().map(Child::id).collect();
        let tenants: Vec<Tenant> = pids.iter().map(|&pid| tenant_of(pid)).collect();
        let mut collector = Collector::new(Spent::default());
        look(&mut collector, &tenants[..2]);
        let before = collector.spent();
        assert!(before.dead == 0 && before.total > 0, "{before:?}");
        let mut die = |child: usize| {
            children[child].kill().expect("it lives");
            let mut ended = Stat::read(pids[child]);
            while ended.is_some_and(|stat| !stat.is_zombie) {
                std::thread::yield_now();
                ended = Stat::read(pids[child]);
            }
            ended.expect("nobody has waited for it").cpu_ticks
        };
        let mut spent = die(0);
        // Seen for the first time when it is dead.
        spent += die(2);
        let dead: Vec<Process> =
            [0, 2].iter().filter_map(|&at| Process::of(&tenants[at])).collect();
        dead.iter().for_each(|&process| collector.see_last(process));
        collector.bury(&dead, || tenants[1..2].iter());
        assert_eq!(collector.spent().dead, spent);
        assert!(collector.spent().total >= before.total);
        let workers = samples(&collector, WorkerLabel::Pid, "tallyboard_worker_threads");
        assert_eq!(workers, [(format!("pid={}", pids[1]), 1.0)]);

        let left = collector.spent();
        // The last one dies while no supervisor looks, and nobody knows more of it than was exposed.
        children[1].kill().and_then(|()| children[1].wait()).expect("it lives");
        let mut next = Collector::new(left);
        look(&mut next, &[]);
        assert_eq!(next.spent(), Spent { dead: left.total, ..left });
        children.iter_mut().for_each(|child| {
            child.wait().expect("it has ended");
        });
    }

    #[test]
    fn processor_time_is_exposed_from_the_first_process_on_whoever_lives() {
        let mut child = Command::new("sleep").arg("60").spawn().expect("sleep starts");
        let mut collector = Collector::new(Spent::default());
        look(&mut collector, &[]);
        assert_eq!(samples(&collector, WorkerLabel::Pid, "process_cpu_seconds"), []);
        look(&mut collector, &[tenant_of(child.id())]);
        child.kill().and_then(|()| child.wait()).expect("it lives");
        look(&mut collector, &[]);
        let mut next = Collector::new(collector.spent());
        look(&mut next, &[]);
        for collector in [&collector, &next] {
            let found = samples(collector, WorkerLabel::Pid, "process_cpu_seconds");
            assert_eq!(found.len(), 1, "{collector:?}");
        }
    }

    #[test]
    fn a_process_with_two_slots_is_buried_once() {
        let mut child = spender();
        let tenant = tenant_of(child.id());
        let process = Process::of(&tenant).expect("it is known");
        let mut collector = Collector::new(Spent::default());
        look(&mut collector, &[tenant, tenant]);
        child.kill().and_then(|()| child.wait()).expect("it lives");
        let seen = collector.spent().total;
        for left in [&[tenant][..], &[], &[]] {
            collector.see_last(process);
            collector.bury(&[process], || left.iter());
            look(&mut collector, left);
            assert_eq!(collector.spent().total, seen);
            assert!(samples(&collector, WorkerLabel::Pid, "tallyboard_worker_threads").is_empty());
        }
        assert_eq!(collector.spent().dead, seen);
    }
}
