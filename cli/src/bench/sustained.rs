//! How many proofs of a model there are in a second: job after job in this process, the weights on the device all the time.
//!
//! Every job is run, proved and aggregated before its thread begins the next; one before them in each thread, which loads kernels, fills
//! pools and commits the weights for all, is not counted.

use std::{
    iter::{self, Sum},
    panic::resume_unwind,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use crds::Digest;
use indicatif::ProgressBar;
use kernels::{Cpu, Cuda, Device, bench::Properties};
use prover_worker::{Opened, Proved, Resident, store::Store, usage};
use serde_json::{Value, json};
use verifier::proof::Proof;

use super::machine::Machine;
use crate::{args::BenchArgs, format};

/// A part of a job, and how long it took.
type Part = (&'static str, fn(&Proved) -> Duration);

const PARTS: [Part; 4] = [
    ("execute", |job| job.execute),
    ("prove", |job| job.prove),
    ("aggregate", |job| job.aggregate),
    ("all", |job| job.execute + job.prove + job.aggregate),
];

/// What was measured.
struct Measured {
    device: String,
    gpu: Option<Properties>,
    at_once: usize,
    /// The first job that is not counted.
    first: Proved,
    jobs: Vec<Proved>,
    /// From the first counted job's beginning to the last one's end.
    seconds: f64,
    peak_memory_bytes: u64,
    /// Of one proof.
    verify_seconds: f64,
    /// In one proof.
    inferences: usize,
    soundness_bits: u32,
    used: Option<Used>,
}

/// What a GPU did.
#[derive(Clone, Copy, Default)]
struct Used {
    launches: u64,
    waits: u64,
    peak_memory_bytes: u64,
}

/// Measures so many proofs; job `i` is about the inputs of number `i`.
pub fn bench(
    args: &BenchArgs,
    store: &Store,
    setup: Digest,
    proofs: u32,
    input: impl Fn(u32) -> Result<Vec<u8>>,
) -> Result<()> {
    // Each with a stream of its own, where it is a GPU.
    let opened = (0..args.at_once).map(|_| Opened::new(args.device)).collect::<Result<Vec<_>, _>>()?;
    let first = opened.first().context("no job at a time")?;
    let (name, room) = (first.name(), first.room() / u64::from(args.at_once));
    let inputs = (0..=proofs).map(input).collect::<Result<Vec<_>>>()?;
    let cuda: Vec<&Cuda> = opened.iter().filter_map(Opened::cuda).collect();
    let measured = match cuda.first() {
        None => measure(&vec![&Cpu; opened.len()], name, (store, setup, room), &inputs, |_| None)?,
        Some(gpu) => Measured {
            gpu: Some(kernels::attempt(|| gpu.properties())?),
            ..measure(&cuda, name, (store, setup, room), &inputs, |cuda| Some(Used::by(cuda)))?
        },
    };
    if args.json {
        println!("{}", describe(&measured));
    } else {
        print!("{}", report(&measured));
    }
    Ok(())
}

/// `devices` are one, opened for each job of those at a time.
fn measure<D: Device>(
    devices: &[&D],
    name: &str,
    (store, setup, room): (&Store, Digest, u64),
    inputs: &[Vec<u8>],
    used: impl Fn(&D) -> Option<Used>,
) -> Result<Measured> {
    let (first, inputs) = inputs.split_first().context("there is no job")?;
    let load = |device| Resident::load(device, store, setup, room);
    let mut residents = devices.iter().copied().map(load).collect::<Result<Vec<_>, _>>()?;
    usage::restart_peak_memory();
    let warm = |resident: &mut Resident<D>| resident.prove(first);
    let first = residents.iter_mut().map(warm).collect::<Result<Vec<_>, _>>()?.swap_remove(0);
    let used = || devices.iter().map(|device| used(device)).sum::<Option<Used>>();
    let before = used();
    let bar = ProgressBar::new(inputs.len() as u64);
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let work = |mut resident: Resident<D>| {
        let input = || inputs.get(next.fetch_add(1, Ordering::Relaxed));
        let jobs = iter::from_fn(input).map(|input| resident.prove(input).inspect(|_| bar.inc(1)));
        jobs.collect::<Result<Vec<_>, _>>()
    };
    let jobs = thread::scope(|scope| {
        let threads: Vec<_> = residents.into_iter().map(|resident| scope.spawn(|| work(resident))).collect();
        let joined = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        joined.collect::<Result<Vec<_>, _>>()
    })?;
    let jobs: Vec<Proved> = jobs.into_iter().flatten().collect();
    let seconds = begun.elapsed().as_secs_f64();
    bar.finish_and_clear();
    let peak_memory_bytes = usage::peak_memory_bytes().unwrap_or(0);
    let used = before.zip(used()).map(|(before, after)| after.since(before));
    let (mut verify_seconds, mut soundness_bits) = (f64::INFINITY, 0);
    // A proof that is not accepted is none, and none of its time counts.
    for (number, job) in (1..).zip(&jobs) {
        let begun = Instant::now();
        let verified = verifier::verify(&job.key, &job.proof).with_context(|| format!("proof {number} is rejected"))?;
        verify_seconds = f64::min(verify_seconds, begun.elapsed().as_secs_f64());
        soundness_bits = verified.soundness.total_bits.floor() as u32;
    }
    let inferences = Proof::from_bytes(&first.proof)?.statement.inferences.len();
    Ok(Measured {
        device: name.into(),
        gpu: None,
        at_once: devices.len(),
        first,
        jobs,
        seconds,
        peak_memory_bytes,
        verify_seconds,
        inferences,
        soundness_bits,
        used,
    })
}

impl Used {
    fn by(cuda: &Cuda) -> Self {
        let usage = cuda.usage();
        let launches = usage.kernels.values().map(|kernel| kernel.launches).sum();
        Self { launches, waits: usage.waits, peak_memory_bytes: usage.peak_memory_bytes }
    }

    /// What was done since `before`; the most memory is of all the time.
    fn since(self, before: Self) -> Self {
        Self { launches: self.launches - before.launches, waits: self.waits - before.waits, ..self }
    }
}

impl Sum for Used {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, used| Self {
            launches: sum.launches + used.launches,
            waits: sum.waits + used.waits,
            peak_memory_bytes: sum.peak_memory_bytes + used.peak_memory_bytes,
        })
    }
}

