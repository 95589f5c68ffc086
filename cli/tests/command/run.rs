//! `run` and `verify` end to end, and runs that are killed.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::common::{Workplace, event, events, proofmill, text};
use serde_json::Value;

const SUBGRAPHS: u32 = 3;

fn signal(name: &str, pid: impl ToString) {
    // It may have ended by itself meanwhile.
    let _ = Command::new("kill").args([name, &pid.to_string()]).stderr(Stdio::null()).status().unwrap();
}

/// Stops a worker in the middle of its work.
fn catch_worker(run: &Child) -> String {
    let mut caught = None;
    assert!(
        within_seconds(60, || {
            caught = workers(run).into_iter().find(|pid| {
                signal("-STOP", pid);
                within_seconds(5, || state(pid) != Some('R') && state(pid) != Some('S')) && state(pid) == Some('T')
            });
            caught.is_some()
        }),
        "no worker to catch"
    );
    caught.unwrap()
}

/// What a process does: runs, sleeps, is stopped, is a zombie; nothing if there is none.
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn workers(parent: &Child) -> Vec<String> {
    let id = parent.id();
    // A process's threads start workers too: each lists its own.
    let Ok(threads) = fs::read_dir(format!("/proc/{id}/task")) else { return vec![] };
    let children = threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children = children.flat_map(|list| list.split_whitespace().map(String::from).collect::<Vec<_>>());
    // A child that is still a copy of its parent holds the parent up: stopping it would stop both.
    let has_begun =
        |pid: &String| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| text(&line).contains("\0worker\0"));
    children.filter(has_begun).collect()
}

fn lives(pid: &str) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

fn within_seconds(seconds: u64, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while Instant::now() < deadline {
        if done() {
            return true;
        }
        thread::sleep(Duration::from_millis(5));
    }
    false
}

fn tasks(events: &[Value], reused: bool) -> usize {
    events.iter().filter(|event| event["event"] == "finished" && event["reused"] == reused).count()
}

#[test]
fn a_job_is_proved_verified_and_found_again_and_other_claims_are_refused() {
    let place = Workplace::new(SUBGRAPHS, "");
    let first = events(&place.run().output().unwrap());
    let position = |kind: &str| first.iter().position(|event| event["event"] == kind).unwrap();
    let proved = first.iter().position(|event| event["task"]["stage"] == "Prove").unwrap();
    assert!(position("result") < proved, "the answer comes before any proving");
    assert_eq!(event(&first, "result")["outputs"][0]["class"], 7);
    assert_eq!((tasks(&first, false), tasks(&first, true)), (SUBGRAPHS as usize + 3, 0));

    let (proof, key) = (place.path("out/proof.bin"), place.path("out/model.key"));
    let verify = |proof: &std::path::Path| {
        let args = [proof.as_os_str(), "--model".as_ref(), key.as_os_str(), "--json".as_ref()];
        proofmill(["verify"]).args(args).output().unwrap()
    };
    let verdict = &events(&verify(&proof))[0];
    assert_eq!((&verdict["accepted"], &verdict["inferences"][0]["outputs"][0]["class"]), (&true.into(), &7.into()));
    assert!(verdict["soundness"]["bits"].as_f64().unwrap() >= 100.0);
    assert!(verdict["soundness"]["terms"].as_array().unwrap().len() > SUBGRAPHS as usize);

    let mut altered = fs::read(&proof).unwrap();
    let middle = altered.len() / 2;
    altered[middle] ^= 1;
    let bad = place.path("bad.bin");
    for bytes in [&altered[..], &altered[..middle], b""] {
        fs::write(&bad, bytes).unwrap();
        let output = verify(&bad);
        assert_eq!(output.status.code(), Some(1));
        let verdict: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(verdict["accepted"] == false && !verdict["reason"].as_str().unwrap().is_empty());
    }

    let second = events(&place.run().output().unwrap());
    assert_eq!((tasks(&second, false), tasks(&second, true)), (0, SUBGRAPHS as usize + 3));
    assert_eq!(event(&second, "proof")["digest"], event(&first, "proof")["digest"]);
}

#[test]
fn a_run_that_is_killed_anywhere_ends_in_the_same_proof() {
    let undisturbed = events(&Workplace::new(SUBGRAPHS, "").run().output().unwrap());
    let place = Workplace::new(SUBGRAPHS, "");
    // After the start, and then each time one task further, until a run comes through.
    for survived in 0..SUBGRAPHS as usize + 3 {
        let mut run = place.run().stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
        let finished = |line: &String| line.contains("\"finished\"");
        assert_eq!(lines.by_ref().map_while(Result::ok).filter(finished).take(survived).count(), survived);
        // In the middle of the next task.
        assert!(within_seconds(60, || !workers(&run).is_empty()));
        let orphans = workers(&run);
        signal("-KILL", run.id());
        run.wait().unwrap();
        assert!(within_seconds(20, || !orphans.iter().any(|pid| lives(pid))), "workers outlive the run");
    }
    let last = events(&place.run().output().unwrap());
    assert!(tasks(&last, true) >= 2, "what was made is used again");
    assert_eq!(event(&last, "proof")["digest"], event(&undisturbed, "proof")["digest"]);
}

#[test]
fn killed_workers_are_started_again_until_the_retries_end() {
    let place = Workplace::new(1, "  retries: 3\n");
    let run = place.run().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    for _ in 0..2 {
        let worker = catch_worker(&run);
        signal("-KILL", &worker);
        assert!(within_seconds(20, || !lives(&worker)));
    }
    let all = events(&run.wait_with_output().unwrap());
    let failures = all.iter().filter(|event| event["event"] == "failed");
    assert_eq!(failures.clone().count(), 2);
    assert!(failures.clone().all(|event| event["message"] == "the worker was killed"));

    let place = Workplace::new(1, "  retries: 0\n");
    let run = place.run().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    signal("-KILL", catch_worker(&run));
    let output = run.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("the worker was killed (RetriesExhausted)"), "{}", text(&output.stderr));
}

#[test]
fn a_deadline_ends_a_job_and_its_workers() {
    // A stopped worker neither ends nor fails: only the clock can end this job.
    let place = Workplace::new(1, "  activeDeadlineSeconds: 1\n");
    let run = place.run().stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let worker = catch_worker(&run);
    let output = run.wait_with_output().unwrap();
    signal("-KILL", worker);
    assert!(text(&output.stderr).contains("DeadlineExceeded"), "{}", text(&output.stderr));
}
