//! The children of one scope, kept by a watch and found by their owner's uid.
//!
//! It may lag behind. That is harmless: a plan from an older view names the same children, and making one twice makes one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Mutex,
};

use k8s_openapi::api::batch::v1::Job;
use kube::runtime::watcher::Event;
use tokio::sync::watch;

use crate::child::{Child, owner};

type ByOwner = HashMap<String, BTreeMap<String, Child>>;

/// Children by owner.
#[derive(Debug)]
pub struct Children {
    held: Mutex<Held>,
    synced: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Held {
    now: ByOwner,
    /// What a list that is under way has brought so far.
    listed: ByOwner,
}

impl Default for Children {
    fn default() -> Self {
        Self { held: Mutex::default(), synced: watch::Sender::new(false) }
    }
}

impl Children {
    /// Takes note of a watch's event.
    pub fn apply(&self, event: &Event<Job>) {
        let mut held = self.held();
        match event {
            Event::Init => held.listed.clear(),
            Event::InitApply(job) => insert(&mut held.listed, job),
            Event::InitDone => {
                held.now = std::mem::take(&mut held.listed);
                drop(held);
                self.synced.send_replace(true);
            }
            Event::Apply(job) => insert(&mut held.now, job),
            Event::Delete(job) => remove(&mut held.now, job),
        }
    }

    /// An owner's children in the order of their making.
    pub fn of(&self, uid: &str) -> Vec<Child> {
        let mut children: Vec<Child> =
            self.held().now.get(uid).map_or_else(Vec::new, |all| all.values().cloned().collect());
        children.sort_by_key(|child| child.sequence);
        children
    }

    /// Waits until the first list is complete.
    pub async fn synced(&self) {
        // The sender lives as long as `self`.
        let _ = self.synced.subscribe().wait_for(|synced| *synced).await;
    }

    /// Whether the first list is complete.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn insert(held: &mut ByOwner, job: &Job) {
    if let (Some(owner), Some(child)) = (owner(job), Child::read(job)) {
        held.entry(owner.to_owned()).or_default().insert(child.name.clone(), child);
    }
}

fn remove(held: &mut ByOwner, job: &Job) {
    let (Some(owner), Some(name)) = (owner(job), &job.metadata.name) else { return };
    if let Some(children) = held.get_mut(owner) {
        children.remove(name);
        if children.is_empty() {
            held.remove(owner);
        }
    }
}
