//! One GPU: its driver, its streams and its memory.

use super::evict::{Cost, Evictables};
use super::gauges::Gauges;
use super::images::{OLDEST, choose, of_module};
use super::staging::{Arriving, LARGE, Staging};
use crate::error::DeviceError;
use crate::usage::DeviceUsage;
use cudarc::driver::sys::{self, CUdevice_attribute, CUmemPool_attribute, CUmemoryPool, CUresult};
use cudarc::driver::{CudaContext, CudaFunction, CudaModule, CudaSlice, CudaStream, DeviceRepr, DriverError};
use cudarc::nvrtc::Ptx;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The oldest driver, as the driver counts.
const OLDEST_DRIVER: i32 = 12_000;

/// The part of all memory that is made free at least where copies have to go: what is asked for next is likely to find room, without
/// a wait of its own.
const LEAST_EVICTED: usize = 32;

/// The part of all memory that is worth moving to the host.
const LEAST_MOVED: usize = 1 << 16;

/// See the module.
#[derive(Debug)]
pub struct Gpu {
    name: String,
    context: Arc<CudaContext>,
    pub(super) stream: Arc<CudaStream>,
    staging: Staging,
    capability: (i32, i32),
    /// Bytes in all.
    memory: usize,
    /// Multiprocessors.
    pub(super) processors: u32,
    pub(super) gauges: Gauges,
    /// Bytes of free memory that it counts on.
    pub(super) most_room: usize,
    pub(super) evictables: Evictables,
    /// Fewest bytes that are moved to the host.
    pub(super) least_moved: usize,
    /// Whether every allocation finds memory short.
    #[cfg(feature = "emulator")]
    pub(super) is_short: bool,
    modules: Mutex<HashMap<&'static str, Arc<CudaModule>>>,
    functions: Mutex<HashMap<&'static str, CudaFunction>>,
}

