//! `bench`: what stages cost on a model, and what primitives cost by size.

mod census;
mod commitment;
mod primitive;
mod primitives;
mod shape;
mod stages;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::BenchArgs;

pub use primitive::Primitive;
pub use shape::Shape;

/// Measures.
pub fn bench(args: &BenchArgs) -> Result<ExitCode> {
    match (&args.model, &args.input, args.shape) {
        (Some(model), Some(input), _) => stages::bench(args, model, input)?,
        (_, _, Some(shape)) => shape::bench(args, shape)?,
        _ if args.in_this_process => {
            args.primitives.iter().try_for_each(|p| primitives::measure_here(p, args.device, args.security_bits))?;
        }
        _ => primitives::bench(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
