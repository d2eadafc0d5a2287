//! What an earlier supervisor has left: the state in its arena, and the workers that live on.

use std::io;

use tallyboard_segment::mapping::Arena;

use crate::board::guests::Guests;
use crate::keep::holders::Holders;
use crate::keep::inheritance::Inheritance;
use crate::page::exposed::{Core, Rules};
use crate::serve::attach::Workers;
use crate::serve::identity::{Found, find};

/// Whether nobody was before this supervisor: it is the first of a new arena.
pub(crate) fn is_first(inheritance: &Inheritance<'_>) -> bool {
    inheritance.starts == 1 && !inheritance.is_reopened
}

/// The first supervisor of a new arena finds it empty; every other finds what the last one left.
pub(crate) fn open_core(
    arena: Arena,
    inheritance: &Inheritance<'_>,
    guests: Guests,
) -> io::Result<Core> {
    let config = inheritance.config;
    let rules = Rules {
        guests,
        label_limit: config.label_limit,
        worker_label: config.worker_label,
        labels: config.labels.clone(),
        choices: config.choices,
    };
    let (layout, origin) = (inheritance.layout, inheritance.origin);
    if is_first(inheritance) {
        return Ok(Core::new(arena, layout, origin, rules));
    }
    Core::recover(arena, layout, origin, rules).map_err(io::Error::other)
}

/// Watches the workers that an earlier supervisor has left: by the pidfds that the keeper kept, else
/// by what the slot table says of them.
pub(crate) fn watch_tenants(core: &mut Core, workers: &mut Workers, mut holders: Holders) {
    let tenants: Vec<_> =
        core.tenants().map(|(slot, generation, tenant)| (slot, generation, *tenant)).collect();
    for (slot, generation, tenant) in tenants {
        if let Some(kept) = holders.take(slot, generation) {
            workers.watch(kept.pidfd, slot, generation);
            continue;
        }
        match find(&tenant) {
            Found::Alive(pidfd) => {
                // The keeper that knew it is dead; this one must keep the arena for it.
                let known = workers.announce(slot, generation, tenant.pid, &pidfd);
                if let Err(error) = known {
                    tracing::error!(slot, %error, "cannot tell the keeper of a worker");
                }
                workers.watch(pidfd, slot, generation);
            }
            Found::Dead => core.exited(slot, generation),
            Found::Unknown => tracing::error!(
                slot,
                pid = tenant.pid,
                "nobody knows whether the worker of this slot lives; it is kept as it is"
            ),
        }
    }
    core.reclaim();
}
