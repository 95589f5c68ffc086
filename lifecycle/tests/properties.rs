//! Properties of every life of a job: random outcomes, restarts of the executor, late and repeated observations.

mod common;

use std::collections::BTreeSet;

use common::{AGGREGATE, EXECUTE, Job, SETUP, job, prove};
use crds::{
    condition,
    contract::{FailureKind, Task},
    reason,
};
use proofmill_lifecycle::Effect;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Event {
    Finished(Task),
    Failed(Task, FailureKind),
    Lost(Task),
    Excused(Task),
    GivenUp(Task),
    Suspended(bool),
    /// The executor's processes are gone, and it remembers only what is in the store.
    Restarted,
    Passed(i64),
}

fn tasks(subgraphs: u32) -> impl Strategy<Value = Task> {
    prop_oneof![Just(SETUP), Just(EXECUTE), (0..subgraphs).prop_map(prove), Just(AGGREGATE)]
}

fn events(subgraphs: u32) -> impl Strategy<Value = Event> {
    let kind = prop_oneof![
        8 => Just(FailureKind::Retryable), 1 => Just(FailureKind::Deterministic), 1 => Just(FailureKind::WrongModelOrVersion)
    ];
    prop_oneof![
        8 => tasks(subgraphs).prop_map(Event::Finished),
        3 => (tasks(subgraphs), kind).prop_map(|(task, kind)| Event::Failed(task, kind)),
        1 => tasks(subgraphs).prop_map(Event::Lost),
        1 => tasks(subgraphs).prop_map(Event::Excused),
        1 => tasks(subgraphs).prop_map(Event::GivenUp),
        1 => any::<bool>().prop_map(Event::Suspended),
        1 => Just(Event::Restarted),
        1 => (0i64..40).prop_map(Event::Passed),
    ]
}

fn running(job: &Job) -> BTreeSet<Task> {
    job.observed.tasks().filter(|(_, state)| state.running).map(|(task, _)| task).collect()
}

/// Applies an event as far as it can happen: only a process that runs can end.
fn apply(job: &mut Job, event: &Event, subgraphs: u32) {
    match event {
        Event::Finished(task) if running(job).contains(task) => job.finish(*task, subgraphs),
        Event::Failed(task, kind) if running(job).contains(task) => job.fail(*task, *kind),
        Event::Lost(task) => job.observed.lost(*task),
        Event::Excused(task) if running(job).contains(task) => {
            job.observed.excused(*task, common::broke(*task, FailureKind::Retryable));
        }
        Event::GivenUp(task) if running(job).contains(task) => {
            job.observed.given_up(*task, common::broke(*task, FailureKind::Retryable), reason::OUT_OF_MEMORY);
        }
        Event::Suspended(suspend) => job.spec.suspend = *suspend,
        Event::Restarted => running(job).into_iter().for_each(|task| job.observed.stopped(task)),
        Event::Passed(seconds) => job.pass_seconds(*seconds),
        Event::Finished(_) | Event::Failed(..) | Event::Excused(_) | Event::GivenUp(_) => {}
    }
}

fn check_decision(job: &Job) -> Result<(), TestCaseError> {
    let decision = job.decide();
    let mut started = BTreeSet::new();
    for effect in &decision.effects {
        if let Effect::Start(task) = *effect {
            let state = job.observed.task(task);
            prop_assert!(!state.running && !state.done && started.insert(task), "a second child for {task}");
            let needs = |task| job.observed.task(task).done;
            let all_proved = || (0..job.observed.subgraphs().unwrap()).all(|subgraph| needs(prove(subgraph)));
            prop_assert!(
                match task {
                    Task::Setup {} => true,
                    Task::Execute {} => needs(SETUP),
                    Task::Prove { .. } => needs(SETUP) && needs(EXECUTE),
                    Task::Aggregate {} => needs(SETUP) && needs(EXECUTE) && all_proved(),
                },
                "{task} before its inputs"
            );
        }
    }
    let limit = job.spec.parallelism.unwrap() as usize;
    let proving = |tasks: &BTreeSet<Task>| tasks.iter().filter(|task| task.subgraph().is_some()).count();
    prop_assert!(started.is_empty() || proving(&started) + proving(&running(job)) <= limit.max(proving(&running(job))));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_life_keeps_the_rules(
        (subgraphs, life) in (1u32..6).prop_flat_map(|n| (Just(n), proptest::collection::vec(events(n), 0..120))),
        parallelism in 1u32..5,
        retries in 0u32..4,
        deadline in proptest::option::of(1u32..200),
    ) {
        let mut job = job();
        (job.spec.parallelism, job.spec.retries, job.spec.active_deadline_seconds) = (Some(parallelism), retries, deadline);
        let mut ended = None;
        for event in &life {
            check_decision(&job)?;
            job.step();
            prop_assert_eq!(&job.decide().effects, &[], "deciding again asks for nothing");
            prop_assert_eq!(&job.decide().status, &job.status, "deciding again says the same");
            if let Some(status) = &ended {
                prop_assert_eq!(&job.status, status, "an ended job stays as it is");
            } else if job.status.completion_time.is_some() {
                ended = Some(job.status.clone());
            }
            if ended.is_some() || job.spec.suspend {
                prop_assert!(running(&job).is_empty(), "nothing runs after the end, or while suspended");
            }
            apply(&mut job, event, subgraphs);
        }
    }

    #[test]
    fn a_job_whose_tasks_succeed_ends_with_a_proof(
        (subgraphs, life) in (1u32..6).prop_flat_map(|n| (Just(n), proptest::collection::vec(events(n), 0..60))),
        parallelism in 1u32..5,
    ) {
        let mut job = job();
        (job.spec.parallelism, job.spec.retries) = (Some(parallelism), u32::MAX);
        let fatal = |event: &&Event| match event {
            Event::Failed(_, kind) => *kind != FailureKind::Retryable,
            Event::GivenUp(_) => true,
            _ => false,
        };
        for event in life.iter().filter(|event| !fatal(event)) {
            job.step();
            apply(&mut job, event, subgraphs);
        }
        job.spec.suspend = false;
        for _ in 0..subgraphs + 4 {
            job.step();
            running(&job).into_iter().for_each(|task| job.finish(task, subgraphs));
        }
        job.step();
        prop_assert_eq!(job.status.phase.as_deref(), Some("Succeeded"));
        for condition in &job.status.conditions {
            let expected = if condition.type_ == condition::SUSPENDED { "False" } else { "True" };
            prop_assert_eq!(&condition.status, expected, "{}", condition.type_);
        }
    }

    #[test]
    fn the_order_of_observations_does_not_matter(
        order in Just((0u32..6).collect::<Vec<_>>()).prop_shuffle(),
        repeated in 0usize..6,
    ) {
        let mut job = job();
        job.finish(SETUP, 8);
        job.finish(EXECUTE, 8);
        job.spec.parallelism = Some(6);
        job.step();
        let mut shuffled = order.clone();
        shuffled.push(order[repeated]);
        for (position, &subgraph) in shuffled.iter().enumerate() {
            job.finish(prove(subgraph), 8);
            // A failure that is heard of after the success, as from a second watch of the same child.
            if position % 2 == 0 {
                job.fail(prove(subgraph), FailureKind::Deterministic);
            }
        }
        prop_assert_eq!(job.step(), common::starts(&[prove(6), prove(7)]));
        prop_assert_eq!(job.status.completed_indexes.as_deref(), Some("0-5"));
    }
}
