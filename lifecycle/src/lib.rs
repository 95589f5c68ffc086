//! The state machine of a `ProofJob`: what its spec asks for and what has been observed give its status and what to do next.
//!
//! Pure: no input, output, clock or cluster. Executors feed an [`Observed`], call [`decide`], carry out the [`Effect`]s and
//! store the status; calling again before anything has changed asks for nothing.

mod decide;
mod observed;
mod status;

pub use decide::{Decision, Effect, decide};
pub use observed::{Observed, Product, TaskFailure, TaskState};
