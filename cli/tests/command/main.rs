//! The `proofmill` command as a user runs it.

mod common;
mod gpu;
mod language;
mod model;
mod refusals;
mod run;
