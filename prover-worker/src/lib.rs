//! Runs one stage: fetches what it works on from the artifact store, computes, stores the artifact, reports.
//!
//! A stage is a function of its identity, a digest over its inputs: an artifact that exists under it is used again, one
//! that is missing or corrupt is named, so that whoever started the stage can have it made again.

mod allocator;
mod device;
mod error;
mod identity;
pub mod input;
mod language;
mod log;
mod parent;
mod resident;
pub mod source;
mod stages;
pub mod store;
pub mod usage;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    time::Instant,
};

use crds::contract::{FailureKind, LOST_EXIT_CODE, Outcome, ResultRecord, Traffic, WorkerArgs};
use kernels::{Cpu, DeviceError};

pub use device::{Opened, check_device};
pub use error::StageError;
pub use language::TOKEN_LINE;
pub use resident::{Proved, Resident};
pub use stages::{Finished, run_stage, set_up};

/// Runs the stage that the command line names, and reports by result record and exit code.
pub fn run(args: &WorkerArgs) -> ExitCode {
    let begun = Instant::now();
    if args.until_stdin_closes {
        parent::exit_with_it();
    }
    let task = args.stage.task();
    // Whoever reads the record from standard output shows progress of its own.
    let log = args.record.is_some().then(|| log::start(task.to_string(), begun));
    let opened = Opened::timed(args.device);
    let device = opened.as_ref().map_or_else(|_| args.device.to_string(), |device| device.name().into());
    tracing::info!("{task}: begins, on {device}, with the store {}", args.store);
    let mut traffic = Default::default();
    let outcome = match catch_unwind(AssertUnwindSafe(|| attempt(args, opened.as_ref(), &mut traffic))) {
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
            match log {
                Some(_) => tracing::error!("{task}: {message}"),
                None => eprintln!("{task}: {message}"),
            }
            if lost.is_some() { LOST_EXIT_CODE } else { kind.exit_code() }
        }
    };
    let usage = usage::measure(begun, &device, traffic, opened.as_ref().ok().and_then(Opened::gpu_usage));
    tracing::info!(
        "{task}: ends with code {code} after {:.1} s ({:.1} s of processors, at most {} MiB of memory, {} bytes read, {} written)",
        usage.seconds,
        usage.cpu_seconds,
        usage.peak_memory_bytes.div_ceil(1 << 20),
        usage.read.bytes,
        usage.written.bytes,
    );
    let record = ResultRecord { task, outcome, usage }.to_json();
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

/// `traffic` becomes what was read and written, whatever else happens.
fn attempt(
    args: &WorkerArgs,
    device: Result<&Opened, &DeviceError>,
    traffic: &mut (Traffic, Traffic),
) -> Result<Finished, StageError> {
    let store = store::Store::open(&args.store)?;
    let result = match device.map_err(Clone::clone)? {
        Opened::Cpu => run_stage(&Cpu, &store, &args.stage),
        Opened::Cuda(cuda) => run_stage(cuda.as_ref(), &store, &args.stage),
    };
    *traffic = store.traffic();
    result
}
