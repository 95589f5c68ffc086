//! Primitives by themselves, each in a process of its own, so that peak memory is a primitive's own; beside the floor that this
//! machine sets, whose rates are measured in the same run.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, bail};
use crds::contract::Processor;
use kernels::{Cpu, Device, floor::Work};
use prover_worker::{Opened, usage};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{commitment, gpu, machine::Machine, primitive::Primitive};
use crate::{args::BenchArgs, format};

/// A primitive is measured at least so often, and for so many seconds; the least time counts, and the mean of processor time.
const REPETITIONS: u32 = 3;
const SECONDS: f64 = 0.5;

/// What a primitive costs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Measured {
    primitive: Primitive,
    device: String,
    unit: String,
    items: u64,
    seconds: f64,
    cpu_seconds: f64,
    peak_memory_bytes: u64,
    bytes: u64,
    verify_seconds: Option<f64>,
    /// What cannot be avoided.
    multiplications: u64,
    hashed_bytes: u64,
    read_bytes: u64,
}

impl Measured {
    /// Time that it takes at least, the processor's or the GPU's, and how many times as much it took.
    fn floor(&self, machine: &Machine) -> (f64, f64) {
        let Self { multiplications, hashed_bytes, read_bytes, .. } = *self;
        let floor = machine.floor(&Work { multiplications, hashed_bytes, read_bytes });
        let spent = if matches!(machine, Machine::Cpu(_)) { self.cpu_seconds } else { self.seconds };
        (floor, spent / floor)
    }
}

/// Measures primitives and, unless some are chosen, the commitment beside `p3-whir`, and before them the kernels of a GPU.
pub fn bench(args: &BenchArgs) -> Result<()> {
    let chosen = if args.primitives.is_empty() { Primitive::all() } else { args.primitives.clone() };
    let all = args.primitives.is_empty();
    let opened = Opened::new(args.device)?;
    if args.log_cells.is_some() && matches!(opened, Opened::Cpu) {
        bail!("--log-cells is a size for the kernels of a GPU: say --device cuda, or cuda:N for GPU number N");
    }
    let machine = Machine::measure(&opened)?;
    let rows = match (&opened, &machine) {
        (Opened::Cuda(cuda), Machine::Gpu(gpu)) if all => gpu::measure_on(cuda, gpu, args)?,
        _ => Vec::new(),
    };
    // The processes that measure primitives have the device to themselves.
    drop(opened);
    let measured: Vec<Measured> =
        chosen.into_iter().map(|p| measure_alone(p, args.device, args.security_bits)).collect::<Result<_>>()?;
    let compared = match Opened::new(args.device)? {
        _ if !all => Vec::new(),
        Opened::Cpu => commitment::measure_sizes(&Cpu, args.security_bits)?,
        Opened::Cuda(cuda) => commitment::measure_sizes(cuda.as_ref(), args.security_bits)?,
    };
    if args.json {
        let primitives: Vec<Value> = measured.iter().map(|m| describe(m, &machine)).collect::<Result<_>>()?;
        let commitment: Vec<Value> = compared.iter().map(commitment::describe).collect();
        let mut report = json!({ "machine": machine.describe(), "primitives": primitives, "commitment": commitment });
        if let Machine::Gpu(gpu) = &machine {
            report["kernels"] = gpu::describe(&rows, &gpu.1);
        }
        println!("{report}");
        return Ok(());
    }
    if !rows.is_empty() {
        println!();
    }
    print!("{}", report(&measured, &machine));
    if !compared.is_empty() {
        print!("\n{}", commitment::report(&compared));
    }
    Ok(())
}

/// Measures one primitive in this process, and prints it for the process that asked.
pub fn measure_here(primitive: &Primitive, device: Processor, security_bits: u32) -> Result<()> {
    let opened = Opened::new(device)?;
    let measured = kernels::attempt(|| match &opened {
        Opened::Cpu => measure(&Cpu, opened.name(), primitive, security_bits),
        Opened::Cuda(cuda) => measure(cuda.as_ref(), opened.name(), primitive, security_bits),
    })??;
    println!("{}", serde_json::to_string(&measured)?);
    Ok(())
}