impl Gpu {
    /// Opens the GPU of this number.
    pub fn open(ordinal: usize) -> Result<Self, DeviceError> {
        let label = format!("GPU {ordinal}");
        let failed = |during: &str| {
            let (gpu, during) = (label.clone(), during.to_owned());
            move |error: DriverError| DeviceError::Driver { gpu, during, error: word(error) }
        };
        // SAFETY: loads the driver's library, whose initialisers are the driver's own. Every other call needs it.
        if !unsafe { sys::is_culib_present() } {
            return Err(DeviceError::NoDriver);
        }
        let mut version = 0;
        // SAFETY: the pointer is to a variable of the type that the driver writes.
        unsafe { sys::cuDriverGetVersion(&raw mut version) }
            .result()
            .map_err(failed("asking for the driver's version"))?;
        if version < OLDEST_DRIVER {
            return Err(DeviceError::OldDriver(version));
        }
        let count = match CudaContext::device_count() {
            Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE)) => 0,
            count => count.map_err(failed("counting GPUs"))? as usize,
        };
        if ordinal >= count {
            return Err(DeviceError::NoGpu { ordinal, count });
        }
        let context = CudaContext::new(ordinal).map_err(failed("opening it"))?;
        // SAFETY: memory is used and freed in one stream, which waits for the copies to it that are in another.
        unsafe { context.disable_event_tracking() };
        let name = format!("{label} ({})", context.name().map_err(failed("asking for its name"))?);
        let capability = context.compute_capability().map_err(failed("asking for its capability"))?;
        if capability < OLDEST {
            return Err(DeviceError::NoImage { gpu: name, capability });
        }
        let processors = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let processors = context.attribute(processors).map_err(failed("counting its multiprocessors"))?.max(1) as u32;
        let memory = context.total_mem().map_err(failed("asking for its memory"))?;
        let stream = context.new_stream().map_err(failed("making a stream"))?;
        let staging = Staging::new(&context).map_err(failed("making a stream"))?;
        keep_memory(&context).map_err(failed("setting up its memory pool"))?;
        let (gauges, evictables, modules, functions) = Default::default();
        Ok(Self {
            #[cfg(feature = "emulator")]
            is_short: false,
            name,
            context,
            stream,
            staging,
            capability,
            memory,
            processors,
            gauges,
            most_room: usize::MAX,
            evictables,
            least_moved: memory / LEAST_MOVED,
            modules,
            functions,
        })
    }

    /// Number and name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A kernel; its module is loaded on first use.
    pub fn function(&self, module: &'static str, kernel: &'static str) -> CudaFunction {
        let mut functions = self.functions.lock().unwrap_or_else(PoisonError::into_inner);
        functions.entry(kernel).or_insert_with(|| self.check(kernel, self.module(module).load_function(kernel))).clone()
    }

    fn module(&self, name: &'static str) -> Arc<CudaModule> {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let load = || {
            let Some(image) = choose(of_module(name), self.capability) else {
                DeviceError::NoImage { gpu: self.name.clone(), capability: self.capability }.give_up()
            };
            self.check(name, self.context.load_module(Ptx::from_binary(image.bytes())))
        };
        modules.entry(name).or_insert_with(load).clone()
    }

    /// Memory for so many words, holding anything; at least one, for the driver gives none for nothing.
    pub fn allocate<T: DeviceRepr>(&self, len: usize) -> CudaSlice<T> {
        self.try_allocate(&self.stream, len).unwrap_or_else(|| self.is_out_of_memory(len * size_of::<T>()))
    }

    /// The same for what a stream does first, or nothing where everything that can go is gone and there is no room still.
    fn try_allocate<T: DeviceRepr>(&self, stream: &Arc<CudaStream>, len: usize) -> Option<CudaSlice<T>> {
        #[cfg(feature = "emulator")]
        if self.is_short {
            self.evictables.evict(self, usize::MAX, Cost::TwoCopies, u64::MAX);
        }
        let mut memory = self.allocate_if_room(stream, len);
        while memory.is_none() {
            // What was freed is there for anything else once the stream has come that far and the pool has given it back.
            self.wait();
            self.give_back();
            memory = self.allocate_if_room(stream, len);
            if memory.is_none() {
                let (free, _) = self.check("asking for its free memory", self.context.mem_get_info());
                let missing = (len * size_of::<T>()).saturating_sub(free).max(self.memory / LEAST_EVICTED);
                if self.evictables.evict(self, missing, Cost::TwoCopies, u64::MAX) == 0 {
                    break;
                }
            }
        }
        memory
    }

    /// The same, or nothing where the driver has no room.
    fn allocate_if_room<T: DeviceRepr>(&self, stream: &Arc<CudaStream>, len: usize) -> Option<CudaSlice<T>> {
        let len = len.max(1);
        // SAFETY: every caller has all of it written before it is read; words are integers, of which all are valid.
        match unsafe { stream.alloc::<T>(len) } {
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => None,
            allocated => {
                let address = self.check("allocating memory", allocated).leak();
                // SAFETY: it has this length, and nobody else has it. It is freed in the stream of the kernels, which waits for
                // what another stream does with it.
                Some(unsafe { self.stream.upgrade_device_ptr(address, len) })
            }
        }
    }

    /// Bytes that can be allocated: those that are free, those that its pool has kept, and those of what can go at no more than some
    /// cost, if at any. If that is not enough, once all that is queued is done, which may free some.
    pub fn room(&self, enough: usize, most: Option<Cost>) -> usize {
        let room = || {
            let (free, _) = self.check("asking for its free memory", self.context.mem_get_info());
            let in_pool =
                |attribute| self.check("asking for its memory pool", pool_bytes(&self.context, attribute)) as usize;
            let kept = in_pool(CUmemPool_attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT);
            let used = in_pool(CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT);
            let idle = most.map_or(0, |most| self.evictables.idle_bytes(most));
            (free + kept.saturating_sub(used) + idle).min(self.most_room)
        };
        match room() {
            found if found >= enough => found,
            _ => {
                self.wait();
                room()
            }
        }
    }

    /// Has the driver's pool keep nothing but what is allocated.
    pub fn give_back(&self) {
        self.check("giving memory back", give_back(&self.context));
    }

    /// Gives up for want of so many bytes.
    pub fn is_out_of_memory(&self, asked: usize) -> ! {
        let (free, total) = self.context.mem_get_info().unwrap_or_default();
        DeviceError::Memory { gpu: self.name.clone(), asked, free, total }.give_up()
    }

    /// Copies to the device.
    pub fn upload<T: DeviceRepr>(&self, values: &[T]) -> CudaSlice<T> {
        self.arrived(self.try_send(values).unwrap_or_else(|| self.is_out_of_memory(size_of_val(values))))
    }

    /// What was sent, for what is queued from now on.
    pub fn arrived<T>(&self, sent: Arriving<T>) -> CudaSlice<T> {
        self.check("copying to it", sent.arrived())
    }

    /// Begins to copy to the device, unless everything that can go is gone and there is no room still.
    pub fn try_send<T: DeviceRepr>(&self, values: &[T]) -> Option<Arriving<T>> {
        self.try_allocate(self.sends(values), values.len()).map(|memory| self.sent(values, memory))
    }

    /// Begins to copy to the device, unless the driver has no room.
    pub fn send_if_room<T: DeviceRepr>(&self, values: &[T]) -> Option<Arriving<T>> {
        self.allocate_if_room(self.sends(values), values.len()).map(|memory| self.sent(values, memory))
    }

    /// The stream that values are copied in.
    fn sends<T>(&self, values: &[T]) -> &Arc<CudaStream> {
        if self.is_staged(size_of_val(values)) { &self.staging.stream } else { &self.stream }
    }

    fn is_staged(&self, bytes: usize) -> bool {
        bytes >= LARGE && self.staging.is_there()
    }

    fn sent<T: DeviceRepr>(&self, values: &[T], mut memory: CudaSlice<T>) -> Arriving<T> {
        let bytes = size_of_val(values);
        self.gauges.sent(bytes);
        let copied = if self.is_staged(bytes) {
            // SAFETY: integers are bytes without padding between them, and as many as this.
            let values = unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), bytes) };
            // SAFETY: as above.
            let to = unsafe { memory.transmute_mut(bytes) };
            to.map(|mut to| self.staging.send(values, &mut to, &self.gauges)).transpose()
        } else if bytes > 0 {
            self.stream.memcpy_htod(values, &mut memory).map(|()| None)
        } else {
            Ok(None)
        };
        Arriving::new(memory, self.check("copying to it", copied))
    }

    /// Copies the first `len` from the device, once all that is queued is done.
    pub fn download<T: DeviceRepr + Clone + Default>(&self, memory: &CudaSlice<T>, len: usize) -> Vec<T> {
        let mut values = vec![T::default(); len];
        self.download_to(memory, &mut values);
        values
    }

    /// The same to where they are to go, as many as there is room for there.
    pub fn download_to<T: DeviceRepr>(&self, memory: &CudaSlice<T>, values: &mut [T]) {
        let bytes = size_of_val(values);
        if bytes == 0 {
            return;
        }
        self.gauges.received(bytes);
        let copied = if self.is_staged(bytes) {
            // SAFETY: integers are bytes without padding between them, as many as this, of which all are valid.
            let values = unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), bytes) };
            // SAFETY: as above.
            let from = unsafe { memory.transmute(bytes) };
            from.map_or(Ok(()), |from| self.staging.receive(&from, values, &self.stream, &self.gauges))
        } else {
            self.stream.memcpy_dtoh(&memory.slice(..values.len()), values)
        };
        self.check("copying from it", copied);
        self.wait();
    }

    /// Waits for all that is queued.
    pub fn wait(&self) {
        self.check("its kernels", self.stream.synchronize().and_then(|()| self.gauges.waited()));
        self.evictables.freed();
    }

    /// What it has done so far. Of one that has failed, what was counted before.
    pub fn usage(&self) -> DeviceUsage {
        let waited = self.stream.synchronize().and_then(|()| self.gauges.waited());
        let peak = CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
        self.gauges.usage(waited.and_then(|()| pool_bytes(&self.context, peak)).unwrap_or_default())
    }

    /// Counts the most memory allocated at one time anew, from what is allocated once all that is queued is done.
    pub fn restart_peak_memory(&self) {
        self.wait();
        self.check("setting up its memory pool", restart_peak_memory(&self.context));
    }

    /// Gives up if the driver reports an error.
    pub fn check<T>(&self, during: &str, result: Result<T, DriverError>) -> T {
        result.unwrap_or_else(|error| {
            DeviceError::Driver { gpu: self.name.clone(), during: during.into(), error: word(error) }.give_up()
        })
    }
}

