//! The shell: watches, hands what it sees to the plans, carries them out, and publishes one status per reconcile.

mod arrivals;
mod carry_out;
mod context;
mod error;
mod job;
mod model;
mod publish;
mod scope;

pub use context::{Pace, Shared};
pub use error::Error;
pub use scope::{Scope, Stop};
