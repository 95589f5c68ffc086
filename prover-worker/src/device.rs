//! Which device a stage computes on.

use crds::{Device, contract::Processor};
use kernels::{Cuda, DeviceError};

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

    /// Its name in a result record.
    pub fn name(&self) -> &str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda(cuda) => cuda.name(),
        }
    }
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
