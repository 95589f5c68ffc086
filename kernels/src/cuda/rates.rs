//! See `rates.cu`. What is measured here is timed by events in the stream, as every kernel is that is timed.

use super::device::Cuda;
use super::gauges::Kernel;
use super::gpu::Gpu;
use super::launch::{Grid, Pointer, THREADS};
use crate::bench::{Properties, Rates};
use crate::usage::KernelUsage;
use cudarc::driver::CudaSlice;
use cudarc::driver::sys::{CUdevice_attribute, cuDriverGetVersion};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// Each rate is the best of so many.
const REPETITIONS: usize = 5;
/// Operations go on for so many seconds, or so many steps.
const SECONDS: f64 = 2e-3;
const MAX_STEPS: u32 = 1 << 20;
/// A buffer is so many times as large as the cache.
const BEYOND_CACHE: usize = 16;
/// The factor of all chains: any with both halves full.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// Chains of a thread: see `rates.cu`.
const CHAINS: u64 = 8;
/// Products of bytes in one of matrices, by thread of the warp.
const BYTE_PRODUCTS: u64 = 16 * 8 * 32 / 32;
/// Bytes of a word of the kernel that copies.
const COPIED: usize = 16;

/// A kernel that repeats an operation, with how often a thread does in a step.
type Repeated = (fn(&Gpu, Grid, u64, u32, Pointer), u64);

/// More than the cache holds.
#[derive(Debug)]
pub struct Filling {
    memory: CudaSlice<u8>,
    out: CudaSlice<u32>,
}

impl Filling {
    /// How much memory it takes.
    pub fn bytes(&self) -> u64 {
        (self.memory.len() + size_of::<u32>() * self.out.len()) as u64
    }
}

impl Cuda {
    /// What the GPU is.
    pub fn properties(&self) -> Properties {
        let (gpu, context) = (self.gpu(), self.gpu().stream.context());
        let mut driver = 0;
        // SAFETY: the pointer is to a variable of the type that the driver writes.
        gpu.check("asking for the driver's version", unsafe { cuDriverGetVersion(&raw mut driver) }.result());
        let (major, minor) = gpu.check("asking for its capability", context.compute_capability());
        let (free, total) = gpu.check("asking for its memory", context.mem_get_info());
        Properties {
            name: gpu.name().into(),
            capability: format!("{major}.{minor}"),
            driver: format!("{}.{}", driver / 1000, driver % 1000 / 10),
            multiprocessors: gpu.processors,
            memory_bytes: total as u64,
            free_bytes: free as u64,
            cache_bytes: cache_bytes(gpu) as u64,
        }
    }

    /// Times kernels from now on. What they have done so far, once all that is queued is done.
    pub(crate) fn timed_kernels(&self) -> BTreeMap<Kernel, KernelUsage> {
        self.gpu().gauges.time_kernels(true);
        self.gpu().wait();
        self.gpu().gauges.by_kernel()
    }

    /// Memory for [`Self::fill_cache`].
    pub(crate) fn filling(&self) -> Filling {
        let gpu = self.gpu();
        let mut memory = gpu.allocate::<u8>(2 * cache_bytes(gpu));
        gpu.check("clearing memory", gpu.stream.memset_zeros(&mut memory));
        let out = gpu.allocate::<u32>(gpu.grid(usize::MAX).blocks as usize * THREADS as usize);
        Filling { memory, out }
    }

    /// Has the cache hold something else than what was written last, and nothing that is still to be written to memory.
    pub(crate) fn fill_cache(&self, with: &Filling) {
        let (gpu, words) = (self.gpu(), with.memory.len() / COPIED);
        gpu.read_memory(gpu.grid(words), gpu.pointer(&with.memory), words as u64, gpu.pointer(&with.out));
    }

    /// Counts the most memory allocated at one time anew.
    pub(crate) fn restart_peak_memory(&self) {
        self.gpu().restart_peak_memory();
    }

