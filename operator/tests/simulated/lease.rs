//! Replicas that share a lease, in one cluster in memory.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::fake::{
    cluster::{End, Script},
    lab::{Lab, block_on, job},
};
use crds::contract::{Stage, Task};
use serde_json::json;

/// A lease that runs out takes 15 s. What is handed over must not wait for it.
const SOON: Duration = Duration::from_secs(5);

fn held_up(subgraph: u32, gate: &Arc<AtomicBool>) -> Script {
    let gate = gate.clone();
    Arc::new(move |trial| {
        let held = trial.task == Task::Prove { subgraph } && !gate.load(Ordering::Relaxed);
        if held { End::Hangs } else { End::Done }
    })
}

#[test]
fn a_replica_that_is_told_to_stop_hands_over_at_once_and_the_job_goes_on() {
    block_on(async {
        let open = Arc::default();
        let lab = Lab::new(held_up(1, &open));
        let (stop, first) = lab.replica("first");
        lab.until("a leader", |lab| lab.leader().as_deref() == Some("first")).await;
        let (_keep, second) = lab.replica("second");
        lab.apply(job("digits", json!({})));
        lab.until("two proofs", |lab| lab.children().iter().any(|child| child.completed.to_string() == "0,2")).await;
        let before = lab.seen().len();
        // Longer than the second takes to see that the first leads, and to go to sleep until its lease ends.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(lab.seen()[before..].iter().all(|seen| !seen.is_write()), "one replica works, and has nothing to do");

        let begun = Instant::now();
        stop.send_replace(true);
        first.await.unwrap().unwrap();
        lab.until("another leader", |lab| lab.leader().as_deref() == Some("second")).await;
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        open.store(true, Ordering::Relaxed);
        lab.until_phase("digits", "Succeeded").await;
        let stages: Vec<Stage> = lab.made().into_iter().map(|(stage, _)| stage).collect();
        assert_eq!(stages, Stage::ALL);
        assert!(!second.is_finished());
    });
}

#[test]
fn of_replicas_that_begin_together_one_leads() {
    block_on(async {
        let lab = Lab::new(held_up(9, &Arc::default()));
        let replicas: Vec<_> = ["first", "second", "third"].map(|name| lab.replica(name)).into();
        lab.until("a leader", |lab| lab.leader().is_some()).await;
        let leader = lab.leader();
        lab.apply(job("digits", json!({})));
        lab.until_phase("digits", "Succeeded").await;
        assert_eq!(lab.leader(), leader);
        assert_eq!(lab.created("jobs").len(), 4);
        // Each goes when it is told to, whether it leads or not, and leaves the lease to nobody or to the next.
        for (stop, life) in replicas {
            stop.send_replace(true);
            life.await.unwrap().unwrap();
        }
        assert_eq!(lab.leader(), None);
    });
}
