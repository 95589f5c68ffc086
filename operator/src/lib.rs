//! The operator: makes `ProofJob`s and `ProofModel`s happen on a cluster, as batch/v1 Jobs.
//!
//! [`plan`] is pure: an object, its children and their pods give a status and what to do. [`controller`] is the thin shell
//! around it. Nothing is remembered that a restart may not forget.

pub mod attempt;
pub mod build;
pub mod cache;
pub mod child;
pub mod client;
pub mod controller;
pub mod events;
mod gpu;
pub mod http;
pub mod lease;
pub mod metrics;
pub mod names;
pub mod observe;
pub mod owner;
pub mod parallelism;
pub mod place;
pub mod plan;
pub mod plan_model;
mod run;
pub mod settings;

pub use run::{Replica, run};