    /// Measures the rates, in some tenths of a second. Buffers are beyond the cache and not below `least_bytes`, as far as memory goes.
    pub fn rates(&self, least_bytes: usize) -> Rates {
        Rates {
            copied_bytes: self.copied_bytes(least_bytes),
            multiply_adds: self.operations((Gpu::multiply_adds, CHAINS)),
            multiplications: self.operations((Gpu::multiplications, CHAINS)),
            additions: self.operations((Gpu::additions, CHAINS)),
            compressions: self.operations((Gpu::compressions, 1)),
            byte_products: self.operations((Gpu::byte_products, CHAINS * BYTE_PRODUCTS)),
            launch_seconds: self.launch_seconds(),
        }
    }
}

impl Cuda {
    /// Seconds that kernels run in `work`: the least of its repetitions, after one that loads them.
    fn seconds(&self, work: impl Fn()) -> f64 {
        work();
        let once = || {
            let sum = |kernels: BTreeMap<Kernel, KernelUsage>| kernels.values().map(|used| used.seconds).sum::<f64>();
            let before = sum(self.timed_kernels());
            work();
            sum(self.timed_kernels()) - before
        };
        (0..REPETITIONS).map(|_| once()).fold(f64::INFINITY, f64::min)
    }

    /// The better of the driver's copy and of the kernel's.
    fn copied_bytes(&self, least_bytes: usize) -> f64 {
        let gpu = self.gpu();
        let (free, _) = gpu.check("asking for its memory", gpu.stream.context().mem_get_info());
        let bytes = least_bytes.max(BEYOND_CACHE * cache_bytes(gpu)).min(free / 4).max(COPIED) / COPIED * COPIED;
        let (mut from, to) = (gpu.allocate::<u8>(bytes), RefCell::new(gpu.allocate::<u8>(bytes)));
        gpu.check("clearing memory", gpu.stream.memset_zeros(&mut from));
        let by_driver = || {
            let copy = || gpu.stream.memcpy_dtod(&from, &mut *to.borrow_mut());
            gpu.check("copying in it", gpu.gauges.launch(("rates", "copy"), &gpu.stream, copy));
        };
        let words = bytes / COPIED;
        let by_kernel =
            || gpu.copy_memory(gpu.grid(words), gpu.pointer(&from), words as u64, gpu.pointer(&*to.borrow()));
        let seconds = self.seconds(by_driver).min(self.seconds(by_kernel));
        2.0 * bytes as f64 / seconds
    }

    /// A block that takes no steps.
    fn launch_seconds(&self) -> f64 {
        let (gpu, grid) = (self.gpu(), Grid { blocks: 1, rows: 1 });
        let out = gpu.allocate::<u64>(THREADS as usize);
        self.seconds(|| gpu.additions(grid, FACTOR, 0, gpu.pointer(&out)))
    }

    /// Operations of all threads in a second; as many steps as make the kernel's time long beside that of a launch.
    fn operations(&self, (kernel, each): Repeated) -> f64 {
        let gpu = self.gpu();
        let grid = gpu.grid(usize::MAX);
        let threads = u64::from(grid.blocks) * u64::from(THREADS);
        let out = gpu.allocate::<u64>(threads as usize);
        let mut steps = 64;
        loop {
            let seconds = self.seconds(|| kernel(gpu, grid, FACTOR, steps, gpu.pointer(&out)));
            if seconds >= SECONDS || steps >= MAX_STEPS {
                return (threads * each * u64::from(steps)) as f64 / seconds;
            }
            // As many more as are missing, and a few.
            steps = (f64::from(steps) * (1.25 * SECONDS / seconds).clamp(2.0, 64.0)) as u32;
        }
    }
}

fn cache_bytes(gpu: &Gpu) -> usize {
    let attribute = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE;
    gpu.check("asking for its cache", gpu.stream.context().attribute(attribute)).max(0) as usize
}
