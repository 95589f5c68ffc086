//! Workers that fail, are killed, or find that something is lost: what is tried again, with how much memory, and how a job ends.

use crate::fake::{
    cluster::{End, all_stages, prove, scripted, smooth},
    lab::{Lab, block_on, job},
};
use crds::{
    condition,
    contract::{Stage, Task},
    reason,
};
use serde_json::{Value, json};

const AGGREGATE: Task = Task::Aggregate {};

#[test]
fn a_subgraph_that_is_killed_for_memory_is_proved_in_the_next_class_and_the_others_once() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| {
            if trial.task == prove(1) && trial.class < 2 { End::OutOfMemory } else { End::Done }
        }));
        lab.apply(job("digits", json!({ "retries": 0 })));
        lab.until_phase("digits", "Succeeded").await;
        let proved: Vec<_> = lab
            .children()
            .into_iter()
            .filter(|c| c.stage == Stage::Prove)
            .map(|c| (c.subgraphs.to_string(), c.class))
            .collect();
        assert_eq!(proved, [("0-2".into(), 0), ("1".into(), 1), ("1".into(), 2)]);
        let limits: Vec<Value> = lab
            .jobs()
            .iter()
            .map(|j| j["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"].clone())
            .collect();
        assert!(limits.contains(&json!("16Gi")));
    });
}

#[test]
fn a_subgraph_that_is_expected_to_need_more_memory_begins_in_a_larger_class() {
    block_on(async {
        let lab = Lab::running(smooth());
        // The cluster's setup says so of the last of four.
        lab.apply(job("digits", json!({ "partition": { "subgraphs": 4 } })));
        lab.until_phase("digits", "Succeeded").await;
        let proved = |lab: &Lab| -> Vec<(String, u32)> {
            let children = lab.children().into_iter().filter(|c| c.stage == Stage::Prove);
            children.map(|c| (c.subgraphs.to_string(), c.class)).collect()
        };
        assert_eq!(proved(&lab), [("0-2".into(), 0), ("3".into(), 1)]);
        let lab = Lab::running(smooth());
        let classes = json!({ "prove": { "memoryClasses": ["2Gi", "8Gi"] } });
        lab.apply(job("digits", json!({ "partition": { "subgraphs": 4 }, "stages": classes })));
        lab.until_phase("digits", "Succeeded").await;
        assert_eq!(proved(&lab), [("0-3".into(), 0)], "2Gi are enough for all");
    });
}

#[test]
fn memory_that_never_suffices_fails_the_job_and_says_so() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| if trial.task == prove(2) { End::OutOfMemory } else { End::Done }));
        lab.apply(job("digits", json!({ "retries": 1, "stages": { "prove": { "memoryClasses": ["1Gi", "2Gi"] } } })));
        lab.until_phase("digits", "Failed").await;
        let (_, reason, message) = lab.condition("digits", condition::SUCCEEDED);
        assert_eq!(reason, reason::OUT_OF_MEMORY);
        assert!(message.contains("spec.stages.prove.memoryClasses"), "{message}");
    });
}

#[test]
fn failures_end_a_job_as_their_kind_demands() {
    block_on(async {
        for (end, expected, trials) in [
            (End::Exit(42), reason::DETERMINISTIC_FAILURE, 1),
            (End::Exit(43), reason::WRONG_MODEL_OR_VERSION, 1),
            (End::Exit(1), reason::RETRIES_EXHAUSTED, 3),
        ] {
            for task in [Task::Setup {}, Task::Execute {}, prove(1), AGGREGATE] {
                let lab = Lab::running(scripted(move |trial| if trial.task == task { end } else { End::Done }));
                lab.apply(job("digits", json!({})));
                lab.until_phase("digits", "Failed").await;
                let (_, reason, message) = lab.condition("digits", condition::SUCCEEDED);
                assert_eq!(reason, expected, "{task} {end:?}");
                assert!(message.contains(&format!("{task} broke")), "{message}");
                let pods =
                    lab.api.state().objects.of("pods").filter(|(_, pod)| pod["status"]["phase"] == "Failed").count();
                assert_eq!(pods, trials, "{task} {end:?}");
                lab.settle().await;
                assert!(lab.children().iter().all(|child| !child.is_active(false)), "nothing runs after the end");
            }
        }
    });
}

#[test]
fn what_may_pass_passes() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| match (trial.task, trial.before) {
            (Task::Prove { subgraph: 1 }, 0) => End::Exit(1),
            (Task::Prove { subgraph: 2 }, 0..20) => End::Disrupted,
            (Task::Setup {}, 0..2) | (Task::Aggregate {}, 0) => End::Exit(2),
            _ => End::Done,
        }));
        lab.apply(job("digits", json!({})));
        lab.until_phase("digits", "Succeeded").await;
        assert_eq!(lab.made(), all_stages(), "Kubernetes tries again within one Job");
    });
}

#[test]
fn a_subgraph_proof_that_is_missing_or_rejected_is_proved_again_and_no_other() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| match (trial.task, trial.before) {
            (Task::Aggregate {}, 0) => End::Lost(prove(1)),
            _ => End::Done,
        }));
        lab.apply(job("digits", json!({})));
        lab.until_phase("digits", "Succeeded").await;
        let again = [(Stage::Prove, "1".to_owned()), (Stage::Aggregate, String::new())];
        assert_eq!(lab.made(), [&all_stages()[..], &again].concat());
    });
}

#[test]
fn lost_artifacts_of_earlier_stages_are_made_again() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| match (trial.task, trial.before) {
            (Task::Execute {}, 0) => End::Lost(Task::Setup {}),
            (Task::Prove { .. }, 0) => End::Lost(Task::Execute {}),
            _ => End::Done,
        }));
        lab.apply(job("digits", json!({ "parallelism": 1 })));
        lab.until_phase("digits", "Succeeded").await;
        let stages: Vec<Stage> = lab.made().into_iter().map(|(stage, _)| stage).collect();
        assert_eq!(stages.iter().filter(|&&stage| stage == Stage::Setup).count(), 2);
        assert!(stages.iter().filter(|&&stage| stage == Stage::Execute).count() >= 2);
    });
}

#[test]
fn a_worker_that_always_finds_something_lost_does_not_keep_a_job_busy_for_ever() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| if trial.task == AGGREGATE { End::Lost(prove(0)) } else { End::Done }));
        lab.apply(job("digits", json!({ "retries": 1 })));
        lab.until_phase("digits", "Failed").await;
        assert_eq!(lab.condition("digits", condition::SUCCEEDED).1, reason::RETRIES_EXHAUSTED);
    });
}

#[test]
fn a_worker_that_says_nothing_readable_is_asked_again() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| match (trial.task, trial.before) {
            (Task::Execute {}, 0) => End::Babbles,
            _ => End::Done,
        }));
        lab.apply(job("digits", json!({})));
        lab.until_phase("digits", "Succeeded").await;
        assert_eq!(lab.made().iter().filter(|(stage, _)| *stage == Stage::Execute).count(), 2);
    });
}
