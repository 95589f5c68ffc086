//! What a machine does at best, measured in the same run: of the CPU for a second of processor time, of a GPU for a second.

use anyhow::Result;
use kernels::{
    Cuda,
    bench::{self, Properties},
    floor::{Rates, Work},
};
use prover_worker::{Opened, usage};
use serde_json::{Value, json};

use crate::format;

/// A device, and its rates.
pub enum Machine {
    /// The processor.
    Cpu(Rates),
    /// An NVIDIA GPU.
    Gpu(Box<(Properties, bench::Rates)>),
}

impl Machine {
    /// Measures a device, for about a second.
    pub fn measure(opened: &Opened) -> Result<Self> {
        Ok(match opened {
            Opened::Cpu => Self::Cpu(Rates::measure(usage::cpu_seconds)),
            Opened::Cuda(cuda) => Self::Gpu(Box::new(Self::measure_gpu(cuda)?)),
        })
    }

    /// Measures a GPU.
    pub fn measure_gpu(cuda: &Cuda) -> Result<(Properties, bench::Rates)> {
        Ok(kernels::attempt(|| (cuda.properties(), cuda.rates(COPIED_BYTES)))?)
    }

    /// Its name in a result record.
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu(_) => "cpu",
            Self::Gpu(gpu) => &gpu.0.name,
        }
    }

    /// Seconds that work takes at least: of processor time, or of the GPU.
    pub fn floor(&self, work: &Work) -> f64 {
        match self {
            Self::Cpu(rates) => rates.floor(work),
            Self::Gpu(gpu) => gpu.1.floor_of(work),
        }
    }

    /// What the floor is, of which `spent` is so many times as much.
    pub fn explain(&self, spent: &str) -> String {
        match self {
            Self::Cpu(rates) => format!(
                "The ratio is {spent} over the floor: what cannot be avoided, at this machine's rates for a second of processor\n\
                 time ({:.2e} multiplications in the base field, {} hashed, {} read)",
                rates.multiplications,
                format::bytes(rates.hashed_bytes as u64),
                format::bytes(rates.read_bytes as u64)
            ),
            Self::Gpu(gpu) => format!(
                "The ratio is {spent} over the floor: what cannot be avoided, at the rates of {} for a second\n\
                 ({:.2e} multiply-adds, of which a multiplication in the base field takes four, {:.2e} compressions, {} copied)",
                gpu.0.name,
                gpu.1.multiply_adds,
                gpu.1.compressions,
                format::bytes(gpu.1.copied_bytes as u64)
            ),
        }
    }

    /// A GPU as JSON.
    pub fn describe_gpu(properties: &Properties) -> Value {
        json!({
            "gpu": properties.name,
            "computeCapability": properties.capability,
            "cudaOfDriver": properties.driver,
            "multiprocessors": properties.multiprocessors,
            "memoryBytes": properties.memory_bytes,
            "cacheBytes": properties.cache_bytes,
        })
    }

    /// The key of a floor in JSON.
    pub const fn floor_key(&self) -> &'static str {
        match self {
            Self::Cpu(_) => "floorCpuSeconds",
            Self::Gpu(_) => "floorGpuSeconds",
        }
    }

    /// As JSON.
    pub fn describe(&self) -> Value {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        match self {
            Self::Cpu(rates) => json!({
                "cores": cores,
                "multiplicationsPerCpuSecond": rates.multiplications,
                "hashedBytesPerCpuSecond": rates.hashed_bytes,
                "readBytesPerCpuSecond": rates.read_bytes,
            }),
            Self::Gpu(gpu) => {
                let (properties, rates) = gpu.as_ref();
                let mut described = Self::describe_gpu(properties);
                described["cores"] = json!(cores);
                let rates = [
                    ("copiedBytesPerSecond", rates.copied_bytes),
                    ("multiplyAddsPerSecond", rates.multiply_adds),
                    ("multiplicationsPerSecond", rates.multiplications),
                    ("additionsPerSecond", rates.additions),
                    ("compressionsPerSecond", rates.compressions),
                    ("byteProductsPerSecond", rates.byte_products),
                    ("launchSeconds", rates.launch_seconds),
                ];
                rates.into_iter().for_each(|(key, rate)| described[key] = json!(rate));
                described
            }
        }
    }
}

/// A buffer that is copied has so many bytes, more where the cache is large, less where memory is scarce.
const COPIED_BYTES: usize = 64 << 20;
