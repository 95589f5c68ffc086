//! Copies of what is large, through page-locked memory: to the device in a stream of their own, beside the kernels; from it in the kernels'.
//! Where the system refuses such memory, the driver copies as it does without.

use super::gauges::Gauges;
use cudarc::driver::{
    CudaContext, CudaEvent, CudaSlice, CudaStream, CudaView, CudaViewMut, DriverError, PinnedHostSlice,
};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Fewest bytes that are large. The driver copies up to so many without waiting for them.
pub const LARGE: usize = (64 << 10) + 1;
/// Buffers: one is filled while another is copied.
const BUFFERS: usize = 2;
/// Bytes of each.
const BUFFER: usize = 4 << 20;

/// See the module.
#[derive(Debug)]
pub struct Staging {
    /// Of copies to the device.
    pub stream: Arc<CudaStream>,
    buffers: Mutex<Buffers>,
}

/// Page-locked memory, taken in turn.
#[derive(Debug, Default)]
struct Buffers {
    all: VecDeque<Buffer>,
    is_refused: bool,
}

#[derive(Debug)]
struct Buffer {
    memory: PinnedHostSlice<u8>,
    /// Of the last copy from it or to it.
    copied: CudaEvent,
}

/// Memory that a copy may be on its way to. The stream that it is freed in, and used in, waits for the copy first.
#[derive(Debug)]
pub struct Arriving<T> {
    memory: Option<CudaSlice<T>>,
    copied: Option<CudaEvent>,
}

impl<T> Arriving<T> {
    /// Memory, with the copy to it.
    pub const fn new(memory: CudaSlice<T>, copied: Option<CudaEvent>) -> Self {
        Self { memory: Some(memory), copied }
    }

    /// The memory for what is queued from now on.
    pub fn arrived(mut self) -> Result<CudaSlice<T>, DriverError> {
        self.wait()?;
        Ok(self.memory.take().expect("it is there until here"))
    }

    /// The memory, whatever is in it.
    #[cfg(test)]
    pub fn unawaited(mut self) -> CudaSlice<T> {
        self.copied = None;
        self.memory.take().expect("it is there until here")
    }

    fn wait(&mut self) -> Result<(), DriverError> {
        match (&self.memory, self.copied.take()) {
            (Some(memory), Some(copied)) => memory.stream().wait(&copied),
            _ => Ok(()),
        }
    }

    /// Bytes of it.
    pub fn num_bytes(&self) -> usize {
        self.memory.as_ref().map_or(0, CudaSlice::num_bytes)
    }
}

impl<T> Drop for Arriving<T> {
    fn drop(&mut self) {
        let waited = self.wait();
        if let Some(memory) = &self.memory {
            memory.stream().context().record_err(waited);
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What is copied is there until then.
        self.stream.context().record_err(self.stream.synchronize());
    }
}

impl Staging {
    /// Makes the stream. Memory is page-locked when it is first needed.
    pub fn new(context: &Arc<CudaContext>) -> Result<Self, DriverError> {
        Ok(Self { stream: context.new_stream()?, buffers: Mutex::default() })
    }

    /// Whether there is page-locked memory.
    pub fn is_there(&self) -> bool {
        !self.buffers().all.is_empty()
    }

    /// Copies to the device; returns when all is in page-locked memory. The event is recorded when it is on the device.
    pub fn send(&self, values: &[u8], to: &mut CudaViewMut<u8>, gauges: &Gauges) -> Result<CudaEvent, DriverError> {
        let mut buffers = self.buffers();
        for (index, chunk) in values.chunks(BUFFER).enumerate() {
            let buffer = buffers.next(gauges)?;
            let page_locked = &mut buffer.memory.as_mut_slice()?[..chunk.len()];
            page_locked.copy_from_slice(chunk);
            let start = index * BUFFER;
            self.stream.memcpy_htod(page_locked, &mut to.slice_mut(start..start + chunk.len()))?;
            buffer.copied.record(&self.stream)?;
        }
        self.stream.record_event(None)
    }

    /// Copies from the device what is there once the stream has come that far, and waits for it.
    pub fn receive(
        &self,
        from: &CudaView<u8>,
        values: &mut [u8],
        stream: &Arc<CudaStream>,
        gauges: &Gauges,
    ) -> Result<(), DriverError> {
        let mut buffers = self.buffers();
        let mut next = 0;
        let mut under_way: VecDeque<Range<usize>> = VecDeque::with_capacity(BUFFERS);
        while next < values.len() || !under_way.is_empty() {
            while next < values.len() && under_way.len() < BUFFERS {
                let chunk = next..values.len().min(next + BUFFER);
                let buffer = buffers.next(gauges)?;
                stream.memcpy_dtoh(&from.slice(chunk.clone()), &mut buffer.memory.as_mut_slice()?[..chunk.len()])?;
                buffer.copied.record(stream)?;
                next = chunk.end;
                under_way.push_back(chunk);
            }
            let oldest = &buffers.all[BUFFERS - under_way.len()];
            if let Some(chunk) = under_way.pop_front() {
                oldest.copied.synchronize()?;
                let len = chunk.len();
                values[chunk].copy_from_slice(&oldest.memory.as_slice()?[..len]);
            }
        }
        Ok(())
    }

    /// The buffers, made by now unless they are refused.
    fn buffers(&self) -> MutexGuard<'_, Buffers> {
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.all.is_empty() && !buffers.is_refused {
            let made = (0..BUFFERS).map(|_| Buffer::new(self.stream.context())).collect::<Result<_, _>>();
            buffers.is_refused = made.is_err();
            buffers.all = made.unwrap_or_default();
        }
        buffers
    }
}

impl Buffers {
    /// The one that was taken longest ago, once the copy of what is in it has ended.
    fn next(&mut self, gauges: &Gauges) -> Result<&mut Buffer, DriverError> {
        self.all.rotate_left(1);
        let last = self.all.len() - 1;
        let buffer = &mut self.all[last];
        if !buffer.copied.try_is_complete()? {
            gauges.stalled();
            buffer.copied.synchronize()?;
        }
        Ok(buffer)
    }
}

impl Buffer {
    fn new(context: &Arc<CudaContext>) -> Result<Self, DriverError> {
        // SAFETY: what is read of it was written before: by this process, or by a copy that it has waited for.
        let memory = unsafe { context.alloc_pinned_with_flags(BUFFER, 0) }?;
        Ok(Self { memory, copied: context.new_event(None)? })
    }
}
