//! A cluster in memory: an API server as a tower service, and what Jobs and kubelets do, by script.

#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod api;
pub mod cluster;
pub mod fault;
pub mod lab;
pub mod objects;
