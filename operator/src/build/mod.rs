//! The children, as objects: Jobs with their pods, and the ConfigMap of an inline input.

mod job;
mod pod;

pub use job::{ChildSpec, config_map, job};
pub use pod::{PodPlan, TERMINATION_LOG, ladder, rung};
