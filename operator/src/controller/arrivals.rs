//! How long what happens waits: from an event to the reconcile that it asks for, and on to the status that tells of it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use crate::metrics::Metrics;

/// The events of one kind of object that wait, by the object's uid.
pub struct Arrivals {
    controller: &'static str,
    metrics: Arc<Metrics>,
    held: Mutex<HashMap<String, Waiting>>,
}

/// The oldest events that wait.
#[derive(Clone, Copy, Default)]
struct Waiting {
    /// For a reconcile to begin.
    queued: Option<Instant>,
    /// For a status that tells of it, while a reconcile runs or is to be repeated.
    untold: Option<Instant>,
}

impl Arrivals {
    /// None yet.
    pub fn new(controller: &'static str, metrics: Arc<Metrics>) -> Self {
        Self { controller, metrics, held: Mutex::default() }
    }

    /// Something has happened to an object, or to what belongs to it.
    pub fn note(&self, uid: &str) {
        let mut held = self.held();
        // Most events find an entry: the key is made for the others alone.
        let waiting = match held.get_mut(uid) {
            Some(waiting) => waiting,
            None => held.entry(uid.into()).or_default(),
        };
        if waiting.queued.is_none() {
            waiting.queued = Some(Instant::now());
            self.metrics.queued(self.controller, 1);
        }
    }

    /// A reconcile begins: it sees all that has happened so far.
    pub fn begun(&self, uid: &str) {
        let mut held = self.held();
        let Some(waiting) = held.get_mut(uid) else { return };
        if let Some(queued) = waiting.queued.take() {
            self.metrics.queued(self.controller, -1);
            self.metrics.waited(self.controller, queued.elapsed());
            waiting.untold.get_or_insert(queued);
        }
    }

    /// The reconcile has published a status.
    pub fn told(&self, uid: &str) {
        if let Some(untold) = self.held().get_mut(uid).and_then(|waiting| waiting.untold.take()) {
            self.metrics.told(self.controller, untold.elapsed());
        }
    }

    /// The reconcile has ended well: what it did not publish needed no status, or may wait for one.
    pub fn settled(&self, uid: &str) {
        let mut held = self.held();
        if let Some(waiting) = held.get_mut(uid) {
            waiting.untold = None;
            if waiting.queued.is_none() {
                held.remove(uid);
            }
        }
    }

    /// The object is gone.
    pub fn forget(&self, uid: &str) {
        if self.held().remove(uid).is_some_and(|waiting| waiting.queued.is_some()) {
            self.metrics.queued(self.controller, -1);
        }
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Waiting>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
