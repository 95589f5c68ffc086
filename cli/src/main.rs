//! `proofmill`: run a `ProofJob` on this machine, verify a proof, look at a model, measure it.
//!
//! Installed or linked as `kubectl-proofmill` it is a plugin: `kubectl proofmill verify ..`.

mod args;
mod bench;
mod eval;
mod format;
mod model;
mod run;
mod verify;

use std::process::ExitCode;

use args::{Arguments, Command};

fn main() -> ExitCode {
    let done = match Arguments::read().command {
        Command::Run(args) => run::run(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Model(args) => model::model(&args),
        Command::Eval(args) => eval::eval(&args),
        Command::Bench(args) => bench::bench(&args),
        Command::Worker(args) => return prover_worker::run(&args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
