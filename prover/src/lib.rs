//! Proving: witnesses, arguments, openings and their aggregation, over a device. No files, no network.

pub mod argument;
mod columns;
pub mod commitment;
mod values;

pub use columns::{LookupColumns, Witness};
pub use values::Values;
