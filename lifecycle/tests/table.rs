//! The life of a job, case by case.

mod common;

use common::{AGGREGATE, EXECUTE, Job, SETUP, job, prove, starts};
use crds::{condition, contract::FailureKind, limits, reason};
use proofmill_lifecycle::Effect;

/// A job with `subgraphs` subgraphs whose model has been run.
fn executed(subgraphs: u32) -> Job {
    let mut job = job();
    job.step();
    job.finish(SETUP, subgraphs);
    job.step();
    job.finish(EXECUTE, subgraphs);
    job
}

/// Status and reason of a condition.
fn summary_of(job: &Job, type_: &str) -> (String, String) {
    let found = job.status.conditions.iter().find(|c| c.type_ == type_).unwrap();
    (found.status.clone(), found.reason.clone())
}

fn pair(status: &str, reason: &str) -> (String, String) {
    (status.into(), reason.into())
}

#[test]
fn stages_follow_each_other_and_the_result_comes_before_the_proof() {
    let mut job = job();
    assert_eq!(job.step(), starts(&[SETUP]));
    assert_eq!(job.status.phase.as_deref(), Some("Setup"));
    assert_eq!(job.status.conditions.len(), condition::ALL.len(), "all conditions are there from the first status on");
    job.finish(SETUP, 3);
    assert_eq!(job.step(), starts(&[EXECUTE]));
    assert_eq!((job.status.phase.as_deref(), job.status.subgraphs.unwrap().total), (Some("Executing"), 3));
    assert_eq!(summary_of(&job, "Executed"), pair("Unknown", reason::RUNNING));
    job.finish(EXECUTE, 3);
    assert_eq!(job.step(), starts(&[prove(0), prove(1), prove(2)]));
    assert!(job.status.result.is_some() && job.status.proof.is_none());
    assert_eq!(summary_of(&job, "Executed"), pair("True", reason::DONE));
    job.finish(prove(2), 3);
    job.finish(prove(0), 3);
    assert_eq!(job.step(), []);
    let counts = job.status.subgraphs.unwrap();
    assert_eq!((counts.active, counts.succeeded, job.status.completed_indexes.as_deref()), (1, 2, Some("0,2")));
    job.finish(prove(1), 3);
    assert_eq!(job.step(), starts(&[AGGREGATE]));
    assert_eq!(summary_of(&job, "Proved"), pair("True", reason::DONE));
    job.finish(AGGREGATE, 3);
    assert_eq!(job.step(), []);
    assert_eq!(job.status.phase.as_deref(), Some("Succeeded"));
    assert_eq!(summary_of(&job, "Succeeded"), pair("True", reason::DONE));
    assert!(job.status.proof.is_some() && job.status.completion_time.is_some());
}

#[test]
fn parallelism_bounds_what_is_proved_at_one_time() {
    let mut job = executed(5);
    job.spec.parallelism = Some(2);
    assert_eq!(job.step(), starts(&[prove(0), prove(1)]));
    job.finish(prove(1), 5);
    assert_eq!(job.step(), starts(&[prove(2)]));
    job.spec.parallelism = Some(1);
    job.finish(prove(0), 5);
    assert_eq!(job.step(), [], "one still runs, and one is the limit now");
}

#[test]
fn what_exists_already_is_not_started() {
    let mut job = job();
    job.finish(SETUP, 3);
    job.finish(EXECUTE, 3);
    job.finish(prove(1), 3);
    assert_eq!(job.step(), starts(&[prove(0), prove(2)]));
}

