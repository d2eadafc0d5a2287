//! The proofs of the protocol: the product's own code, run on memories of which a test owns every
//! store.
//!
//! | module | proves |
//! |---|---|
//! | `models` | which outcomes a reader outside can see, over every execution that loom finds |
//! | `trace` | what a restarted supervisor finds after a death at any store |
//! | `mutants` | that the two above fail when the protocol has a defect |
//! | `hostile` | that no bytes make a reader panic |
//! | `abi` | that the words in `abi.golden` are those of this build |
//!
//! The rest are the parts that they are made of: `memory`, `loomed` and `mutated` are the memories,
//! `party` is a supervisor and `worker` a worker in a few lines, `truth` is what these must come to.

mod abi;
mod hostile;
mod loomed;
mod memory;
mod models;
mod mutants;
mod mutated;
mod party;
mod random;
mod trace;
mod truth;
mod worker;
