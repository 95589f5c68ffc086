//! Events: what changed between two statuses, in a line each. Few, since each is a write.

use crds::{ProofJobStatus, ProofModelStatus, condition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// A line for `kubectl describe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Something is not as expected.
    pub is_warning: bool,
    /// One CamelCase word.
    pub reason: &'static str,
    /// For people.
    pub note: String,
}

impl Notice {
    fn normal(reason: &'static str, note: impl Into<String>) -> Self {
        Self { is_warning: false, reason, note: note.into() }
    }

    /// Something is not as expected.
    pub fn warning(reason: &'static str, note: impl Into<String>) -> Self {
        Self { is_warning: true, reason, note: note.into() }
    }
}

/// What to say of a job whose status changes.
pub fn of_job(before: &ProofJobStatus, after: &ProofJobStatus) -> Vec<Notice> {
    let mut notices = Vec::new();
    if before.result.is_none()
        && let Some(result) = &after.result
    {
        let class = result.outputs.first().and_then(|output| output.class);
        let says = class.map_or(String::new(), |class| format!(": class {class}"));
        notices.push(Notice::normal("Executed", format!("the model has been run{says}; the proof follows")));
    }
    let failure = after.failures.first().filter(|failure| !before.failures.contains(failure));
    if let Some(failure) = failure {
        let subgraph = failure.subgraph.map_or(String::new(), |subgraph| format!(" {subgraph}"));
        notices.push(Notice::warning("AttemptFailed", format!("{}{subgraph}: {}", failure.stage, failure.message)));
    }
    notices.extend(of_suspension(&before.conditions, &after.conditions));
    let proof = after.proof.as_ref().map(|proof| format!("{} ({} bits)", proof.uri, proof.soundness_bits));
    notices.extend(of_end(&before.conditions, &after.conditions, proof.unwrap_or_default()));
    notices
}

/// What to say of a model whose status changes.
pub fn of_model(before: &ProofModelStatus, after: &ProofModelStatus) -> Vec<Notice> {
    let commitment = after.model.as_ref().map(|model| format!("commitment {}", model.commitment));
    let mut notices: Vec<Notice> = of_suspension(&before.conditions, &after.conditions).into_iter().collect();
    notices.extend(of_end(&before.conditions, &after.conditions, commitment.unwrap_or_default()));
    notices
}

fn flips<'a>(type_: &str, before: &[Condition], after: &'a [Condition]) -> Option<&'a Condition> {
    let find = |conditions: &[Condition]| conditions.iter().position(|c| c.type_ == type_);
    let now = &after[find(after)?];
    let was = find(before).map(|at| before[at].status.as_str());
    (was != Some(now.status.as_str())).then_some(now)
}

fn of_suspension(before: &[Condition], after: &[Condition]) -> Option<Notice> {
    let flipped = flips(condition::SUSPENDED, before, after)?;
    match flipped.status.as_str() {
        "True" => Some(Notice::normal("Suspended", "nothing runs while spec.suspend holds")),
        _ => before.iter().any(|c| c.type_ == condition::SUSPENDED).then(|| Notice::normal("Resumed", "goes on")),
    }
}

fn of_end(before: &[Condition], after: &[Condition], achieved: String) -> Option<Notice> {
    let flipped = flips(condition::SUCCEEDED, before, after)?;
    match flipped.status.as_str() {
        "True" => Some(Notice::normal("Succeeded", achieved)),
        "False" => Some(Notice::warning("Failed", format!("{}: {}", flipped.reason, flipped.message))),
        _ => None,
    }
}
