//! What reconciles share: clients, settings, and what is remembered between them, none of which a restart may not forget.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use k8s_openapi::{api::core::v1::ObjectReference, jiff::Timestamp};
use kube::{
    Client, ResourceExt,
    core::object::HasStatus,
    runtime::{
        controller::Action,
        events::{Event, EventType, Recorder, Reporter},
    },
};

use crate::{events::Notice, metrics::Metrics, names, settings::WorkerSettings};

/// Waiting times.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Before the first repetition of what failed; doubled each time.
    pub retry: Duration,
    /// Longest such time.
    pub retry_max: Duration,
    /// Shortest time between two statuses that differ in counts alone.
    pub progress: Duration,
    /// Time after which an object is looked at though nothing has been observed.
    pub resync: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            retry: Duration::from_millis(500),
            retry_max: Duration::from_secs(300),
            progress: Duration::from_secs(5),
            resync: Duration::from_secs(600),
        }
    }
}

/// What all reconciles share.
pub struct Shared {
    /// The API server.
    pub client: Client,
    /// What children are made with.
    pub settings: WorkerSettings,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Waiting times.
    pub pace: Pace,
    recorder: Recorder,
    failures: Mutex<HashMap<String, u32>>,
}

impl Shared {
    /// Shared by all scopes of one operator, whose replica is called `identity`.
    pub fn new(client: Client, settings: WorkerSettings, metrics: Arc<Metrics>, pace: Pace, identity: &str) -> Self {
        let reporter = Reporter { controller: names::MANAGER.into(), instance: Some(identity.into()) };
        let recorder = Recorder::new(client.clone(), reporter);
        Self { client, settings, metrics, pace, recorder, failures: Mutex::default() }
    }

    /// Publishes what there is to say of an object. What cannot be said is logged: it decides nothing.
    pub async fn announce(&self, object: &ObjectReference, notices: Vec<Notice>) {
        for Notice { is_warning, reason, note } in notices {
            let type_ = if is_warning { EventType::Warning } else { EventType::Normal };
            // Kubernetes takes at most 1024 bytes.
            let note = Some(note.chars().take(250).collect());
            let event = Event { type_, reason: reason.into(), note, action: "Reconcile".into(), secondary: None };
            if let Err(error) = self.recorder.publish(&event, object).await {
                tracing::warn!(%error, reason, "an event could not be published");
            }
        }
    }

    /// When to try again what has just failed.
    pub fn back_off(&self, uid: &str) -> Action {
        let mut failures = locked(&self.failures);
        let count = failures.entry(uid.to_owned()).or_default();
        let wait = self.pace.retry.saturating_mul(1 << (*count).min(16)).min(self.pace.retry_max);
        *count += 1;
        Action::requeue(wait)
    }

    /// A reconcile has ended well.
    pub fn recovered(&self, uid: &str) {
        locked(&self.failures).remove(uid);
    }
}

/// The statuses that were published last: a watch may be older than they are.
pub struct Published<S>(Mutex<HashMap<String, Written<S>>>);

/// A status that was published.
#[derive(Clone, Debug)]
pub struct Written<S> {
    /// As it was sent.
    pub status: S,
    /// As the API server keeps it, if that is something else.
    kept: Option<Option<S>>,
    /// The object's version with it.
    version: Option<u64>,
    /// When.
    pub at: Instant,
}

impl<S> Default for Published<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S: Clone + PartialEq> Published<S> {
    /// The status of an object that was published last.
    pub fn get(&self, uid: &str) -> Option<Written<S>> {
        locked(&self.0).get(uid).cloned()
    }

    /// A status has been published; `answer` is the object that the API server has then.
    pub fn set<K: HasStatus<Status = S> + ResourceExt>(&self, uid: &str, status: S, answer: &K) {
        let kept = (answer.status() != Some(&status)).then(|| answer.status().cloned());
        let written = Written { status, kept, version: version(answer), at: Instant::now() };
        locked(&self.0).insert(uid.into(), written);
    }

    /// The object is gone, or somebody else's.
    pub fn forget(&self, uid: &str) {
        locked(&self.0).remove(uid);
    }

    /// Only these objects are left.
    pub fn retain(&self, uids: &HashSet<String>) {
        locked(&self.0).retain(|uid, _| uids.contains(uid));
    }

    /// How many objects are remembered.
    pub fn len(&self) -> usize {
        locked(&self.0).len()
    }
}

impl<S: PartialEq> Written<S> {
    /// Whether an object as it is now has another status, such as one that a leader sent before it lost its lease.
    pub fn is_overwritten<K: HasStatus<Status = S> + ResourceExt>(&self, now: &K) -> bool {
        let is_newer = matches!((self.version, version(now)), (Some(written), Some(seen)) if seen > written);
        is_newer && now.status() != self.kept.as_ref().map_or(Some(&self.status), Option::as_ref)
    }

    /// Whether an object is as it was when this was written, or newer.
    pub fn is_seen<K: ResourceExt>(&self, now: &K) -> bool {
        matches!((self.version, version(now)), (Some(written), Some(seen)) if seen >= written)
    }
}

/// Versions of one object are numbers that grow (Kubernetes promises it since 1.35, and never did otherwise).
fn version(object: &impl ResourceExt) -> Option<u64> {
    object.resource_version()?.parse().ok()
}

/// The time, as exact as a status keeps it.
pub fn now() -> Timestamp {
    Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default()
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("settings", &self.settings).field("pace", &self.pace).finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When to look again: at `wake`, or when nothing has been observed for long.
pub fn look_again(wake: Option<Timestamp>, now: Timestamp, resync: Duration) -> Duration {
    wake.map_or(resync, |wake| Duration::try_from(wake.duration_since(now)).unwrap_or(Duration::ZERO).min(resync))
}
