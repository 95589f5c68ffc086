//! `bench`: what stages cost on a model, what primitives cost by size, what a GPU's kernels cost, how many proofs a second there are.

mod census;
mod commitment;
mod gpu;
mod machine;
mod primitive;
mod primitives;
mod shape;
mod stages;
mod sustained;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::args::BenchArgs;

pub use primitive::Primitive;
pub use shape::Shape;

/// Measures.
pub fn bench(args: &BenchArgs) -> Result<ExitCode> {
    if args.proofs.is_some() && args.model.is_none() && args.shape.is_none() {
        bail!("--proofs proves a model again and again: give a model with --input, or a --shape");
    }
    match (&args.model, &args.input, args.shape) {
        (Some(model), Some(input), _) => stages::bench(args, model, input)?,
        (_, _, Some(shape)) => shape::bench(args, shape)?,
        _ if args.kernels => gpu::bench(args)?,
        _ if args.in_this_process => {
            args.primitives.iter().try_for_each(|p| primitives::measure_here(p, args.device, args.security_bits))?;
        }
        _ => primitives::bench(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
