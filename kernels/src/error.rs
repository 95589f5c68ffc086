//! Why a device cannot be used, and how one that fails in the middle of its work says so.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use thiserror::Error;

/// Why a device cannot be used, or has failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum DeviceError {
    /// The machine has no driver.
    #[error("there is no NVIDIA driver on this machine: libcuda cannot be loaded")]
    NoDriver,
    /// The driver is too old.
    #[error("the NVIDIA driver is of CUDA {}.{}, and 12.0 or later is needed: update it", .0 / 1000, .0 % 1000 / 10)]
    OldDriver(i32),
    /// The driver shows fewer GPUs.
    #[error("there is no GPU {ordinal}: the driver shows {count}")]
    NoGpu {
        /// Asked for.
        ordinal: usize,
        /// There are so many.
        count: usize,
    },
    /// No image of the kernels runs there.
    #[error("{gpu} has compute capability {}.{}, and there are kernels from 8.0 on", .capability.0, .capability.1)]
    NoImage {
        /// Which.
        gpu: String,
        /// Of it.
        capability: (i32, i32),
    },
    /// The device is out of memory.
    #[error(
        "{gpu} is out of memory: {asked} bytes were asked for, {free} of {total} are free; cut the model into more subgraphs"
    )]
    Memory {
        /// Which.
        gpu: String,
        /// Asked for.
        asked: usize,
        /// Free when they were.
        free: usize,
        /// In all.
        total: usize,
    },
    /// The host has no room for what the device has no room for.
    #[error(
        "out of memory: {asked} bytes were asked for on the host, for what {gpu} has no room for; cut the model into more subgraphs"
    )]
    HostMemory {
        /// Which.
        gpu: String,
        /// Asked for.
        asked: usize,
    },
    /// The device and the host draw different challenges from the same messages.
    #[error("{gpu} computes wrongly: its transcript is not the host's; see what nvidia-smi says of its memory")]
    Wrong {
        /// Which.
        gpu: String,
    },
    /// Something larger than the kernels are made for.
    #[error("{0}")]
    Limit(String),
    /// The driver reports an error; nothing that the process has on the device can be used any more.
    #[error("{gpu}: {during}: {error}")]
    Driver {
        /// Which.
        gpu: String,
        /// What was being done.
        during: String,
        /// The driver's word for it.
        error: String,
    },
}

impl DeviceError {
    /// Whether another process may succeed: a device may be free again by then.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Memory { .. } | Self::HostMemory { .. } | Self::Driver { .. } | Self::Wrong { .. })
    }

    /// Gives the work up, up to the [`attempt`] around it.
    pub(crate) fn give_up(self) -> ! {
        resume_unwind(Box::new(self))
    }
}

/// Runs work on a device, whose loops have no results of their own for its failure: they unwind.
///
/// # Errors
/// If the device fails.
pub fn attempt<T>(work: impl FnOnce() -> T) -> Result<T, DeviceError> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| match panic.downcast::<DeviceError>() {
        Ok(error) => *error,
        Err(panic) => resume_unwind(panic),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_of_the_device_are_errors_and_other_panics_stay_panics() {
        assert_eq!(attempt(|| 5), Ok(5));
        assert_eq!(attempt(|| DeviceError::NoDriver.give_up()), Err::<(), _>(DeviceError::NoDriver));
        let other = catch_unwind(|| attempt(|| resume_unwind(Box::new("other")))).unwrap_err();
        assert_eq!(*other.downcast::<&str>().unwrap(), "other");
    }
}
