//! The program in every stage's process: `prover-worker --store URL (setup|execute|prove|aggregate) ..`.

use std::process::ExitCode;

use clap::Parser;
use crds::contract::WorkerArgs;

fn main() -> ExitCode {
    prover_worker::run(&WorkerArgs::parse())
}
