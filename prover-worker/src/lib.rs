//! Runs one stage: fetches what it works on from the artifact store, computes, stores the artifact, reports.
//!
//! A stage is a function of its identity, a digest over its inputs: an artifact that exists under it is used again, one
//! that is missing or corrupt is named, so that whoever started the stage can have it made again.

mod device;
mod error;
mod identity;
pub mod input;
mod language;
mod parent;
pub mod source;
mod stages;
pub mod store;
pub mod usage;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};

use crds::contract::{FailureKind, LOST_EXIT_CODE, Outcome, ResultRecord, WorkerArgs};
use kernels::{Cpu, DeviceError};

pub use device::{Opened, check_device};
pub use error::StageError;
pub use language::TOKEN_LINE;
pub use stages::{Finished, run_stage, set_up};

/// Runs the stage that the command line names, and reports by result record and exit code.
pub fn run(args: &WorkerArgs) -> ExitCode {
    let begun = Instant::now();
    if args.until_stdin_closes {
        parent::exit_with_it();
    }
    let opened = device::Opened::new(args.device);
    let device = opened.as_ref().map_or_else(|_| args.device.to_string(), |device| device.name().into());
    let outcome = match catch_unwind(AssertUnwindSafe(|| attempt(args, opened))) {
        Ok(Ok(Finished { artifact, reused, summary })) => Outcome::Done { artifact, reused, summary },
        Ok(Err(StageError { kind, message, lost })) => Outcome::Failed { kind, message, lost },
        Err(_) => {
            let message = "the worker panicked; its log says where".into();
            Outcome::Failed { kind: FailureKind::Retryable, message, lost: None }
        }
    };
    let code = match &outcome {
        Outcome::Done { .. } => 0,
        Outcome::Failed { kind, message, lost } => {
            eprintln!("{}: {message}", args.stage.task());
            if lost.is_some() { LOST_EXIT_CODE } else { kind.exit_code() }
        }
    };
    let usage = usage::measure(begun, &device);
    let record = ResultRecord { task: args.stage.task(), outcome, usage }.to_json();
    match &args.record {
        None => println!("{record}"),
        Some(path) => {
            if let Err(error) = std::fs::write(path, record) {
                // The artifact is what counts: a lost record is no failure of the stage.
                eprintln!("cannot write the result record to {}: {error}", path.display());
            }
        }
    }
    code.into()
}

fn attempt(args: &WorkerArgs, device: Result<Opened, DeviceError>) -> Result<Finished, StageError> {
    let store = store::Store::open(&args.store)?;
    match device? {
        Opened::Cpu => run_stage(&Cpu, &store, &args.stage),
        Opened::Cuda(cuda) => run_stage(cuda.as_ref(), &store, &args.stage),
    }
}
