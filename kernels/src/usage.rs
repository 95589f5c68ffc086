//! What a GPU has done.

use std::collections::BTreeMap;

/// What a GPU has done for this process since it was opened.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DeviceUsage {
    /// Kernels by family: the name of the file in `kernels/cuda` that has them.
    pub kernels: BTreeMap<&'static str, KernelUsage>,
    /// Bytes that were copied to the device.
    pub bytes_to_device: u64,
    /// Bytes that were copied from it.
    pub bytes_from_device: u64,
    /// How often this process waited for it.
    pub waits: u64,
    /// Most bytes of its memory that were allocated at one time.
    pub peak_memory_bytes: u64,
}

/// What the kernels of a family have done.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KernelUsage {
    /// How often one was launched.
    pub launches: u64,
    /// Seconds that they ran; 0 where kernels are not timed.
    pub seconds: f64,
}

impl DeviceUsage {
    /// Seconds that kernels ran.
    pub fn seconds(&self) -> f64 {
        // The sum of none would be -0.
        self.kernels.values().fold(0.0, |sum, kernel| sum + kernel.seconds)
    }
}
