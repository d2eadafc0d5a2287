//! What the state cannot know: the processes of supervisor and workers, the machine, what serves the
//! metrics, and what the configuration says of all that. It is looked at when the timer says so, and
//! brought to the state as samples before a scrape, so that a scrape need not look.

use std::net::SocketAddr;
use std::rc::Rc;

use tallyboard_exposition::sample::{FamilySamples, Value};
use tallyboard_proto::layout::LAYOUT_VERSION;
use tallyboard_segment::pass::Socket;
use tokio::io::unix::AsyncFd;

use crate::config::Config;
use crate::keep::inheritance::Inheritance;
use crate::keep::link::{self, ToKeeper};
use crate::page::collector::{Collector, Process, Spent};
use crate::page::exposed::Core;
use crate::page::own;
use crate::page::process::{own_process, platform};

/// What is known of the world outside.
pub(crate) struct Outside<'a> {
    config: &'a Config,
    link: Rc<AsyncFd<Socket>>,
    /// What stays as it is while this supervisor lives.
    constant: Vec<FamilySamples>,
    /// Where metrics are served, as far as their addresses could be had.
    listeners: Vec<Option<SocketAddr>>,
    collector: Collector,
    /// What the keeper knows of it.
    spent: Spent,
    /// What the supervisor knows of its own process.
    own_process: Vec<FamilySamples>,
    /// Whether more is known than the state has.
    is_stale: bool,
}

impl<'a> Outside<'a> {
    pub(crate) fn new(inheritance: &Inheritance<'a>, link: Rc<AsyncFd<Socket>>) -> Self {
        Self {
            config: inheritance.config,
            link,
            constant: constant(inheritance),
            listeners: vec![None; inheritance.metrics.len()],
            collector: Collector::new(inheritance.spent),
            spent: inheritance.spent,
            own_process: Vec::new(),
            is_stale: true,
        }
    }

    /// Metrics are served at `at`, the address of that number.
    pub(crate) fn serves(&mut self, index: usize, at: SocketAddr) {
        if let Some(place) = self.listeners.get_mut(index) {
            *place = Some(at);
        }
        self.is_stale = true;
    }

    /// Where metrics are served.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.listeners.iter().flatten().map(|&at| self.config.metrics_url(at)).collect()
    }

    /// Looks at what is outside.
    pub(crate) fn look(&mut self, core: &Core) {
        self.own_process = own_process();
        if self.config.process_metrics {
            self.collector.look(core.tenants());
        }
        self.is_stale = true;
    }

    /// Sees the dead for the last time, while /proc may have their processor time.
    pub(crate) fn see_last(&mut self, dead: &[Process]) {
        if self.config.process_metrics {
            dead.iter().for_each(|&process| self.collector.see_last(process));
        }
    }

    /// Takes the dead, whose slots are reclaimed, out of the living.
    pub(crate) fn bury(&mut self, dead: &[Process], core: &Core) {
        if self.config.process_metrics && !dead.is_empty() {
            self.collector.bury(dead, || core.tenants().map(|(_, _, tenant)| tenant));
            self.is_stale = true;
        }
    }

    /// Brings what is known to the state, if there is more of it than the state has.
    pub(crate) fn show(&mut self, core: &mut Core) {
        if !std::mem::take(&mut self.is_stale) {
            return;
        }
        // Before the bytes leave, so that a later supervisor does not undercut them.
        let spent = self.collector.spent();
        if std::mem::replace(&mut self.spent, spent) != spent
            && let Err(error) = link::send(self.link.get_ref(), ToKeeper::Spent(spent), None)
        {
            tracing::warn!(%error, "the keeper does not learn the processor time of the workers");
        }
        let addresses = self.config.listen.iter().map(ToString::to_string);
        let up = self.listeners.iter().map(|at| Value::Whole(at.is_some().into()));
        let mut outside = self.own_process.clone();
        outside.extend(self.collector.families(self.config.worker_label));
        outside.extend(self.constant.iter().cloned());
        outside.push(platform());
        outside.push(own::LISTENER_UP.labelled(addresses.zip(up)));
        core.figures().set_outside(outside);
    }
}

/// What a supervisor knows from its start on.
fn constant(inheritance: &Inheritance<'_>) -> Vec<FamilySamples> {
    let Inheritance { config, backing, reason, starts, .. } = inheritance;
    let (backing, layout) = (backing.to_string(), LAYOUT_VERSION.to_string());
    let mut constant = vec![
        own::SUPERVISOR_STARTS.value(Value::Whole(*starts)),
        own::ARENA_INFO.info(&[("arena", &config.name), ("backing", &backing), ("reason", reason)]),
        own::BUILD_INFO.info(&[("layout", &layout), ("version", env!("CARGO_PKG_VERSION"))]),
    ];
    let target: Vec<(&str, &str)> = config.target_info.pairs().collect();
    if !target.is_empty() {
        constant.push(own::TARGET_INFO.info(&target));
    }
    constant
}
