//! The children of one scope, kept by a watch and found by their owner's uid.
//!
//! What has just been made is there before the watch brings it, since asking for it again costs two requests. Otherwise it
//! may lag behind. That is harmless: a plan from an older view names the same children, and making one twice makes one.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
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
    /// Owners and names of children that are being made, and of which the watch knows nothing yet.
    expected: HashSet<(String, String)>,
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
                // The list may be newer than what a request that is under way will answer.
                held.expected.clear();
                drop(held);
                self.synced.send_replace(true);
            }
            Event::Apply(job) => {
                key(job).map(|key| held.expected.remove(&key));
                insert(&mut held.now, job);
            }
            Event::Delete(job) => {
                key(job).map(|key| held.expected.remove(&key));
                remove(&mut held.now, job);
            }
        }
    }

    /// A child is about to be made.
    pub fn expect(&self, job: &Job) {
        self.held().expected.extend(key(job));
    }

    /// The request for the child has been answered with `made`, or in vain.
    pub fn made(&self, job: &Job, made: Option<&Job>) {
        let mut held = self.held();
        let is_news = key(job).is_some_and(|key| held.expected.remove(&key));
        // What the watch has brought in the meantime is newer, if only that the child is gone again.
        if let Some(made) = made.filter(|_| is_news) {
            insert(&mut held.now, made);
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

fn key(job: &Job) -> Option<(String, String)> {
    Some((owner(job)?.to_owned(), job.metadata.name.clone()?))
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::names;

    fn child() -> Job {
        let labels = json!({ names::STAGE: "setup", names::SEQUENCE: "0", names::CLASS: "0" });
        let owner = json!({ "apiVersion": "v1", "kind": "ProofJob", "name": "a", "uid": "u", "controller": true });
        serde_json::from_value(json!({ "metadata": { "name": "c", "labels": labels, "ownerReferences": [owner] } }))
            .unwrap()
    }

    #[test]
    fn what_was_made_is_there_before_the_watch_brings_it() {
        let (children, child) = (Children::default(), child());
        children.expect(&child);
        assert!(children.of("u").is_empty());
        children.made(&child, Some(&child));
        assert_eq!(children.of("u").len(), 1);
        children.apply(&Event::Delete(child));
        assert!(children.of("u").is_empty());
    }

    #[test]
    fn what_is_gone_again_before_the_answer_is_not_there() {
        let (children, child) = (Children::default(), child());
        children.expect(&child);
        children.apply(&Event::Apply(child.clone()));
        children.apply(&Event::Delete(child.clone()));
        children.made(&child, Some(&child));
        assert!(children.of("u").is_empty());
    }

    #[test]
    fn a_list_is_newer_than_an_answer_that_comes_after_it() {
        let (children, child) = (Children::default(), child());
        children.expect(&child);
        children.apply(&Event::Init);
        children.apply(&Event::InitDone);
        children.made(&child, Some(&child));
        assert!(children.of("u").is_empty());
    }
}
