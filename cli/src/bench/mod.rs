//! `bench`: what stages cost on a model, and what the commitment costs by size.

mod primitives;
mod stages;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::BenchArgs;

/// Measures.
pub fn bench(args: &BenchArgs) -> Result<ExitCode> {
    match (&args.model, &args.input) {
        (Some(model), Some(input)) => stages::bench(args, model, input)?,
        _ => primitives::bench(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