#[test]
fn a_failure_that_may_pass_is_tried_again_as_often_as_the_spec_says() {
    let mut job = executed(2);
    job.step();
    for _ in 0..2 {
        job.fail(prove(1), FailureKind::Retryable);
        assert_eq!(job.step(), starts(&[prove(1)]));
        assert_eq!(job.status.failures[0].message, "prove 1 broke");
    }
    job.fail(prove(1), FailureKind::Retryable);
    assert_eq!(job.step(), [Effect::Stop(prove(0))], "a proof needs every subgraph");
    assert_eq!(summary_of(&job, "Succeeded"), pair("False", reason::RETRIES_EXHAUSTED));
    assert_eq!(summary_of(&job, "Proved"), pair("False", reason::JOB_FAILED));
    assert_eq!(job.status.failed_indexes.as_deref(), Some("1"));
    let counts = job.status.subgraphs.unwrap();
    assert_eq!((counts.failed, counts.active), (1, 0));
}

#[test]
fn retries_are_counted_for_each_subgraph() {
    let mut job = executed(4);
    job.step();
    for subgraph in 0..4 {
        job.fail(prove(subgraph), FailureKind::Retryable);
        job.fail(prove(subgraph), FailureKind::Retryable);
    }
    assert_eq!(job.step().len(), 4);
}

#[test]
fn a_failure_that_would_repeat_ends_the_job_at_once() {
    for (kind, expected) in [
        (FailureKind::Deterministic, reason::DETERMINISTIC_FAILURE),
        (FailureKind::WrongModelOrVersion, reason::WRONG_MODEL_OR_VERSION),
    ] {
        let mut job = job();
        job.step();
        job.fail(SETUP, kind);
        assert_eq!(job.step(), []);
        assert_eq!(summary_of(&job, "Succeeded"), pair("False", expected));
        let summary = job.status.conditions.iter().find(|c| c.type_ == "Succeeded").unwrap();
        assert_eq!(summary.message, "setup: setup broke");
    }
}

#[test]
fn a_final_failure_is_not_forgotten_for_a_later_passing_one() {
    let mut job = job();
    job.step();
    job.fail(SETUP, FailureKind::Deterministic);
    job.fail(SETUP, FailureKind::Retryable);
    job.step();
    assert_eq!(summary_of(&job, "Succeeded"), pair("False", reason::DETERMINISTIC_FAILURE));
}

#[test]
fn the_deadline_counts_from_the_first_start() {
    let mut job = job();
    job.spec.active_deadline_seconds = Some(60);
    job.step();
    let wake = job.decide().wake.unwrap();
    assert_eq!(wake.as_second() - job.now.as_second(), 60);
    job.pass_seconds(59);
    assert_eq!(job.step(), []);
    job.pass_seconds(1);
    assert_eq!(job.step(), [Effect::Stop(SETUP)]);
    assert_eq!(summary_of(&job, "Succeeded"), pair("False", reason::DEADLINE_EXCEEDED));
    assert_eq!(job.decide().wake, None);
}

#[test]
fn a_lost_artifact_is_made_again_before_what_needs_it() {
    let mut job = executed(2);
    job.step();
    job.finish(prove(0), 2);
    job.fail(prove(1), FailureKind::Retryable);
    job.observed.lost(EXECUTE);
    assert_eq!(job.step(), starts(&[EXECUTE]));
    job.finish(EXECUTE, 2);
    assert_eq!(job.step(), starts(&[prove(1)]), "the other subgraph's proof stays good");
}

#[test]
fn times_of_transition_change_only_with_the_condition() {
    let mut job = job();
    job.step();
    let since = |job: &Job, type_: &str| {
        job.status.conditions.iter().find(|c| c.type_ == type_).unwrap().last_transition_time.clone()
    };
    let first = since(&job, "Executed");
    job.pass_seconds(10);
    job.finish(SETUP, 1);
    job.step();
    assert_eq!(since(&job, "Executed"), first, "still unknown, for another reason");
    job.pass_seconds(10);
    job.finish(EXECUTE, 1);
    job.step();
    assert_ne!(since(&job, "Executed"), first);
    let times = job.status.stages.execute.clone().unwrap();
    assert_eq!(times.completion_time.unwrap().0.as_second() - times.start_time.0.as_second(), 10);
}

