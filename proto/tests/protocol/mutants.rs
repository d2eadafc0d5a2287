//! The proofs fail when the protocol has a defect: each defect is run through the proof that is
//! there for it, and a defect that no proof sees fails the test.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use crate::memory::Sweep;
use crate::models::Counting::{InLane, Plainly};
use crate::mutated::Defect::{self, *};
use crate::{models, trace};

/// A proof: its name, and what runs it and panics when it fails.
type Proof = (&'static str, fn(Option<Defect>));

const CUTS: Proof = ("cut after every store", |defect| {
    trace::cut_everywhere(Sweep::NotZero, defect).unwrap_or_else(|error| panic!("{error}"));
});
const LOG: Proof = ("log append", |defect| _ = models::log_append(defect));
const FOLD: Proof = ("fold and scrub", |defect| _ = models::fold_and_scrub(defect));
const TWO_FOLDS: Proof = ("two folds", |defect| _ = models::two_folds(defect));
const REUSED: Proof = ("reused slot", |defect| _ = models::reused_slot(defect, Plainly, None));
const IN_LANE: Proof = ("reused slot, in a lane", |defect| {
    models::reused_slot(defect, InLane, None);
});
const HANDED_OVER: Proof = ("handed over", |defect| _ = models::handed_over(defect));
const RESETS: Proof = ("two resets", |defect| _ = models::two_resets(defect));
const LOWERED: Proof = ("lowered", |defect| _ = models::lowered(defect));
const JUDGED: Proof = ("judged", |defect| _ = models::judged(defect));
const EXEMPLARS: Proof = ("exemplars", |defect| _ = models::exemplars(defect));
const SAMPLES: Proof = ("samples", |defect| _ = models::samples(defect));
const HEADER: Proof = ("slot header", |defect| _ = models::slot_header_begun(defect));
const ENTRY: Proof = ("slot entry", |defect| _ = models::slot_entry(defect));

/// Each defect, and the proofs that see it.
const DEFECTS: &[(Defect, &[Proof])] = &[
    (ScrubBeforeCommit, &[CUTS, REUSED, FOLD, TWO_FOLDS]),
    (FreeBeforeScrub, &[CUTS]),
    (ScrubOfHeaderOnly, &[CUTS, REUSED]),
    (ScrubWithoutFence, &[REUSED, FOLD]),
    (ReuseWithoutFence, &[TWO_FOLDS, RESETS]),
    (BeginWithoutFence, &[REUSED]),
    (LaneSaidLate, &[CUTS]),
    (LaneWithoutFence, &[IN_LANE]),
    (GiveBackRelaxed, &[HANDED_OVER]),
    (TakeRelaxed, &[HANDED_OVER]),
    (ReaderWithoutFence, &[REUSED, FOLD, TWO_FOLDS, RESETS]),
    (NoSecondLook, &[REUSED, FOLD, TWO_FOLDS, RESETS, JUDGED]),
    (FoldIntoLiveBank, &[CUTS, REUSED, FOLD, TWO_FOLDS, RESETS, JUDGED]),
    (CommitBeforeBank, &[CUTS, REUSED, FOLD, TWO_FOLDS, RESETS]),
    (CommitWithoutEpoch, &[CUTS, TWO_FOLDS, RESETS]),
    (CommitRelaxed, &[REUSED, FOLD, TWO_FOLDS, RESETS]),
    (CommitLoadRelaxed, &[REUSED, FOLD, TWO_FOLDS, RESETS, JUDGED]),
    (FoldedNotWritten, &[CUTS, REUSED, FOLD, TWO_FOLDS]),
    (FoldedNotRead, &[CUTS, REUSED, FOLD, TWO_FOLDS]),
    (FoldedOutsideBanks, &[CUTS, REUSED, FOLD, TWO_FOLDS]),
    (AppliedOutsideBanks, &[CUTS]),
    (AppliedNotReset, &[CUTS]),
    (AppliedNotRead, &[CUTS]),
    // What was taken back is taken off twice; of a reset only a reader outside sees it, as a
    // restarted supervisor comes to the same offsets again.
    (OffsetsOutsideBanks, &[CUTS, RESETS]),
    (LoweredIsReset, &[CUTS]),
    (LivesOutsideBanks, &[CUTS, RESETS]),
    (LastGoodNotCommitted, &[CUTS]),
    (OnlyChangedCells, &[CUTS]),
    (RingOutsideBanks, &[CUTS]),
    (LogCommitBeforeRecord, &[CUTS, LOG, LOWERED]),
    (LogCommitRelaxed, &[LOG, LOWERED]),
    (LogLoadRelaxed, &[LOG, LOWERED]),
    (StateApartFromGeneration, &[CUTS]),
    (StateBeforeTenant, &[ENTRY]),
    (StateRelaxed, &[ENTRY]),
    (GenerationBeforeHeader, &[HEADER]),
    (GenerationRelaxed, &[HEADER]),
    (TurnBeforeBuffer, &[EXEMPLARS, SAMPLES]),
    (TurnRelaxed, &[EXEMPLARS, SAMPLES]),
    (TurnLoadRelaxed, &[EXEMPLARS, SAMPLES]),
    (OneBuffer, &[EXEMPLARS, SAMPLES]),
    (ExemplarReuseWithoutFence, &[EXEMPLARS, SAMPLES]),
    (ExemplarReaderWithoutFence, &[EXEMPLARS, SAMPLES]),
    (NoSecondTurn, &[EXEMPLARS, SAMPLES]),
];

#[test]
fn every_defect_is_seen_by_the_proofs_that_are_there_for_it() {
    silence_expected_panics();
    let mut survived = Vec::new();
    println!("| defect | killed by | with |\n|---|---|---|");
    for (defect, proofs) in DEFECTS {
        for proof in *proofs {
            match killed(*proof, *defect) {
                Some(why) => println!("| {defect:?} | {} | {why:.60} |", proof.0),
                None => survived.push(format!("{defect:?} survives {}", proof.0)),
            }
        }
    }
    assert!(survived.is_empty(), "{survived:#?}");
}

/// Why the proof fails under the defect; `None` when it does not.
fn killed((_, proof): Proof, defect: Defect) -> Option<String> {
    EXPECTED.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(|| proof(Some(defect))));
    EXPECTED.set(false);
    outcome.err().map(|panic| message(&*panic))
}

fn message(panic: &dyn Any) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

thread_local! {
    /// Whether a panic of this thread is what the test is waiting for.
    static EXPECTED: Cell<bool> = const { Cell::new(false) };
}

/// Panics that a test waits for are not printed; those of the tests beside it are.
fn silence_expected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !EXPECTED.get() {
                print(panic);
            }
        }));
    });
}
