//! What makes room on the device when memory runs short: what is had again at the least cost goes first, and of that what was used least
//! recently. What an operation holds stays.

use super::gpu::Gpu;
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// What it takes to have something again, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cost {
    /// Kernels, that compute it from what is on the device.
    Kernels,
    /// A copy from the host.
    Copy,
    /// A copy to the host as well, which is waited for.
    TwoCopies,
}

/// Memory of the device that can go, and be had again.
pub trait Evictable: Debug + Send + Sync {
    /// When it was used last.
    fn used(&self) -> &Used;

    /// What having it again costs, and its bytes; nothing where it is not there, or where an operation holds it. Waits for nobody, for
    /// who makes room may be about to fetch something.
    fn idle(&self) -> Option<(Cost, usize)>;

    /// Lets it go, unless it is not idle any more; its bytes.
    fn evict(&self, gpu: &Gpu) -> usize;
}

/// When something was used last, as [`Evictables`] count.
#[derive(Debug, Default)]
pub struct Used(AtomicU64);

/// All that can go.
#[derive(Debug, Default)]
pub struct Evictables {
    all: Mutex<Vec<Weak<dyn Evictable>>>,
    uses: AtomicU64,
    /// Whether some were dropped ahead of use, and their memory may not be free yet.
    is_freeing: AtomicBool,
}

impl Evictables {
    /// One more, used now.
    pub fn add(&self, one: Arc<dyn Evictable>) {
        self.use_now(one.used());
        let mut all = self.lock();
        if all.len() == all.capacity() {
            all.retain(|one| one.strong_count() > 0);
        }
        all.push(Arc::downgrade(&one));
    }

    /// It is used now.
    pub fn use_now(&self, used: &Used) {
        used.0.store(self.uses.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Before all that is used from now on.
    pub fn now(&self) -> u64 {
        self.uses.load(Ordering::Relaxed)
    }

    /// Lets so many bytes or more go, if there are, of what costs no more than this and was used before that; those that went.
    pub fn evict(&self, gpu: &Gpu, wanted: usize, most: Cost, before: u64) -> usize {
        let idle = |one: Arc<dyn Evictable>| {
            let ((cost, _), used) = (one.idle()?, one.used().0.load(Ordering::Relaxed));
            (cost <= most && used < before).then_some(((cost, used), one))
        };
        let mut idle: Vec<_> = self.there().into_iter().filter_map(idle).collect();
        idle.sort_by_key(|&(order, _)| order);
        let mut evicted = 0;
        for (_, one) in idle {
            if evicted >= wanted {
                break;
            }
            evicted += one.evict(gpu);
        }
        evicted
    }

    /// Bytes of those that can go at no more than this cost.
    pub fn idle_bytes(&self, most: Cost) -> usize {
        self.there().iter().filter_map(|one| one.idle()).filter(|&(cost, _)| cost <= most).map(|(_, bytes)| bytes).sum()
    }

    /// Memory is dropped ahead of use; whether some was before, and may not be free yet.
    pub fn free_ahead(&self) -> bool {
        self.is_freeing.swap(true, Ordering::Relaxed)
    }

    /// Whether some was dropped ahead of use, and may not be free yet.
    pub fn is_freeing(&self) -> bool {
        self.is_freeing.load(Ordering::Relaxed)
    }

    /// What was dropped is free by now.
    pub fn freed(&self) {
        self.is_freeing.store(false, Ordering::Relaxed);
    }

    /// All that are there still.
    fn there(&self) -> Vec<Arc<dyn Evictable>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<dyn Evictable>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
