//! The API server's objects: versions, conflicts, owners, and the log that watches read.

use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

/// Most changes that a watch may lag behind.
const LOG_MAX: usize = 20_000;

/// Where an object is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    pub resource: String,
    pub namespace: String,
    pub name: String,
}

/// A change, for watches.
#[derive(Clone)]
pub struct Change {
    pub version: u64,
    pub kind: &'static str,
    pub key: Key,
    pub object: Arc<Value>,
}

/// An error answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub message: String,
}

#[derive(Default)]
pub struct Objects {
    pub all: BTreeMap<Key, Arc<Value>>,
    pub version: u64,
    pub log: VecDeque<Change>,
    uids: u64,
    alive: HashSet<String>,
    /// Something has been deleted since garbage was last collected.
    deleted: bool,
}

impl Objects {
    pub fn get(&self, key: &Key) -> Result<Arc<Value>, Refusal> {
        self.all.get(key).cloned().ok_or_else(|| Refusal {
            code: 404,
            reason: "NotFound",
            message: format!("{} \"{}\" not found", key.resource, key.name),
        })
    }

    pub fn create(&mut self, key: Key, mut object: Value) -> Result<Arc<Value>, Refusal> {
        if self.all.contains_key(&key) {
            let message = format!("{} \"{}\" already exists", key.resource, key.name);
            return Err(Refusal { code: 409, reason: "AlreadyExists", message });
        }
        self.uids += 1;
        let uid = format!("{:08x}-0000-4000-8000-000000000000", self.uids);
        let meta = &mut object["metadata"];
        meta["uid"] = json!(uid);
        meta["namespace"] = json!(key.namespace);
        meta["creationTimestamp"] = json!(Timestamp::now().to_string());
        meta["generation"] = json!(1);
        self.alive.insert(uid);
        Ok(self.write("ADDED", key, object))
    }

    /// Replaces an object, unless nothing would change.
    pub fn update(&mut self, key: &Key, change: impl FnOnce(&mut Value)) -> Result<Arc<Value>, Refusal> {
        let old = self.get(key)?;
        let mut new = (*old).clone();
        change(&mut new);
        if new == *old {
            return Ok(old);
        }
        if new["spec"] != old["spec"] {
            new["metadata"]["generation"] = json!(old["metadata"]["generation"].as_i64().unwrap_or(0) + 1);
        }
        Ok(self.write("MODIFIED", key.clone(), new))
    }

    pub fn delete(&mut self, key: &Key) -> Result<Arc<Value>, Refusal> {
        let object = self.get(key)?;
        self.all.remove(key);
        self.deleted = true;
        self.alive.remove(object["metadata"]["uid"].as_str().unwrap_or_default());
        let mut last = (*object).clone();
        self.version += 1;
        last["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.note("DELETED", key.clone(), Arc::new(last));
        Ok(object)
    }

    /// Deletes what belonged to objects that are gone, until nothing does.
    pub fn collect_garbage(&mut self) -> bool {
        if !std::mem::take(&mut self.deleted) {
            return false;
        }
        let orphans: Vec<Key> = self
            .all
            .iter()
            .filter(|(_, object)| {
                let owners = object["metadata"]["ownerReferences"].as_array();
                owners.is_some_and(|owners| {
                    owners.iter().all(|owner| !self.alive.contains(owner["uid"].as_str().unwrap_or_default()))
                })
            })
            .map(|(key, _)| key.clone())
            .collect();
        orphans.iter().for_each(|key| drop(self.delete(key)));
        !orphans.is_empty()
    }

    pub fn of<'a>(&'a self, resource: &'a str) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let first = Key { resource: resource.into(), namespace: String::new(), name: String::new() };
        self.all.range(first..).take_while(move |(key, _)| key.resource == resource)
    }

    /// The pods of a Job, which have its name before their own.
    pub fn pods_of<'a>(&'a self, namespace: &str, job: &str) -> impl Iterator<Item = (&'a Key, &'a Arc<Value>)> {
        let first = Key { resource: "pods".into(), namespace: namespace.into(), name: format!("{job}-") };
        let (namespace, prefix) = (namespace.to_owned(), first.name.clone());
        let is_next =
            move |key: &Key| key.resource == "pods" && key.namespace == namespace && key.name.starts_with(&prefix);
        self.all.range(first..).take_while(move |(key, _)| is_next(key))
    }

    fn write(&mut self, kind: &'static str, key: Key, mut object: Value) -> Arc<Value> {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let object = Arc::new(object);
        self.all.insert(key.clone(), object.clone());
        self.note(kind, key, object.clone());
        object
    }

    fn note(&mut self, kind: &'static str, key: Key, object: Arc<Value>) {
        self.log.push_back(Change { version: self.version, kind, key, object });
        if self.log.len() > LOG_MAX {
            self.log.pop_front();
        }
    }
}

/// Whether an object has all labels of a selector `a=b,c=d`.
pub fn selected(object: &Value, selector: &str) -> bool {
    selector.split(',').filter(|part| !part.is_empty()).all(|part| {
        let (key, value) = part.split_once('=').unwrap();
        object["metadata"]["labels"][key] == *value
    })
}

/// A JSON merge patch (RFC 7396).
pub fn merge(target: &mut Value, patch: &Value) {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => {
            for (key, value) in patch {
                if value.is_null() {
                    target.remove(key);
                } else {
                    merge(target.entry(key).or_insert(Value::Null), value);
                }
            }
        }
        (target, patch) => *target = patch.clone(),
    }
}