/// Has the driver keep memory that is freed: the next allocation is likely to be as large.
fn keep_memory(context: &CudaContext) -> Result<(), DriverError> {
    let mut threshold = u64::MAX;
    let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
    // SAFETY: the pool is the device's, and the pointer is to a variable of the type that the driver reads.
    unsafe { sys::cuMemPoolSetAttribute(pool(context)?, attribute, (&raw mut threshold).cast()).result() }
}

/// Has the driver's pool keep nothing but what is allocated.
fn give_back(context: &CudaContext) -> Result<(), DriverError> {
    // SAFETY: the pool is the device's.
    unsafe { sys::cuMemPoolTrimTo(pool(context)?, 0).result() }
}

/// A number of bytes that the pool keeps.
fn pool_bytes(context: &CudaContext, attribute: CUmemPool_attribute) -> Result<u64, DriverError> {
    let mut bytes = 0u64;
    // SAFETY: the pool is the device's, and the pointer is to a variable of the type that the driver writes.
    unsafe { sys::cuMemPoolGetAttribute(pool(context)?, attribute, (&raw mut bytes).cast()).result() }?;
    Ok(bytes)
}

/// Has the driver count that anew.
fn restart_peak_memory(context: &CudaContext) -> Result<(), DriverError> {
    let mut zero = 0u64;
    let attribute = CUmemPool_attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH;
    // SAFETY: the pool is the device's, and the pointer is to a variable of the type that the driver reads.
    unsafe { sys::cuMemPoolSetAttribute(pool(context)?, attribute, (&raw mut zero).cast()).result() }
}

/// The pool that memory comes from.
fn pool(context: &CudaContext) -> Result<CUmemoryPool, DriverError> {
    let mut pool = std::ptr::null_mut();
    // SAFETY: the device is open, and the pointer is to a variable of the type that the driver writes.
    unsafe { sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device()).result() }?;
    Ok(pool)
}

fn word(DriverError(code): DriverError) -> String {
    format!("{code:?}")
}
