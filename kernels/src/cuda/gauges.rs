//! What a GPU does, counted. Kernels are timed by two events in the stream around each launch, which are read in batches, when
//! something has waited for the stream anyway.

use crate::usage::{DeviceUsage, KernelUsage};
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{CudaEvent, CudaStream, DriverError, result};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Launches that are timed before the events of the first half are read: more than a driver's queue holds.
const MAX_PENDING: usize = 4096;

/// See the module.
#[derive(Debug, Default)]
pub struct Gauges {
    bytes_to_device: AtomicU64,
    bytes_from_device: AtomicU64,
    waits: AtomicU64,
    kernels: Mutex<Kernels>,
}

/// A kernel: its family, and its name.
pub type Kernel = (&'static str, &'static str);

#[derive(Debug, Default)]
struct Kernels {
    timed: bool,
    used: BTreeMap<Kernel, KernelUsage>,
    /// Launches whose time has not been read, in their order.
    pending: VecDeque<(Kernel, Span)>,
    spare: Vec<Span>,
}

/// The events before and after a launch.
type Span = [CudaEvent; 2];

impl Gauges {
    /// Times kernels from now on, or no longer.
    pub fn time_kernels(&self, timed: bool) {
        self.kernels().timed = timed;
    }

    /// Counts a launch, and times it if kernels are timed.
    pub fn launch<T>(
        &self,
        kernel: Kernel,
        stream: &CudaStream,
        launch: impl FnOnce() -> Result<T, DriverError>,
    ) -> Result<(), DriverError> {
        // Held until the second event is recorded: nothing else may come between the two.
        let mut kernels = self.kernels();
        kernels.used.entry(kernel).or_default().launches += 1;
        if !kernels.timed {
            return launch().map(drop);
        }
        let [begin, end] = match kernels.spare.pop() {
            Some(span) => span,
            None => {
                let event = || stream.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
                [event()?, event()?]
            }
        };
        begin.record(stream)?;
        launch()?;
        end.record(stream)?;
        kernels.pending.push_back((kernel, [begin, end]));
        if kernels.pending.len() == MAX_PENDING {
            kernels.pending[MAX_PENDING / 2 - 1].1[1].synchronize()?;
            return kernels.read(MAX_PENDING / 2);
        }
        Ok(())
    }

    /// Something has waited for all that was queued before.
    pub fn waited(&self) -> Result<(), DriverError> {
        self.waits.fetch_add(1, Ordering::Relaxed);
        self.kernels().read(usize::MAX)
    }

    /// This process waits for a copy, and not for what was queued before.
    pub fn stalled(&self) {
        self.waits.fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes go to the device.
    pub fn sent(&self, bytes: usize) {
        self.bytes_to_device.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// So many bytes come from it.
    pub fn received(&self, bytes: usize) {
        self.bytes_from_device.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// What was counted. Of kernels that nothing has waited for, the launches alone.
    pub fn usage(&self, peak_memory_bytes: u64) -> DeviceUsage {
        let mut kernels = BTreeMap::<_, KernelUsage>::new();
        for ((family, _), used) in self.by_kernel() {
            let sum = kernels.entry(family).or_default();
            sum.launches += used.launches;
            sum.seconds += used.seconds;
        }
        DeviceUsage {
            kernels,
            bytes_to_device: self.bytes_to_device.load(Ordering::Relaxed),
            bytes_from_device: self.bytes_from_device.load(Ordering::Relaxed),
            waits: self.waits.load(Ordering::Relaxed),
            peak_memory_bytes,
        }
    }

    /// The same, kernel by kernel.
    pub fn by_kernel(&self) -> BTreeMap<Kernel, KernelUsage> {
        self.kernels().used.clone()
    }

    fn kernels(&self) -> std::sync::MutexGuard<'_, Kernels> {
        self.kernels.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kernels {
    /// Adds up the first `count` launches that are pending, which have ended.
    fn read(&mut self, count: usize) -> Result<(), DriverError> {
        for _ in 0..count.min(self.pending.len()) {
            let Some((kernel, span)) = self.pending.pop_front() else { break };
            // SAFETY: both events are of this process, were recorded on one stream, and are not destroyed.
            let milliseconds = unsafe { result::event::elapsed(span[0].cu_event(), span[1].cu_event()) }?;
            self.used.entry(kernel).or_default().seconds += f64::from(milliseconds) / 1e3;
            self.spare.push(span);
        }
        Ok(())
    }
}