#[test]
fn the_status_stays_small() {
    let mut job = executed(1000);
    job.step();
    for subgraph in 0..1000 {
        job.fail(prove(subgraph), FailureKind::Retryable);
    }
    job.step();
    assert_eq!(job.status.failures.len(), limits::FAILURES);
    job.fail(prove(999), FailureKind::Deterministic);
    job.step();
    assert_eq!(job.status.failures[0].subgraph, Some(999), "what ended the job comes first");
}

#[test]
fn a_suspended_job_stops_what_runs_and_its_deadline_counts_anew() {
    let mut job = executed(3);
    (job.spec.parallelism, job.spec.active_deadline_seconds) = (Some(2), Some(60));
    job.step();
    job.finish(prove(0), 3);
    job.pass_seconds(50);
    job.spec.suspend = true;
    assert_eq!(job.step(), [Effect::Stop(prove(1))]);
    assert_eq!(job.status.phase.as_deref(), Some("Suspended"));
    assert_eq!(summary_of(&job, "Suspended"), pair("True", reason::SUSPENDED));
    assert_eq!(summary_of(&job, "Succeeded"), pair("Unknown", reason::SUSPENDED));
    assert_eq!((job.status.start_time.clone(), job.decide().wake), (None, None));
    job.pass_seconds(1000);
    assert_eq!(job.step(), []);
    job.spec.suspend = false;
    assert_eq!(job.step(), starts(&[prove(1), prove(2)]), "what was proved stays proved");
    assert_eq!(summary_of(&job, "Suspended"), pair("False", reason::NOT_SUSPENDED));
    assert_eq!(job.decide().wake.unwrap().as_second() - job.now.as_second(), 60);
}

#[test]
fn a_job_that_is_created_suspended_starts_nothing() {
    let mut job = job();
    job.spec.suspend = true;
    assert_eq!(job.step(), []);
    assert_eq!(job.status.conditions.len(), condition::ALL.len());
    job.spec.suspend = false;
    assert_eq!(job.step(), starts(&[SETUP]));
}

#[test]
fn an_ended_job_lives_as_long_as_the_spec_says() {
    let mut job = job();
    job.spec.ttl_seconds_after_finished = Some(30);
    job.step();
    job.fail(SETUP, FailureKind::Deterministic);
    assert_eq!(job.decide().wake.unwrap().as_second() - job.now.as_second(), 30);
    job.step();
    job.pass_seconds(29);
    assert!(!job.decide().expired);
    assert_eq!(job.decide().wake.unwrap().as_second() - job.now.as_second(), 1);
    job.pass_seconds(1);
    let decision = job.decide();
    assert!(decision.expired && decision.wake.is_none());
    job.spec.ttl_seconds_after_finished = None;
    assert!(!job.decide().expired);
}

#[test]
fn an_excused_failure_does_not_count_and_a_given_up_task_ends_the_job() {
    let mut job = executed(2);
    job.spec.retries = 0;
    job.step();
    job.observed.excused(prove(1), common::broke(prove(1), FailureKind::Retryable));
    assert_eq!(job.step(), starts(&[prove(1)]));
    assert_eq!(job.status.failures[0].reason, "Retryable");
    job.observed.given_up(prove(1), common::broke(prove(1), FailureKind::Retryable), reason::OUT_OF_MEMORY);
    assert_eq!(job.step(), [Effect::Stop(prove(0))]);
    assert_eq!(summary_of(&job, "Succeeded"), pair("False", reason::OUT_OF_MEMORY));
    assert_eq!(job.status.failures[0].reason, reason::OUT_OF_MEMORY);
}

#[test]
fn a_spec_that_the_executor_refuses_ends_the_job_with_its_words() {
    let mut job = job();
    job.observed.refused("spec.store: missing".into());
    assert_eq!(job.step(), []);
    assert_eq!(summary_of(&job, "Succeeded"), pair("False", reason::INVALID_SPEC));
    assert_eq!(job.status.conditions.iter().find(|c| c.type_ == "Succeeded").unwrap().message, "spec.store: missing");
}
