//! `eval`: how much a language model loses by being integers: perplexity on a text, beside the same weights in floating
//! point, and where in the model the difference comes from.

mod chart;
mod depth;
mod windows;

use std::{fs, path::Path, process::ExitCode, time::Instant};

use anyhow::{Context, Result, bail};
use formats::Checkpoint;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use model::{
    AccuracyReport, ImportOptions,
    language::{self, Config, Evaluation, Head, Perplexity},
};
use prover_worker::usage;
use serde_json::json;

use crate::{args::EvalArgs, format};
use windows::Windows;

/// The context where neither the user nor the model asks for less.
const CONTEXT: usize = 512;

/// Measures a model on a text.
pub fn eval(args: &EvalArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    let checkpoint = formats::open(&args.model)?;
    let (config, weights) = language::open(&checkpoint).with_context(|| args.model.display().to_string())?;
    if config.head() != Head::Vocabulary {
        bail!("{}: it ends in an embedding, not in the next token, so it has no perplexity", args.model.display());
    }
    let context = args.context.unwrap_or(config.context().min(CONTEXT));
    if context < 2 || context > config.context() {
        bail!("--context {context}: this model takes 2 to {} tokens", config.context());
    }
    let windows = windows(args, &checkpoint, &config, context)?;
    let bar = progress(args.json, windows.measured.len() as u64);
    bar.set_message(format!("quantising, calibrated on {} windows", windows.calibration.len()));
    // What follows the last token of a window is not foretold: the model reads one token less.
    let sample = |window: &Vec<u32>| vec![window[..context - 1].iter().map(|&t| t as f32).collect()];
    let options =
        ImportOptions { samples: windows.calibration.iter().map(sample).collect(), ..ImportOptions::default() };
    let mut evaluation = Evaluation::new(&config, weights.as_ref(), context - 1, &options)?;
    let set_up = begun.elapsed().as_secs_f64();
    for window in &windows.measured {
        evaluation.window(window)?;
        let p = evaluation.perplexity();
        bar.set_message(format!("float {:.3}, integers {:.3}", p.float, p.integer));
        bar.inc(1);
    }
    bar.finish_and_clear();
    let measured = Measured {
        perplexity: evaluation.perplexity(),
        report: evaluation.report(),
        context,
        windows,
        set_up_seconds: set_up,
        seconds: begun.elapsed().as_secs_f64(),
    };
    if let Some(path) = &args.chart {
        let svg = chart::draw(&title(&args.model), &measured.perplexity, &measured.report);
        fs::write(path, svg).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        measured.print_json(args)
    } else {
        measured.print(args)
    }
    Ok(ExitCode::SUCCESS)
}

fn windows(args: &EvalArgs, checkpoint: &Checkpoint, config: &Config, context: usize) -> Result<Windows> {
    let tokenizer = match &args.tokenizer {
        Some(path) => {
            let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            Some(formats::Tokenizer::from_json(&path.display().to_string(), &bytes, &[&checkpoint.config])?)
        }
        None => checkpoint.tokenizer()?,
    };
    let Some(tokenizer) = tokenizer else {
        bail!("{}: no tokenizer.json; give one with --tokenizer", args.model.display());
    };
    let read = |path: &Path| -> Result<Vec<u32>> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {} as UTF-8", path.display()))?;
        let tokens = tokenizer.encode_plain(&text).with_context(|| path.display().to_string())?;
        if tokens.is_empty() {
            bail!("{}: the text is empty", path.display());
        }
        if let Some(&id) = tokens.iter().find(|&&id| id as usize >= config.vocabulary()) {
            let (token, most) = (tokenizer.token(id).unwrap_or_default(), config.vocabulary());
            bail!("{}: token {id} '{token}' is none of the model's {most}", path.display());
        }
        Ok(tokens)
    };
    let text = read(&args.text)?;
    let calibration = args.calibration.as_deref().map(read).transpose()?;
    let most = args.windows.unwrap_or(usize::MAX);
    Windows::new(&text, calibration.as_deref(), tokenizer.bos(), context, most)
        .with_context(|| args.text.display().to_string())
}

fn progress(json: bool, windows: u64) -> ProgressBar {
    if json {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{spinner} {bar:24} {pos}/{len} windows {elapsed} (of about {duration}) {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::with_draw_target(Some(windows), ProgressDrawTarget::stderr()).with_style(style);
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}

fn title(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
}

struct Measured {
    perplexity: Perplexity,
    report: AccuracyReport,
    context: usize,
    windows: Windows,
    set_up_seconds: f64,
    seconds: f64,
}

impl Measured {
    fn print(&self, args: &EvalArgs) {
        let p = &self.perplexity;
        println!(
            "{} on {}: {} windows, {} tokens foretold, context {}",
            args.model.display(),
            args.text.display(),
            self.windows.measured.len(),
            p.tokens,
            self.context
        );
        println!("  perplexity in floating point  {:>12.5}", p.float);
        println!("  perplexity in integers        {:>12.5}  {:+.4} %", p.integer, difference(p));
        println!("  the same first choice         {:>10.2} %", p.agreement * 100.0);
        let memory = usage::peak_memory_bytes().map_or_else(|| "unknown".into(), format::bytes);
        println!(
            "  {} to set up, {} for the windows, {memory} of memory at most\n",
            format::seconds(self.set_up_seconds),
            format::seconds(self.seconds - self.set_up_seconds)
        );
        print!("{}", depth::table(&self.report));
        for warning in &self.report.warnings {
            println!("warning: {warning}");
        }
    }

    fn print_json(&self, args: &EvalArgs) {
        let p = &self.perplexity;
        let json = json!({
            "model": args.model,
            "text": args.text,
            "context": self.context,
            "windows": self.windows.measured.len(),
            "calibrationWindows": self.windows.calibration.len(),
            "perplexity": p,
            "differencePercent": difference(p),
            "setUpSeconds": self.set_up_seconds,
            "seconds": self.seconds,
            "peakMemoryBytes": usage::peak_memory_bytes(),
            "accuracy": self.report,
        });
        println!("{json}");
    }
}

fn difference(p: &Perplexity) -> f64 {
    (p.integer / p.float - 1.0) * 100.0
}
