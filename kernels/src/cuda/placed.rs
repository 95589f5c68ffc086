//! Where integers are: on the device, on the host, or on both. What the host holds leaves the device when memory runs short, and is copied
//! there again when it is used; what was computed on the device is moved to the host first, and is like all else that the host holds then.

use super::evict::{Cost, Evictable, Used};
use super::gpu::Gpu;
use super::launch::Pointer;
use super::staging::Arriving;
use super::vectors::{Integers, Unfinished, bytes, bytes_mut};
use crate::error::DeviceError;
use crate::{Ints, with_ints};
use cudarc::driver::{CudaSlice, DevicePtr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

/// Integers, wherever they are.
#[derive(Debug)]
pub struct Placed {
    /// Locked while they come or go. Who makes room passes over what is locked, so nobody waits here for memory that is theirs.
    place: Mutex<Place>,
    used: Used,
}

#[derive(Debug)]
enum Place {
    /// On the device alone: so many of so many bytes.
    Device { memory: Arc<CudaSlice<u8>>, len: usize, bytes: usize },
    /// On the host, and perhaps on the device.
    Host(Ints, Option<Copied>),
}

/// The copy of what the host holds.
#[derive(Debug)]
enum Copied {
    /// On its way, and used by nothing.
    Sent(Arriving<u8>),
    There(Arc<CudaSlice<u8>>),
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

impl Placed {
    fn new(place: Place) -> Arc<Self> {
        Arc::new(Self { place: Mutex::new(place), used: Used::default() })
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The same, or nothing where that would be to wait.
    fn place_now(&self) -> Option<MutexGuard<'_, Place>> {
        match self.place.try_lock() {
            Ok(place) => Some(place),
            Err(TryLockError::Poisoned(place)) => Some(place.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Place {
    fn idle(&self) -> Option<(Cost, usize)> {
        match self {
            Self::Device { memory, .. } => is_idle(memory).then(|| (Cost::TwoCopies, memory.len())),
            Self::Host(_, Some(Copied::There(memory))) => is_idle(memory).then(|| (Cost::Copy, memory.len())),
            Self::Host(_, Some(Copied::Sent(arriving))) => Some((Cost::Copy, arriving.num_bytes())),
            Self::Host(_, None) => None,
        }
    }
}

/// Whether no operation holds it.
fn is_idle(memory: &Arc<CudaSlice<u8>>) -> bool {
    Arc::strong_count(memory) == 1
}

impl Evictable for Placed {
    fn used(&self) -> &Used {
        &self.used
    }

    fn idle(&self) -> Option<(Cost, usize)> {
        self.place_now()?.idle()
    }

    fn evict(&self, gpu: &Gpu) -> usize {
        let Some(mut place) = self.place_now() else { return 0 };
        let Some((_, bytes)) = place.idle() else { return 0 };
        match &mut *place {
            Place::Device { memory, len, bytes } => *place = Place::Host(gpu.fetch(memory, *len, *bytes), None),
            Place::Host(_, copy) => *copy = None,
        }
        bytes
    }
}

impl Integers {
    /// Whether they are nobody else's, who would see them change.
    pub(super) fn is_own(&self) -> bool {
        Arc::strong_count(&self.placed) == 1
    }
}

impl Gpu {
    /// Integers of the host, in the width that they have. They begin to be copied to the device if there is room, else when they are used.
    pub fn back(&self, host: Ints) -> Arc<Placed> {
        let copy = with_ints!(&host, values => self.send_if_room(bytes(values))).map(Copied::Sent);
        let placed = Placed::new(Place::Host(host, copy));
        self.evictables.add(placed.clone());
        placed
    }

    /// Integers that all is queued for that writes them. Those that are worth it may leave the device from now on.
    pub fn finished(&self, Unfinished { memory, bytes, len }: Unfinished) -> Integers {
        let is_large = memory.len() >= self.least_moved;
        let placed = Placed::new(Place::Device { memory: Arc::new(memory), len, bytes });
        if is_large {
            self.evictables.add(placed.clone());
        }
        Integers { placed, bytes, len }
    }

    /// Has integers stay on the device as long as an operation needs them there.
    pub fn hold(&self, values: &Integers) -> Hold {
        self.try_hold(values).unwrap_or_else(|| self.is_out_of_memory(values.len * values.bytes))
    }

    /// The same, or nothing where everything else that can go is gone and there is no room still.
    pub fn try_hold(&self, values: &Integers) -> Option<Hold> {
        self.evictables.use_now(&values.placed.used);
        match &mut *values.placed.place() {
            Place::Device { memory, .. } => Some(Hold(Arc::clone(memory))),
            Place::Host(host, copy) => {
                let memory = match copy.take() {
                    Some(Copied::There(memory)) => memory,
                    Some(Copied::Sent(arriving)) => Arc::new(self.arrived(arriving)),
                    None => Arc::new(self.arrived(with_ints!(host, values => self.try_send(bytes(values)))?)),
                };
                *copy = Some(Copied::There(Arc::clone(&memory)));
                Some(Hold(memory))
            }
        }
    }

    /// Has integers that are nobody else's stay for an operation that changes them; from then on they are on the device alone.
    pub fn hold_to_change(&self, values: &mut Integers) -> Hold {
        let hold = self.hold(values);
        let (memory, len, bytes) = (Arc::clone(&hold.0), values.len, values.bytes);
        *values.placed.place() = Place::Device { memory, len, bytes };
        hold
    }

    /// The host's, or a copy of the device's in the width that they have there.
    pub fn on_host<R>(&self, values: &Integers, read: impl FnOnce(&Ints) -> R) -> R {
        match &*values.placed.place() {
            Place::Device { memory, len, bytes } => read(&self.fetch(memory, *len, *bytes)),
            Place::Host(host, _) => read(host),
        }
    }

    /// Copies so many integers of so many bytes from the device, once what is queued has written them.
    fn fetch(&self, memory: &CudaSlice<u8>, len: usize, bytes: usize) -> Ints {
        match bytes {
            1 => Ints::I8(self.fetch_all(memory, len)),
            2 => Ints::I16(self.fetch_all(memory, len)),
            4 => Ints::I32(self.fetch_all(memory, len)),
            _ => Ints::I64(self.fetch_all(memory, len)),
        }
    }

    /// Gives up where the host has no room.
    fn fetch_all<T: Copy + Default + Into<i128>>(&self, memory: &CudaSlice<u8>, len: usize) -> Vec<T> {
        let mut values = Vec::new();
        if values.try_reserve_exact(len).is_err() {
            DeviceError::HostMemory { gpu: self.name().to_owned(), asked: len * size_of::<T>() }.give_up();
        }
        values.resize(len, T::default());
        self.download_to(memory, bytes_mut(&mut values));
        values
    }

    /// Begins to copy to the device what is used next, in this order, as far as there is room without waiting. Where there is none, what
    /// was used before makes room for later.
    pub fn prefetch(&self, next: &[&Integers]) {
        let before = self.evictables.now();
        for values in next {
            self.evictables.use_now(&values.placed.used);
            let Place::Host(host, copy @ None) = &mut *values.placed.place() else { continue };
            let send = || with_ints!(&*host, values => self.send_if_room(bytes(values)));
            let retried = || {
                // Once for all that is dropped: it is not free before the stream has come that far.
                if self.evictables.is_freeing() {
                    return None;
                }
                self.give_back();
                send()
            };
            let Some(sent) = send().or_else(retried) else {
                if !self.evictables.free_ahead() {
                    self.evictables.evict(self, values.len * values.bytes, Cost::Copy, before);
                }
                return;
            };
            *copy = Some(Copied::Sent(sent));
        }
    }
}
