//! The worker's log on standard error, for whoever follows a pod: a line for each step, and one every half minute while a
//! step takes longer. `RUST_LOG` chooses what is in it; `PROOFMILL_LOG_FORMAT=json` makes every line an object.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use tracing_subscriber::EnvFilter;

use crate::usage::peak_memory_bytes;

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(30);

/// The log; it shows no more signs of life once this is dropped.
pub(crate) struct Log {
    _beating: Sender<()>,
}

/// Begins the log of a task.
pub(crate) fn start(task: String, begun: Instant) -> Log {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr);
    // There may be a log already where this is a part of another program.
    let _ = match std::env::var("PROOFMILL_LOG_FORMAT").as_deref() {
        Ok("json") => lines.json().flatten_event(true).try_init(),
        _ => lines.with_ansi(false).try_init(),
    };
    let (beating, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        while ended.recv_timeout(BEAT) == Err(RecvTimeoutError::Timeout) {
            let (seconds, peak) = (begun.elapsed().as_secs(), peak_memory_bytes().unwrap_or(0).div_ceil(1 << 20));
            tracing::info!("{task}: at work for {seconds} s, at most {peak} MiB of memory so far");
        }
    });
    Log { _beating: beating }
}
