//! A child Job. Setup, execute and aggregate are Jobs of one pod, prove is an Indexed Job with one index for each subgraph.

use std::collections::BTreeMap;

use crds::{
    Indexes,
    contract::{FailureKind, LOST_EXIT_CODE, Stage, WorkerArgs},
};
use k8s_openapi::{
    api::{
        batch::v1::{
            Job, JobSpec, PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
            PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
        },
        core::v1::{ConfigMap, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};

use super::pod::{PodPlan, pod_spec};
use crate::{names, owner::Owner, place::INPUT_FILE};

/// The exit code of a process that was killed for memory.
const KILLED: i32 = 137;

/// What a child is made for.
#[derive(Clone, Debug)]
pub struct ChildSpec {
    /// Its number among its owner's children.
    pub sequence: u32,
    /// Its memory class.
    pub class: u32,
    /// Whether there is a larger class.
    pub has_next_class: bool,
    /// The subgraphs that it proves.
    pub subgraphs: Indexes,
    /// What its workers are told.
    pub args: WorkerArgs,
    /// Most pods at one time.
    pub parallelism: u32,
    /// How often a pod that failed is replaced.
    pub retries: u32,
    /// Seconds after which it fails.
    pub deadline: Option<u32>,
    /// Queue that admits it.
    pub queue: Option<String>,
}

/// A child Job.
pub fn job(owner: &Owner, child: &ChildSpec, plan: &PodPlan<'_>) -> Job {
    let stage = child.args.stage.task().stage();
    let mut labels = common_labels(owner);
    labels.insert(names::STAGE.into(), stage.to_string());
    labels.insert(names::CLASS.into(), child.class.to_string());
    labels.insert(names::SEQUENCE.into(), child.sequence.to_string());
    let pod_labels = labels.clone();
    if let Some(queue) = &child.queue {
        labels.insert(names::QUEUE.into(), queue.clone());
    }
    let annotations =
        (stage == Stage::Prove).then(|| BTreeMap::from([(names::SUBGRAPHS.into(), child.subgraphs.to_string())]));
    let spec = JobSpec {
        // A queue admits by ending the suspension.
        suspend: Some(child.queue.is_some()),
        active_deadline_seconds: child.deadline.map(i64::from),
        pod_failure_policy: Some(failure_policy(stage, child.has_next_class)),
        pod_replacement_policy: Some("Failed".into()),
        template: PodTemplateSpec {
            metadata: Some(ObjectMeta { labels: Some(pod_labels), ..ObjectMeta::default() }),
            spec: Some(pod_spec(plan, child.args.to_args(), child.class)),
        },
        ..counts(stage, child)
    };
    Job {
        metadata: ObjectMeta {
            name: Some(names::child(&owner.name, &owner.uid, child.sequence, stage)),
            namespace: Some(owner.namespace.clone()),
            labels: Some(labels),
            annotations,
            owner_references: Some(vec![owner.reference.clone()]),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

/// The file of an inline input.
pub fn config_map(owner: &Owner, file: String) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(names::input(&owner.name, &owner.uid)),
            namespace: Some(owner.namespace.clone()),
            labels: Some(common_labels(owner)),
            owner_references: Some(vec![owner.reference.clone()]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([(INPUT_FILE.into(), file)])),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

fn common_labels(owner: &Owner) -> BTreeMap<String, String> {
    [
        ("app.kubernetes.io/name", "proofmill-worker"),
        ("app.kubernetes.io/managed-by", names::MANAGER),
        (owner.label, owner.name.as_str()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .collect()
}

/// How many pods, and how often each is replaced.
fn counts(stage: Stage, child: &ChildSpec) -> JobSpec {
    let retries = child.retries as i32;
    if stage != Stage::Prove {
        return JobSpec { backoff_limit: Some(retries), ..JobSpec::default() };
    }
    let completions = child.subgraphs.len() as i32;
    JobSpec {
        completion_mode: Some("Indexed".into()),
        completions: Some(completions),
        parallelism: Some(child.parallelism as i32),
        backoff_limit_per_index: Some(retries),
        // A proof needs every subgraph, so the first that fails ends all; unless it may only need more memory, which a
        // later Job gives it while the others go on.
        max_failed_indexes: (!child.has_next_class).then_some(0),
        ..JobSpec::default()
    }
}

/// The first rule that fits decides; what fits none is counted, and tried again.
fn failure_policy(stage: Stage, has_next_class: bool) -> PodFailurePolicy {
    let exit = |action: &str, mut codes: Vec<i32>| {
        // The API server wants them so.
        codes.sort_unstable();
        PodFailurePolicyRule {
            action: action.into(),
            on_exit_codes: Some(PodFailurePolicyOnExitCodesRequirement {
                container_name: Some(names::CONTAINER.into()),
                operator: "In".into(),
                values: codes,
            }),
            on_pod_conditions: None,
        }
    };
    let disruption = PodFailurePolicyRule {
        action: "Ignore".into(),
        on_exit_codes: None,
        on_pod_conditions: Some(vec![PodFailurePolicyOnPodConditionsPattern {
            type_: "DisruptionTarget".into(),
            status: "True".into(),
        }]),
    };
    let deterministic = i32::from(FailureKind::Deterministic.exit_code());
    let mut ends_job = vec![i32::from(FailureKind::WrongModelOrVersion.exit_code()), i32::from(LOST_EXIT_CODE)];
    let mut ends_task = vec![deterministic];
    ends_task.extend(has_next_class.then_some(KILLED));
    let rules = if stage == Stage::Prove {
        vec![disruption, exit("FailJob", ends_job), exit("FailIndex", ends_task)]
    } else {
        ends_job.extend(ends_task);
        vec![disruption, exit("FailJob", ends_job)]
    };
    PodFailurePolicy { rules }
}
