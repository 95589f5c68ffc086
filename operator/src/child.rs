//! A child Job, as far as plans need it: small enough to keep thousands in memory.

use crds::{Indexes, contract::Stage};
use k8s_openapi::{api::batch::v1::Job, apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};

use crate::names;

/// A child Job.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its name.
    pub name: String,
    /// Its number among its owner's children, in order of creation.
    pub sequence: u32,
    /// Its stage.
    pub stage: Stage,
    /// Its memory class.
    pub class: u32,
    /// The subgraphs that it proves, in the order of its indexes.
    pub subgraphs: Indexes,
    /// Those of them that are proved.
    pub completed: Indexes,
    /// Those that failed for good.
    pub failed: Indexes,
    /// Most pods that it has at one time.
    pub parallelism: u32,
    /// How it stands.
    pub state: State,
    /// Its pods are not started, or were stopped.
    pub suspended: bool,
    /// It is being deleted.
    pub deleting: bool,
    /// Pods that failed, counted or not.
    pub failed_pods: i32,
    /// When it was made.
    pub created: Option<Timestamp>,
    /// When its pods could first be started.
    pub started: Option<Timestamp>,
}

/// How a Job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Not at its end.
    Running,
    /// Every pod that was needed has succeeded.
    Complete,
    /// It will not be.
    Failed {
        /// Why, in Kubernetes' words.
        reason: String,
    },
}

impl Child {
    /// Reads a Job; `None` if it is not one of the operator's.
    pub fn read(job: &Job) -> Option<Self> {
        let ObjectMeta { labels, annotations, name, .. } = &job.metadata;
        let label = |key: &str| labels.as_ref()?.get(key);
        let stage =
            Stage::ALL.into_iter().find(|stage| label(names::STAGE).is_some_and(|text| *text == stage.to_string()))?;
        let number = |key: &str| label(key)?.parse().ok();
        let subgraphs: Indexes = match annotations.as_ref().and_then(|annotations| annotations.get(names::SUBGRAPHS)) {
            Some(text) => text.parse().ok()?,
            None => Indexes::default(),
        };
        let status = job.status.clone().unwrap_or_default();
        // Kubernetes counts positions; `subgraphs` says which subgraph each of them is.
        let at = |positions: &Option<String>| -> Indexes {
            let positions: Indexes = positions.as_deref().unwrap_or("").parse().unwrap_or_default();
            subgraphs.iter().enumerate().filter(|&(i, _)| positions.contains(i as u32)).map(|(_, s)| s).collect()
        };
        Some(Self {
            name: name.clone()?,
            sequence: number(names::SEQUENCE)?,
            stage,
            class: number(names::CLASS)?,
            completed: at(&status.completed_indexes),
            failed: at(&status.failed_indexes),
            parallelism: job.spec.as_ref().and_then(|spec| spec.parallelism).map_or(1, |pods| pods.max(0) as u32),
            state: state(job),
            suspended: job.spec.as_ref().is_some_and(|spec| spec.suspend == Some(true)),
            deleting: job.metadata.deletion_timestamp.is_some(),
            failed_pods: status.failed.unwrap_or(0),
            created: job.metadata.creation_timestamp.as_ref().map(|time| time.0),
            started: status.start_time.map(|time| time.0),
            subgraphs,
        })
    }

    /// Whether pods are at work, or will be without the operator's doing. A queue starts what is suspended.
    pub fn is_active(&self, queued: bool) -> bool {
        self.state == State::Running && !self.deleting && (queued || !self.suspended)
    }
}

/// The uid of a Job's controller.
pub fn owner(job: &Job) -> Option<&str> {
    let owners = job.metadata.owner_references.as_ref()?;
    owners.iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.as_str())
}

fn state(job: &Job) -> State {
    let conditions = job.status.as_ref().and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let holds =
        |type_: &str| conditions.iter().find(|condition| condition.type_ == type_ && condition.status == "True");
    match (holds("Complete"), holds("Failed")) {
        (Some(_), _) => State::Complete,
        (_, Some(condition)) => State::Failed { reason: condition.reason.clone().unwrap_or_default() },
        _ => State::Running,
    }
}