/// Least, mean and most seconds of a part.
fn spread(jobs: &[Proved], part: fn(&Proved) -> Duration) -> [f64; 3] {
    let seconds = || jobs.iter().map(|job| part(job).as_secs_f64());
    let mean = seconds().sum::<f64>() / jobs.len() as f64;
    [seconds().fold(f64::INFINITY, f64::min), mean, seconds().fold(0.0, f64::max)]
}

impl Measured {
    fn proofs_per_second(&self) -> f64 {
        self.jobs.len() as f64 / self.seconds
    }

    fn proof_bytes(&self) -> usize {
        self.first.proof.len()
    }

    /// Of a GPU for each proof: launches, and how often a job waited.
    fn for_each_proof(&self, used: Used) -> [f64; 2] {
        [used.launches, used.waits].map(|count| count as f64 / self.jobs.len() as f64)
    }
}

fn report(measured: &Measured) -> String {
    let Measured { device, at_once, first, jobs, seconds, verify_seconds, inferences, soundness_bits, .. } = measured;
    let rate = measured.proofs_per_second();
    let mut text = format!("{:<12}{:>10}{:>10}{:>10}{:>12}\n", "", "least", "mean", "most", "not counted");
    for (name, part) in PARTS {
        let [least, mean, most] = spread(jobs, part).map(format::seconds);
        let first = format::seconds(part(first).as_secs_f64());
        text += &format!("{name:<12}{least:>10}{mean:>10}{most:>10}{first:>12}\n");
    }
    let of = if *inferences > 1 { format!(" of {inferences} inputs each") } else { String::new() };
    let at_once = if *at_once > 1 { format!(", {at_once} at a time,") } else { String::new() };
    text += &format!("{} proofs{of}{at_once} on {device} in {}: ", jobs.len(), format::seconds(*seconds));
    text += &format!("{rate:.3} proofs in a second");
    if *inferences > 1 {
        text += &format!(", {:.3} inputs", rate * *inferences as f64);
    }
    text += &format!(
        "\nall verified, {} each; proof {}, {soundness_bits} bits; peak memory {}\n",
        format::seconds(*verify_seconds),
        format::bytes(measured.proof_bytes() as u64),
        format::bytes(measured.peak_memory_bytes)
    );
    if let Some(used) = measured.used {
        let [launches, waits] = measured.for_each_proof(used);
        let peak = format::bytes(used.peak_memory_bytes);
        text += &format!("for each proof {launches:.0} launches and {waits:.0} waits; peak memory of the GPU {peak}\n");
    }
    text
}

fn describe(measured: &Measured) -> Value {
    let parts = PARTS.into_iter().map(|(name, part)| {
        let [least, mean, most] = spread(&measured.jobs, part);
        (name.to_owned(), json!({ "leastSeconds": least, "meanSeconds": mean, "mostSeconds": most }))
    });
    let mut described = json!({
        "device": measured.device,
        "machine": measured.gpu.as_ref().map(Machine::describe_gpu),
        "proofs": measured.jobs.len(),
        "atOnce": measured.at_once,
        "inferences": measured.inferences,
        "seconds": measured.seconds,
        "proofsPerSecond": measured.proofs_per_second(),
        "inferencesPerSecond": measured.proofs_per_second() * measured.inferences as f64,
        "parts": parts.collect::<serde_json::Map<_, _>>(),
        "notCountedSeconds": PARTS[3].1(&measured.first).as_secs_f64(),
        "verifySeconds": measured.verify_seconds,
        "proofBytes": measured.proof_bytes(),
        "soundnessBits": measured.soundness_bits,
        "peakMemoryBytes": measured.peak_memory_bytes,
    });
    if let Some(used) = measured.used {
        let [launches, waits] = measured.for_each_proof(used);
        described["launchesPerProof"] = json!(launches);
        described["waitsPerProof"] = json!(waits);
        described["peakGpuMemoryBytes"] = json!(used.peak_memory_bytes);
    }
    described
}
