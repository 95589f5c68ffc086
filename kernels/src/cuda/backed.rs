//! Integers that the host holds too: weights, inputs, boundary tensors. Their copy on the device goes when memory runs short, first the
//! one that was used least recently, and comes back when it is used again.

use super::gpu::Gpu;
use super::launch::Pointer;
use super::staging::Arriving;
use super::vectors::{Integers, Memory, bytes};
use crate::{Ints, with_ints};
use cudarc::driver::{CudaSlice, DevicePtr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// See the module.
#[derive(Debug)]
pub struct Backed {
    host: Ints,
    copy: Mutex<Option<Copy>>,
    /// When it was used last, as [`Copies`] count.
    used: AtomicU64,
}

/// The copy of what the host holds.
#[derive(Debug)]
enum Copy {
    /// On its way, and used by nothing.
    Sent(Arriving<u8>),
    There(Arc<CudaSlice<u8>>),
}

/// All copies of what the host holds that there may be.
#[derive(Debug, Default)]
pub struct Copies {
    of: Mutex<Vec<Weak<Backed>>>,
    uses: AtomicU64,
    /// Whether some were dropped ahead of use, and their memory may not be free yet.
    is_freeing: AtomicBool,
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

    fn copy(&self) -> MutexGuard<'_, Option<Copy>> {
        self.copy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the copy, unless an operation holds it; its bytes.
    fn evict(&self) -> usize {
        self.copy().take_if(|copy| copy.is_idle()).map_or(0, |copy| copy.bytes())
    }
}

impl Copy {
    /// Whether no operation holds it.
    fn is_idle(&self) -> bool {
        !matches!(self, Self::There(memory) if Arc::strong_count(memory) > 1)
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Sent(arriving) => arriving.num_bytes(),
            Self::There(memory) => memory.len(),
        }
    }
}

impl Copies {
    /// Drops copies of so many bytes or more in all, if there are; whether there were any.
    pub fn evict(&self, wanted: usize) -> bool {
        self.evict_older(wanted, u64::MAX)
    }

    /// The same with those alone that were not used since then.
    fn evict_older(&self, wanted: usize, since: u64) -> bool {
        let used = |backed: &Arc<Backed>| backed.used.load(Ordering::Relaxed);
        let mut backed: Vec<Arc<Backed>> = self.of().iter().filter_map(Weak::upgrade).collect();
        backed.retain(|backed| used(backed) < since);
        backed.sort_by_key(used);
        let mut freed = 0;
        for backed in backed {
            if freed < wanted {
                freed += backed.evict();
            }
        }
        freed > 0
    }

    /// Bytes of those that can go.
    pub fn idle_bytes(&self) -> usize {
        let backed = self.of().iter().filter_map(Weak::upgrade).collect::<Vec<_>>();
        backed.iter().filter_map(|backed| backed.copy().as_ref().filter(|copy| copy.is_idle()).map(Copy::bytes)).sum()
    }

    /// What was dropped is free by now.
    pub fn freed(&self) {
        self.is_freeing.store(false, Ordering::Relaxed);
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
    /// Integers of the host, in the width that they have. They begin to be copied to the device if there is room, else when they are used.
    pub fn back(&self, host: Ints) -> Arc<Backed> {
        let backed = Arc::new(Backed { host, copy: Mutex::default(), used: AtomicU64::default() });
        self.copies.use_now(&backed);
        *backed.copy() = with_ints!(&backed.host, values => self.send_if_room(bytes(values))).map(Copy::Sent);
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
        let copy = backed.copy().take();
        let memory = match copy {
            Some(Copy::There(memory)) => memory,
            Some(Copy::Sent(arriving)) => Arc::new(self.arrived(arriving)),
            None => {
                let sent = with_ints!(&backed.host, values => self.try_send(bytes(values)))?;
                Arc::new(self.arrived(sent))
            }
        };
        *backed.copy() = Some(Copy::There(Arc::clone(&memory)));
        Some(Hold(memory))
    }

    /// Begins to copy to the device what is used next, in this order, as far as there is room without waiting. Where there is none, what
    /// was used before makes room for later.
    pub fn prefetch(&self, next: &[&Integers]) {
        let since = self.copies.uses.load(Ordering::Relaxed);
        for values in next {
            let Memory::Backed(backed) = &values.memory else { continue };
            self.copies.use_now(backed);
            if backed.copy().is_some() {
                continue;
            }
            let send = || with_ints!(&backed.host, values => self.send_if_room(bytes(values)));
            let retried = || {
                // Once for all that is dropped: it is not free before the stream has come that far.
                if self.copies.is_freeing.load(Ordering::Relaxed) {
                    return None;
                }
                self.give_back();
                send()
            };
            let Some(sent) = send().or_else(retried) else {
                if !self.copies.is_freeing.swap(true, Ordering::Relaxed) {
                    self.copies.evict_older(values.len * values.bytes, since);
                }
                return;
            };
            *backed.copy() = Some(Copy::Sent(sent));
        }
    }
}
