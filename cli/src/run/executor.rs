//! The local executor: one worker process for each task, this same program under its hidden subcommand.
//!
//! A worker ends when its standard input does: stopping it is closing that, and one whose parent is killed ends too.

use std::{
    collections::BTreeMap,
    io::{self, Read},
    process::{ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::Duration,
};

use anyhow::{Context, Result};
use crds::{
    Device,
    contract::{FailureKind, Outcome, RECORD_MAX_BYTES, ResultRecord, StageArgs, Task, WorkerArgs},
};
use lifecycle::TaskFailure;
use prover_worker::TOKEN_LINE;
use serde::Deserialize;

/// Most bytes of a worker's log that are kept.
const LOG_MAX_BYTES: usize = 16 << 10;

/// Worker processes on this machine.
pub struct Executor {
    store: String,
    device: Device,
    running: BTreeMap<Task, Worker>,
    started: u64,
    events: (Sender<Event>, Receiver<Event>),
}

struct Worker {
    number: u64,
    /// Open while the worker is wanted.
    _stdin: ChildStdin,
}

enum Event {
    Token(Token),
    Ended(Ended),
}

struct Ended {
    task: Task,
    number: u64,
    code: Option<i32>,
    record: Vec<u8>,
    log: Vec<u8>,
}

impl Executor {
    /// An executor without workers.
    pub fn new(store: &str, device: Device) -> Self {
        Self { store: store.into(), device, running: BTreeMap::new(), started: 0, events: channel() }
    }

    /// Starts a worker that computes on `threads` threads.
    pub fn start(&mut self, stage: StageArgs, threads: usize) -> Result<()> {
        let task = stage.task();
        let args = WorkerArgs {
            store: self.store.clone(),
            device: self.device.into(),
            record: None,
            until_stdin_closes: true,
            stage,
        };
        let program = std::env::current_exe().context("cannot find this program's own file")?;
        let mut child = Command::new(program)
            .arg("worker")
            .args(args.to_args())
            .env("RAYON_NUM_THREADS", threads.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start a worker for {task}"))?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(stdin), Some(stdout), Some(stderr)) = pipes else {
            anyhow::bail!("a worker for {task} has no pipes");
        };
        self.started += 1;
        let (number, ended) = (self.started, self.events.0.clone());
        thread::spawn(move || {
            let said = ended.clone();
            let log = thread::spawn(move || head(Tokens { pipe: stderr, said, line: Vec::new() }, LOG_MAX_BYTES));
            let record = head(stdout, RECORD_MAX_BYTES + 1);
            let code = child.wait().ok().and_then(|status| status.code());
            // Nobody listens any more when the job has ended.
            let log = log.join().unwrap_or_default();
            let _ = ended.send(Event::Ended(Ended { task, number, code, record, log }));
        });
        self.running.insert(task, Worker { number, _stdin: stdin });
        Ok(())
    }

    /// Stops a task's worker, if it has one. Nothing more will be heard of it.
    pub fn stop(&mut self, task: Task) {
        self.running.remove(&task);
    }

    /// Waits until a worker ends, and says how, or until one says a token; `None` after `patience`.
    pub fn wait(&mut self, patience: Duration) -> Option<Heard> {
        match self.events.1.recv_timeout(patience) {
            Ok(Event::Token(token)) => Some(Heard::Token(token)),
            Ok(Event::Ended(ended)) => {
                let current = self.running.get(&ended.task).is_some_and(|worker| worker.number == ended.number);
                if !current {
                    return None;
                }
                self.running.remove(&ended.task);
                Some(Heard::Ended(ended.task, Box::new(judge(&ended))))
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => None,
        }
    }
}

/// What is heard of a worker.
pub enum Heard {
    /// A language model's next token, and the text that is whole with it.
    Token(Token),
    /// It has ended.
    Ended(Task, Box<Result<ResultRecord, Failed>>),
}

/// A token as a worker's log has it.
#[derive(Deserialize)]
pub struct Token {
    /// Its number.
    pub token: u32,
    /// What it says, with those before it that said nothing whole.
    pub text: String,
    /// Which prompt it answers, if there are several.
    pub input: Option<u32>,
}

/// A log that is read through; tokens in it are passed on at once.
struct Tokens<P> {
    pipe: P,
    said: Sender<Event>,
    line: Vec<u8>,
}

impl<P: Read> Read for Tokens<P> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.pipe.read(buffer)?;
        for &byte in &buffer[..count] {
            if byte != b'\n' {
                // A longer line is no token's.
                if self.line.len() < RECORD_MAX_BYTES {
                    self.line.push(byte);
                }
                continue;
            }
            let token =
                self.line.strip_prefix(TOKEN_LINE.as_bytes()).and_then(|json| serde_json::from_slice(json).ok());
            if let Some(token) = token {
                // Nobody listens any more when the job has ended.
                let _ = self.said.send(Event::Token(token));
            }
            self.line.clear();
        }
        Ok(count)
    }
}

/// A worker's failure, and the task whose artifact it missed.
pub struct Failed {
    pub failure: TaskFailure,
    pub lost: Option<Task>,
}

/// The exit code decides; the record explains.
fn judge(ended: &Ended) -> Result<ResultRecord, Failed> {
    let record = ResultRecord::from_json(&ended.record);
    let fail = |kind, message| Err(Failed { failure: TaskFailure { kind, message }, lost: None });
    match (FailureKind::of_exit_code(ended.code), record) {
        (Ok(()), Ok(record)) if record.task == ended.task && matches!(record.outcome, Outcome::Done { .. }) => {
            Ok(record)
        }
        (Ok(()), Ok(_)) => fail(FailureKind::Retryable, "the worker's result record is about something else".into()),
        (Ok(()), Err(error)) => fail(FailureKind::Retryable, error.to_string()),
        (Err(kind), Ok(ResultRecord { outcome: Outcome::Failed { message, lost, .. }, .. })) => {
            Err(Failed { failure: TaskFailure { kind, message }, lost })
        }
        (Err(kind), _) => {
            // What it said last is not why somebody killed it.
            let Some(code) = ended.code else { return fail(kind, "the worker was killed".into()) };
            let log = String::from_utf8_lossy(&ended.log);
            let last =
                log.lines().rev().find(|line| !line.trim().is_empty()).map_or(String::new(), |l| format!(": {l}"));
            fail(kind, format!("the worker ended with exit code {code}{last}"))
        }
    }
}

/// The first `max` bytes; the rest is read and dropped, so that the writer never waits.
fn head(mut pipe: impl Read, max: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    // A pipe that breaks ends what was said.
    let _ = pipe.by_ref().take(max as u64).read_to_end(&mut bytes);
    let _ = io::copy(&mut pipe, &mut io::sink());
    bytes
}
