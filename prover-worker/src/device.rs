//! Which device a stage computes on.

use crds::{
    Device,
    contract::{GpuUsage, Processor},
};
use kernels::{Cuda, DeviceError};

use crate::usage;

/// `off`: a worker does not time its kernels, and its record says nothing of their time.
const KERNEL_TIMES: &str = "PROOFMILL_KERNEL_TIMES";

/// A device that is there.
#[derive(Debug)]
pub enum Opened {
    /// The processor.
    Cpu,
    /// An NVIDIA GPU.
    Cuda(Box<Cuda>),
}

impl Opened {
    /// Opens a device. `auto` without a GPU is the CPU, and says so.
    ///
    /// # Errors
    /// If a GPU is asked for by name and cannot be used.
    pub fn new(processor: Processor) -> Result<Self, DeviceError> {
        let open = |number| Cuda::open(number).map(|cuda| Self::Cuda(Box::new(cuda)));
        match processor {
            Processor::Cpu => Ok(Self::Cpu),
            Processor::Cuda(number) => open(number.into()),
            Processor::Auto => Ok(open(0).unwrap_or_else(|reason| {
                eprintln!("computing on the CPU: {reason}");
                Self::Cpu
            })),
        }
    }

    /// Opens a device and times its kernels, unless the environment says otherwise.
    pub(crate) fn timed(processor: Processor) -> Result<Self, DeviceError> {
        Ok(match Self::new(processor)? {
            Self::Cuda(cuda) if times_kernels() => Self::Cuda(Box::new(cuda.with_kernel_times())),
            opened => opened,
        })
    }

    /// The GPU, if it is one.
    pub fn cuda(&self) -> Option<&Cuda> {
        match self {
            Self::Cpu => None,
            Self::Cuda(cuda) => Some(cuda),
        }
    }

    /// What a GPU opened by [`Self::timed`] has done.
    pub(crate) fn gpu_usage(&self) -> Option<GpuUsage> {
        self.cuda().map(|cuda| usage::of_gpu(&cuda.usage(), times_kernels()))
    }

    /// Bytes of memory that a model which stays loaded may take for what it could also compute anew: what the processor's machine or container
    /// has free. A GPU tells when it has none, and then goes on without.
    pub fn room(&self) -> u64 {
        match self {
            Self::Cpu => usage::available_memory_bytes(),
            Self::Cuda(_) => u64::MAX,
        }
    }

    /// Its name in a result record.
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda(cuda) => cuda.name(),
        }
    }
}

fn times_kernels() -> bool {
    std::env::var_os(KERNEL_TIMES).is_none_or(|word| word != "off")
}

/// Whether this machine has the device that a job asks for.
///
/// # Errors
/// What is missing, and what to write instead.
pub fn check_device(device: Device) -> Result<(), String> {
    match device {
        Device::Auto | Device::Cpu => Ok(()),
        Device::Gpu => match Opened::new(device.into()) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("spec.device is Gpu: {error}; use Auto or Cpu")),
        },
    }
}
