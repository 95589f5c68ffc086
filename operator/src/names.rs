//! Names and labels of children. A child's name follows from its owner's uid and a number, so that making it twice makes one.

use crds::contract::Stage;

/// Field manager, and source of events.
pub const MANAGER: &str = "proofmill-operator";
/// The workers' container.
pub const CONTAINER: &str = "worker";

/// Label: the `ProofJob` that a child belongs to.
pub const JOB: &str = "proofmill.dev/job";
/// Label: the `ProofModel` that a child belongs to.
pub const MODEL: &str = "proofmill.dev/model";
/// Label: the child's stage.
pub const STAGE: &str = "proofmill.dev/stage";
/// Label: the child's memory class.
pub const CLASS: &str = "proofmill.dev/class";
/// Label: the child's number among its owner's.
pub const SEQUENCE: &str = "proofmill.dev/sequence";
/// Annotation: the subgraphs that a child proves.
pub const SUBGRAPHS: &str = "proofmill.dev/subgraphs";
/// Label of Kueue: the queue that admits a Job.
pub const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// Selects all children.
pub const CHILDREN: &str = "app.kubernetes.io/managed-by=proofmill-operator";

/// Most characters of a child's name: with an index behind it a pod's host name has at most 63.
const NAME_MAX: usize = 58;

/// The name of an owner's `sequence`th child.
pub fn child(owner: &str, uid: &str, sequence: u32, stage: Stage) -> String {
    with_suffix(owner, &format!("{}-{sequence}-{stage}", short(uid)))
}

/// The name of the ConfigMap with an inline input.
pub fn input(owner: &str, uid: &str) -> String {
    with_suffix(owner, &format!("{}-input", short(uid)))
}

fn short(uid: &str) -> String {
    uid.chars().filter(char::is_ascii_alphanumeric).take(8).collect()
}

/// The owner's name as far as there is room; the uid in the suffix tells owners apart.
fn with_suffix(owner: &str, suffix: &str) -> String {
    let room = NAME_MAX - suffix.len() - 1;
    // An object's name may have dots, a pod's host name not.
    let head: String = owner.chars().take(room).map(|c| if c == '.' { '-' } else { c }).collect();
    format!("{}-{suffix}", head.trim_end_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_host_names_and_differ_by_uid_and_number() {
        let uid = "0f9e1c2d-3b4a-5968-7786-95a4b3c2d1e0";
        assert_eq!(child("digits", uid, 2, Stage::Prove), "digits-0f9e1c2d-2-prove");
        let long = child(&"a.".repeat(26), uid, 1000, Stage::Aggregate);
        assert!(long.len() <= NAME_MAX && !long.contains('.') && long.ends_with("-0f9e1c2d-1000-aggregate"), "{long}");
        assert_ne!(child("a", uid, 1, Stage::Prove), child("a", "1f9e1c2d", 1, Stage::Prove));
    }
}
