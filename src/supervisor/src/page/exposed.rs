//! The state of an arena with what its pages are made with, and how they look.

use std::collections::HashMap;

use tallyboard_exposition::cells::labels_of;
use tallyboard_exposition::format::Choices;
use tallyboard_proto::family::Family;
use tallyboard_proto::layout::Layout;
use tallyboard_proto::log::Series;
use tallyboard_segment::mapping::Arena;

use crate::board::core::{Core as State, Grants};
use crate::board::guests::Guests;
use crate::board::origin::Origin;
use crate::board::recover::RecoverError;
use crate::page::collisions::Collisions;
use crate::page::groups::JoinedPage;
use crate::page::labels::{Labels, WorkerLabel};
use crate::page::lines::Pages;

/// Slots, catalog and archive of one arena, and the page of them.
pub type Core = State<Page>;

/// What a supervisor is allowed to grant, and how it labels what it exposes.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whose processes may attach.
    pub guests: Guests,
    /// How many label sets a family may have.
    pub label_limit: usize,
    /// What tells the processes of a gauge apart.
    pub worker_label: WorkerLabel,
    /// Labels of every sample.
    pub labels: Labels,
    /// What pages have or have not.
    pub choices: Choices,
}

impl Rules {
    /// The rules of an arena for the processes of `uids`, with the default labels.
    #[must_use]
    pub fn new(uids: Vec<u32>, label_limit: usize) -> Self {
        let (worker_label, labels) = (WorkerLabel::default(), Labels::default());
        let (guests, choices) = (Guests::new(uids), Choices::default());
        Self { guests, label_limit, worker_label, labels, choices }
    }
}

/// What pages are made with.
#[derive(Debug)]
pub struct Page {
    pub(crate) lines: Pages,
    /// The names of which several definitions are shown as one.
    pub(crate) joined: HashMap<Box<str>, JoinedPage>,
    pub(crate) style: Style,
    pub(crate) collisions: Collisions,
}

/// How pages look.
#[derive(Debug)]
pub(crate) struct Style {
    pub(crate) worker_label: WorkerLabel,
    pub(crate) labels: Labels,
    pub(crate) choices: Choices,
}

impl Style {
    /// The labels of a sample of a series, in order of name.
    pub(crate) fn labels_of(&self, family: &Family, series: &Series) -> Vec<(String, String)> {
        let labels = labels_of(self.labels.pairs(), family, series);
        let full = labels.into_iter().filter(|(_, value)| !value.is_empty());
        let mut labels: Vec<(String, String)> =
            full.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        labels.sort();
        labels
    }
}

impl Core {
    /// The core of an arena that [`format()`](crate::board::origin::format) has just made.
    #[must_use]
    pub fn new(arena: Arena, layout: Layout, origin: Origin, rules: Rules) -> Self {
        let (grants, page) = apart(rules);
        Self::with(arena, layout, origin, grants, page)
    }

    /// The core of an arena whose supervisor has died: catalog, archive and floors as they were
    /// committed, folds finished, and the slots of those who may still be alive. Those that are not
    /// are for the caller to say ([`Core::exited`]).
    ///
    /// # Errors
    /// [`RecoverError`] when the control segment holds what no supervisor wrote.
    pub fn recover(
        arena: Arena,
        layout: Layout,
        origin: Origin,
        rules: Rules,
    ) -> Result<Self, RecoverError> {
        let (grants, page) = apart(rules);
        Self::recovered(arena, layout, origin, grants, page)
    }
}

/// Rules as what may be granted, and what pages are made with.
fn apart(rules: Rules) -> (Grants, Page) {
    let Rules { guests, label_limit, worker_label, labels, choices } = rules;
    let constant = labels.pairs().map(|(name, value)| (name.into(), value.into())).collect();
    let style = Style { worker_label, labels, choices };
    (
        Grants { guests, label_limit, constant },
        Page {
            lines: Pages::default(),
            joined: HashMap::new(),
            style,
            collisions: Collisions::default(),
        },
    )
}
