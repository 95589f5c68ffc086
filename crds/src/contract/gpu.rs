//! What a process did on a GPU, as its result record says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::record::{RecordError, is_plausible};

/// The families of kernels: the files of `kernels/cuda`. Whoever counts by family counts any other as [`OTHER_KERNELS`].
pub const KERNEL_FAMILIES: &[&str] = &[
    "affine",
    "contract",
    "einsum",
    "encode",
    "fractions",
    "hash",
    "integers",
    "lookup",
    "product",
    "quadratic",
    "rates",
    "rows",
    "sums",
    "tensor",
    "weights",
];

/// A family of another version.
pub const OTHER_KERNELS: &str = "other";

/// Most families in a record.
const FAMILIES_MAX: usize = 32;
/// More than a process can have launched or waited for, and more bytes than it can have moved or held.
const COUNT_MAX: u64 = 1 << 50;

/// What a process did on a GPU.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GpuUsage {
    /// Seconds that kernels ran; absent where they were not timed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<f64>,
    /// The same by family of kernels, as far as the record has room.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kernels: BTreeMap<String, f64>,
    /// How many kernels were launched.
    pub launches: u64,
    /// How often the process waited for the GPU.
    pub waits: u64,
    /// Bytes copied to the GPU.
    pub bytes_to_device: u64,
    /// Bytes copied from it.
    pub bytes_from_device: u64,
    /// Most bytes of its memory that were allocated at one time.
    pub peak_memory_bytes: u64,
}

impl GpuUsage {
    /// Whether a process can have done this.
    ///
    /// # Errors
    /// Names what is out of range.
    pub(super) fn check(&self) -> Result<(), RecordError> {
        let seconds = self.seconds.iter().chain(self.kernels.values());
        let counts = [self.launches, self.waits, self.bytes_to_device, self.bytes_from_device, self.peak_memory_bytes];
        let is_well = self.kernels.len() <= FAMILIES_MAX
            && seconds.copied().all(is_plausible)
            && counts.into_iter().all(|count| count <= COUNT_MAX);
        if is_well { Ok(()) } else { Err(RecordError::OutOfRange("usage.gpu")) }
    }
}
