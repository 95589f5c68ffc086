//! The operator is killed at every request it makes, while that request is refused, carried out unheard, or carried out
//! late. Started anew with an empty memory, it reaches the same end, and makes nothing twice.

use std::{collections::BTreeSet, sync::Arc};

use crate::fake::{
    cluster::{End, Script},
    fault::{Fault, Planned},
    lab::{Lab, block_on, job},
};
use crds::contract::Task;
use serde_json::{Value, json};

/// A life with everything in it: a retry, a class that is too small, a proof that is rejected, an inline input.
fn script() -> Script {
    Arc::new(|trial| match (trial.task, trial.before, trial.class) {
        (Task::Execute {}, 0, _) => End::Exit(1),
        (Task::Prove { subgraph: 1 }, _, 0) => End::OutOfMemory,
        (Task::Aggregate {}, 0, _) => End::Lost(Task::Prove { subgraph: 2 }),
        _ => End::Done,
    })
}

fn manifest() -> Value {
    job("digits", json!({ "input": { "url": null, "values": [[0.5, 1.5]] } }))
}

/// What must be the same after every life: the end, and every child that was ever made.
#[derive(Debug, PartialEq)]
struct Outcome {
    phase: String,
    result: Value,
    proof: Value,
    completed: Value,
    children: BTreeSet<String>,
    maps: BTreeSet<String>,
}

/// Lives once; with a fault, the operator is killed when it strikes. Returns the end and the number of requests.
async fn live(fault: Option<Planned>) -> (Outcome, usize) {
    let mut lab = Lab::new(script());
    lab.api.state().planned = fault;
    lab.start();
    lab.apply(manifest());
    if fault.is_some() {
        let mut struck = lab.api.struck();
        tokio::select! {
            _ = struck.wait_for(|struck| *struck) => {}
            () = lab.until_phase("digits", "Succeeded") => {}
        }
        lab.kill().await;
        lab.start();
    }
    lab.until_phase("digits", "Succeeded").await;
    lab.settle().await;
    let made = |resource: &str| {
        let created = lab.created(resource);
        let distinct: BTreeSet<String> = created.iter().cloned().collect();
        assert_eq!(created.len(), distinct.len(), "{resource} made twice: {created:?}");
        distinct
    };
    let status = serde_json::to_value(lab.job("digits").unwrap().status.unwrap()).unwrap();
    let end = Outcome {
        phase: lab.phase("digits"),
        result: status["result"].clone(),
        proof: status["proof"].clone(),
        completed: status["completedIndexes"].clone(),
        children: made("jobs"),
        maps: made("configmaps"),
    };
    let requests = lab.api.state().requests;
    (end, requests)
}

#[test]
fn killed_at_any_request_the_operator_reaches_the_same_end_and_makes_nothing_twice() {
    block_on(async {
        let (expected, requests) = live(None).await;
        assert_eq!(expected.children.len(), 7, "{expected:?}");
        assert!(requests > 20, "{requests}");
        for fault in Fault::ALL {
            for at in 1..=requests {
                let (end, _) = live(Some(Planned { fault, at })).await;
                assert_eq!(end, expected, "{fault:?} at request {at}");
            }
        }
    });
}

#[test]
fn a_fault_without_a_crash_is_outlived() {
    block_on(async {
        let (expected, requests) = live(None).await;
        for fault in Fault::ALL {
            for at in (1..=requests).step_by(3) {
                let mut lab = Lab::new(script());
                lab.api.state().planned = Some(Planned { fault, at });
                lab.start();
                lab.apply(manifest());
                lab.until_phase("digits", "Succeeded").await;
                let created = lab.created("jobs");
                assert_eq!(created.iter().cloned().collect::<BTreeSet<_>>(), expected.children, "{fault:?} at {at}");
                assert_eq!(created.len(), expected.children.len());
            }
        }
    });
}

#[test]
fn two_operators_that_both_believe_they_lead_make_nothing_twice() {
    block_on(async {
        let (expected, _) = live(None).await;
        let mut lab = Lab::new(script());
        lab.start();
        // The first one goes on, as one does that has lost its lease and does not know it yet.
        lab.start();
        lab.apply(manifest());
        lab.until_phase("digits", "Succeeded").await;
        lab.settle().await;
        assert_eq!(lab.phase("digits"), "Succeeded");
        let created = lab.created("jobs");
        assert_eq!(created.len(), expected.children.len());
        assert_eq!(created.into_iter().collect::<BTreeSet<_>>(), expected.children);
    });
}
