//! Integers that the host holds too: weights, inputs, boundary tensors. Their copy on the device goes when memory runs short, first the
//! one that was used least recently, and comes back when it is used again.

use super::gpu::Gpu;
use super::launch::Pointer;
use super::vectors::{Integers, Memory, bytes};
use crate::{Ints, with_ints};
use cudarc::driver::{CudaSlice, DevicePtr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// See the module.
#[derive(Debug)]
pub struct Backed {
    host: Ints,
    copy: Mutex<Option<Arc<CudaSlice<u8>>>>,
    /// When it was used last, as [`Copies`] count.
    used: AtomicU64,
}

/// All copies of what the host holds that there may be.
#[derive(Debug, Default)]
pub struct Copies {
    of: Mutex<Vec<Weak<Backed>>>,
    uses: AtomicU64,
}

/// Memory that stays where it is. What is queued before this is dropped finds it there, for memory is freed in the stream's order.
#[derive(Debug)]
pub struct Hold(Arc<CudaSlice<u8>>);

impl Hold {
    /// Where it is.
    pub fn at(&self) -> Pointer<'_> {
        Pointer::to(self.0.device_ptr(self.0.stream()).0)
    }
}

impl Backed {
    /// The integers.
    pub const fn host(&self) -> &Ints {
        &self.host
    }

    fn copy(&self) -> MutexGuard<'_, Option<Arc<CudaSlice<u8>>>> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the copy, unless an operation holds it; its bytes.
    fn evict(&self) -> usize {
        self.copy().take_if(|memory| Arc::strong_count(memory) == 1).map_or(0, |memory| memory.len())
    }
}

impl Copies {
    /// Drops copies of so many bytes or more in all, if there are; whether there were any.
    pub fn evict(&self, wanted: usize) -> bool {
        let mut backed: Vec<Arc<Backed>> = self.of().iter().filter_map(Weak::upgrade).collect();
        backed.sort_by_key(|backed| backed.used.load(Ordering::Relaxed));
        let mut freed = 0;
        for backed in backed {
            if freed < wanted {
                freed += backed.evict();
            }
        }
        freed > 0
    }

    fn add(&self, backed: &Arc<Backed>) {
        let mut of = self.of();
        if of.len() == of.capacity() {
            of.retain(|backed| backed.strong_count() > 0);
        }
        of.push(Arc::downgrade(backed));
    }

    fn use_now(&self, backed: &Backed) {
        backed.used.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn of(&self) -> MutexGuard<'_, Vec<Weak<Backed>>> {
        self.of.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gpu {
    /// Integers of the host, in the width that they have. They are copied to the device at once if there is room, else when they are used.
    pub fn back(&self, host: Ints) -> Arc<Backed> {
        let backed = Arc::new(Backed { host, copy: Mutex::default(), used: AtomicU64::default() });
        self.copies.use_now(&backed);
        *backed.copy() = with_ints!(&backed.host, values => self.upload_if_room(bytes(values))).map(Arc::new);
        self.copies.add(&backed);
        backed
    }

    /// Has integers stay on the device as long as an operation needs them there.
    pub fn hold(&self, values: &Integers) -> Hold {
        self.try_hold(values).unwrap_or_else(|| self.is_out_of_memory(values.len * values.bytes))
    }

    /// The same, or nothing where everything else that can go is gone and there is no room still.
    pub fn try_hold(&self, values: &Integers) -> Option<Hold> {
        let backed = match &values.memory {
            Memory::Own(memory) => return Some(Hold(Arc::clone(memory))),
            Memory::Backed(backed) => backed,
        };
        self.copies.use_now(backed);
        let held = backed.copy().clone();
        if let Some(memory) = held {
            return Some(Hold(memory));
        }
        let memory = Arc::new(with_ints!(&backed.host, values => self.try_upload(bytes(values)))?);
        *backed.copy() = Some(Arc::clone(&memory));
        Some(Hold(memory))
    }
}