fn measure_alone(primitive: Primitive, device: Processor, security_bits: u32) -> Result<Measured> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let child = Command::new(program)
        .args(["bench", "--in-this-process", "--security-bits", &security_bits.to_string()])
        .args(["--device", &device.to_string(), "--primitive"])
        .arg(primitive.to_string())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start a process for {primitive}"))?;
    if !child.status.success() {
        bail!("measuring {primitive} failed ({})", child.status);
    }
    serde_json::from_slice(&child.stdout).with_context(|| format!("the process for {primitive} reports no figures"))
}

fn measure<D: Device + 'static>(device: &D, name: &str, primitive: &Primitive, security_bits: u32) -> Result<Measured> {
    let instance = primitive.instance(device, security_bits)?;
    let (unit, items) = instance.items();
    let Work { multiplications, hashed_bytes, read_bytes } = instance.floor();
    usage::restart_peak_memory();
    let proof = instance.prove(device);
    let peak_memory_bytes = usage::peak_memory_bytes().unwrap_or(0);
    let proving = time(|| drop(instance.prove(device)));
    instance.verify(&proof)?;
    let verifying = primitive.is_verified().then(|| time(|| drop(instance.verify(&proof))));
    Ok(Measured {
        primitive: primitive.clone(),
        device: name.into(),
        unit: unit.into(),
        items,
        seconds: proving.seconds,
        cpu_seconds: proving.cpu_seconds,
        peak_memory_bytes,
        bytes: proof.len() as u64,
        verify_seconds: verifying.map(|time| time.seconds),
        multiplications,
        hashed_bytes,
        read_bytes,
    })
}

struct Time {
    seconds: f64,
    cpu_seconds: f64,
}

fn time(work: impl Fn()) -> Time {
    let (begun, cpu_begun) = (Instant::now(), usage::cpu_seconds());
    let (mut least, mut repetitions) = (f64::INFINITY, 0);
    while repetitions < REPETITIONS || begun.elapsed().as_secs_f64() < SECONDS {
        let start = Instant::now();
        work();
        least = least.min(start.elapsed().as_secs_f64());
        repetitions += 1;
    }
    Time { seconds: least, cpu_seconds: (usage::cpu_seconds() - cpu_begun) / f64::from(repetitions) }
}

fn report(measured: &[Measured], machine: &Machine) -> String {
    let mut text = format!(
        "{:<24}{:>10}{:>10}{:>24}{:>10}{:>10}{:>12}{:>10}{:>10}\n",
        "", "prove", "CPU", "throughput", "floor", "ratio", "peak memory", "verify", "bytes"
    );
    for m in measured {
        let (floor, ratio) = m.floor(machine);
        text += &format!(
            "{:<24}{:>10}{:>10}{:>24}{:>10}{:>10}{:>12}{:>10}{:>10}\n",
            m.primitive.to_string(),
            format::seconds(m.seconds),
            format::seconds(m.cpu_seconds),
            format!("{:.2e} {}/s", m.items as f64 / m.seconds, m.unit),
            format::seconds(floor),
            format!("{ratio:.1}"),
            format::bytes(m.peak_memory_bytes),
            m.verify_seconds.map_or_else(String::new, format::seconds),
            format::bytes(m.bytes),
        );
    }
    text += &match machine {
        Machine::Cpu(_) => format!("\n{}:\n", machine.explain("processor time")),
        Machine::Gpu(_) => format!("\nCPU and peak memory are the process's own. {}:\n", machine.explain("time")),
    };
    for m in measured {
        text += &format!("  {:<24}{}\n", m.primitive.to_string(), m.primitive.floor());
    }
    text
}

fn describe(m: &Measured, machine: &Machine) -> Result<Value> {
    let mut value = serde_json::to_value(m)?;
    let (floor, ratio) = m.floor(machine);
    value["itemsPerSecond"] = json!(m.items as f64 / m.seconds);
    value[machine.floor_key()] = json!(floor);
    value["ratioToFloor"] = json!(ratio);
    value["floor"] = json!(m.primitive.floor());
    Ok(value)
}
