//! A cluster in memory: an API server as a tower service, and what Jobs and kubelets do, by script.

pub mod api;
pub mod cluster;
pub mod fault;
pub mod lab;
pub mod objects;
