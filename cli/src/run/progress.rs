//! What a person sees while a job runs: a bar on a terminal, lines elsewhere, JSON for programs.

use crds::{
    ProofJobStatus,
    contract::{Task, Usage},
};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lifecycle::Product;
use serde_json::json;

use super::executor::Token;
use crate::format;

/// Stages besides `prove`, each one task.
const SINGLE_TASKS: u64 = 3;

/// Most characters of an answer that is under way.
const SHOWN: usize = 60;

/// Where progress is shown.
pub struct Progress {
    how: How,
}

enum How {
    Json,
    /// Hidden where standard error is no terminal; lines are printed all the same.
    Bar(ProgressBar),
    Silent,
}

impl Progress {
    /// JSON on standard output, or lines and a bar.
    pub fn new(json: bool) -> Self {
        if json {
            return Self { how: How::Json };
        }
        let style = ProgressStyle::with_template("{spinner} {bar:24} {pos}/{len} {msg} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(SINGLE_TASKS + 1), ProgressDrawTarget::stderr()).with_style(style);
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        Self { how: How::Bar(bar) }
    }

    /// Shows nothing.
    pub const fn silent() -> Self {
        Self { how: How::Silent }
    }

    /// The job has a status.
    pub fn show(&self, status: &ProofJobStatus) {
        let How::Bar(bar) = &self.how else { return };
        let subgraphs = status.subgraphs.unwrap_or_default();
        let done = [&status.stages.setup, &status.stages.execute, &status.stages.aggregate];
        let done = done.into_iter().flatten().filter(|times| times.completion_time.is_some()).count();
        bar.set_length(SINGLE_TASKS + u64::from(subgraphs.total.max(1)));
        bar.set_position(done as u64 + u64::from(subgraphs.succeeded));
        // What a language model has said so far follows the phase.
        let phase = status.phase.as_deref().unwrap_or_default();
        if bar.message().split(": ").next() != Some(phase) {
            bar.set_message(phase.to_owned());
        }
    }

    /// A task is done. The model's answer is printed at once.
    pub fn finished(&self, task: Task, usage: &Usage, reused: bool, product: &Product) {
        match &self.how {
            How::Silent => {}
            How::Json => {
                println!("{}", json!({ "event": "finished", "task": task, "reused": reused, "usage": usage }));
                if let Product::Result(result) = product {
                    println!("{}", json!({ "event": "result", "outputs": result.outputs }));
                }
            }
            How::Bar(bar) => {
                let cost = if reused {
                    "is there already".into()
                } else {
                    let (time, memory) = (format::seconds(usage.seconds), format::bytes(usage.peak_memory_bytes));
                    format!("{time:>8} {memory:>10}")
                };
                let subgraphs = match product {
                    Product::Model { subgraphs, .. } => format!("  {subgraphs} subgraphs"),
                    _ => String::new(),
                };
                bar.suspend(|| {
                    println!("{task:<10}{cost}{subgraphs}");
                    if let Product::Result(result) = product {
                        print!("{}", format::outputs(&result.outputs));
                    }
                });
            }
        }
    }

    /// A language model has chosen a token.
    pub fn token(&self, Token { token, text, input }: &Token) {
        match &self.how {
            How::Silent => {}
            How::Json => println!("{}", json!({ "event": "token", "token": token, "text": text, "input": input })),
            // The whole answer is printed when it is there; meanwhile its end is shown where the phase is.
            How::Bar(bar) => {
                let message = bar.message();
                let (phase, said) = message.split_once(": ").unwrap_or((&message, ""));
                // Answers to several prompts follow each other.
                let label = input.map_or(String::new(), |input| format!("[{input}] "));
                let said = said.strip_prefix(&label).unwrap_or("");
                let said = format!("{said}{}", text.replace('\n', " "));
                let from = said.char_indices().rev().nth(SHOWN - 1).map_or(0, |(index, _)| index);
                bar.set_message(format!("{phase}: {label}{}", &said[from..]));
            }
        }
    }

    /// An attempt has failed.
    pub fn failed(&self, task: Task, message: &str) {
        match &self.how {
            How::Silent => {}
            How::Json => println!("{}", json!({ "event": "failed", "task": task, "message": message })),
            How::Bar(bar) => bar.suspend(|| eprintln!("{task:<10}failed: {message}")),
        }
    }

    /// Nothing more will be shown.
    pub fn close(&self) {
        if let How::Bar(bar) = &self.how {
            bar.finish_and_clear();
        }
    }
}
