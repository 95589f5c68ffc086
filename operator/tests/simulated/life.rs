//! Jobs on a cluster in memory, from `kubectl apply` to the end, while nothing fails.

use std::{sync::Arc, time::Duration};

use crate::fake::{
    cluster::{End, all_stages, prove, scripted, smooth},
    lab::{Lab, block_on, job, key},
};
use crds::{
    condition,
    contract::{Stage, Task},
    reason,
};
use serde_json::json;

#[test]
fn a_job_goes_through_its_stages_and_the_answer_comes_before_the_proof() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| if trial.task == prove(1) { End::Hangs } else { End::Done }));
        lab.apply(job("digits", json!({})));
        lab.until("the answer", |lab| lab.job("digits").is_some_and(|j| j.status.is_some_and(|s| s.result.is_some())))
            .await;
        let status = lab.job("digits").unwrap().status.unwrap();
        assert_eq!(status.result.unwrap().outputs[0].class, Some(1));
        assert!(status.proof.is_none());
        assert_eq!(lab.condition("digits", condition::EXECUTED).0, "True");
        assert_eq!(lab.condition("digits", condition::SUCCEEDED).0, "Unknown");
        lab.until("the others", |lab| lab.children().iter().any(|child| child.completed.to_string() == "0,2")).await;
    });
}

#[test]
fn a_smooth_job_takes_few_writes() {
    block_on(async {
        let lab = Lab::running(smooth());
        lab.apply(job("digits", json!({})));
        lab.until_phase("digits", "Succeeded").await;
        lab.settle().await;
        assert_eq!(lab.made(), all_stages());
        let status = lab.job("digits").unwrap().status.unwrap();
        assert_eq!(
            status.proof.as_ref().unwrap().uri,
            format!("s3://store/artifacts/{}", status.proof.as_ref().unwrap().digest)
        );
        assert_eq!(status.completed_indexes.as_deref(), Some("0-2"));
        assert!(Stage::ALL.iter().all(|&stage| status.stages.of(stage).unwrap().completion_time.is_some()));
        assert_eq!(status.observed_generation, Some(1));
        let reasons: Vec<String> = lab.events().into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(reasons, ["Executed", "Succeeded"]);
        let writes = lab.seen().iter().filter(|seen| seen.is_write()).count();
        assert!(writes <= 12, "{writes} writes: {:#?}", lab.seen());
    });
}

#[test]
fn workers_get_no_access_and_the_pod_security_that_is_called_restricted() {
    block_on(async {
        let lab = Lab::running(smooth());
        let prove = json!({
            "resources": { "limits": { "cpu": "4" } }, "memoryClasses": ["2Gi", "8Gi"], "nodeSelector": { "pool": "gpu" },
            "priorityClassName": "high", "env": [{ "name": "RUST_LOG", "value": "debug" }],
        });
        lab.apply(job("digits", json!({
            "device": "Gpu", "parallelism": 2, "retries": 4, "activeDeadlineSeconds": 600, "stages": { "prove": prove },
            "store": { "url": "gs://own", "secretRef": { "name": "keys" } },
        })));
        lab.until_phase("digits", "Succeeded").await;
        for job in lab.jobs() {
            let (meta, spec) = (&job["metadata"], &job["spec"]);
            let pod = &spec["template"]["spec"];
            let container = &pod["containers"][0];
            assert_eq!(meta["ownerReferences"][0]["controller"], true);
            assert_eq!(pod["automountServiceAccountToken"], false);
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
            assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
            assert_eq!(container["envFrom"][0]["secretRef"]["name"], "keys");
            assert_eq!(spec["podReplacementPolicy"], "Failed");
            assert_eq!(spec["activeDeadlineSeconds"], 600);
            assert_eq!(spec["podFailurePolicy"]["rules"][0]["action"], "Ignore");
        }
        let jobs = lab.jobs();
        let spec =
            &jobs.iter().find(|job| job["metadata"]["labels"]["proofmill.dev/stage"] == "prove").unwrap()["spec"];
        assert_eq!(
            (&spec["completionMode"], &spec["completions"], &spec["parallelism"]),
            (&json!("Indexed"), &json!(3), &json!(2))
        );
        assert_eq!(spec["backoffLimitPerIndex"], 4);
        let pod = &spec["template"]["spec"];
        assert_eq!((&pod["nodeSelector"]["pool"], &pod["priorityClassName"]), (&json!("gpu"), &json!("high")));
        let resources = &pod["containers"][0]["resources"];
        assert_eq!(resources["limits"], json!({ "cpu": "4", "memory": "2Gi", "nvidia.com/gpu": "1" }));
        assert_eq!(resources["requests"], json!({ "memory": "2Gi" }));
    });
}

#[test]
fn parallelism_may_change_while_a_job_runs_and_holds_for_all_its_children_together() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| match trial.task {
            Task::Prove { .. } => End::Hangs,
            _ => End::Done,
        }));
        let pods = |lab: &Lab| -> Vec<u32> {
            let children = lab.children().into_iter().filter(|c| c.stage == Stage::Prove);
            children.map(|c| c.parallelism).collect()
        };
        // Of eight subgraphs the last is proved by a child of its own.
        lab.apply(job("digits", json!({ "partition": { "subgraphs": 8 }, "parallelism": 2 })));
        lab.until("two children", |lab| pods(lab) == [2, 0]).await;
        for (parallelism, expected) in [(json!(5), [5, 0]), (json!(null), [7, 1]), (json!(1), [1, 0])] {
            lab.change("digits", json!({ "parallelism": parallelism }));
            lab.until("another number of pods", |lab| pods(lab) == expected).await;
        }
        lab.settle().await;
        let patches = lab.seen().iter().filter(|seen| seen.method == "PATCH" && seen.resource == "jobs").count();
        assert_eq!(patches, 5, "none without need");
    });
}

#[test]
fn a_job_is_suspended_and_goes_on_where_it_was() {
    block_on(async {
        let open = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let gate = open.clone();
        let lab = Lab::running(scripted(move |trial| {
            let held = trial.task == prove(1) && !gate.load(std::sync::atomic::Ordering::Relaxed);
            if held { End::Hangs } else { End::Done }
        }));
        lab.apply(job("digits", json!({})));
        lab.until("two proofs", |lab| lab.children().iter().any(|child| child.completed.to_string() == "0,2")).await;
        lab.change("digits", json!({ "suspend": true }));
        lab.until_phase("digits", "Suspended").await;
        assert_eq!(lab.condition("digits", condition::SUSPENDED).0, "True");
        assert!(lab.children().iter().any(|child| child.stage == Stage::Prove && child.suspended));
        open.store(true, std::sync::atomic::Ordering::Relaxed);
        lab.settle().await;
        assert_eq!(lab.phase("digits"), "Suspended");
        lab.change("digits", json!({ "suspend": false }));
        lab.until_phase("digits", "Succeeded").await;
        assert_eq!(lab.made(), all_stages(), "the same children go on");
        let reasons: Vec<String> = lab.events().into_iter().map(|(reason, _)| reason).collect();
        assert_eq!(reasons, ["Executed", "Suspended", "Resumed", "Succeeded"]);
    });
}

#[test]
fn a_queue_owns_the_suspension_of_children() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| if trial.task == prove(0) { End::Hangs } else { End::Done }));
        lab.apply(job("digits", json!({ "queueName": "team" })));
        let admit = |lab: &Lab, stage: &str| {
            let name = lab.jobs().iter().find(|j| j["metadata"]["labels"]["proofmill.dev/stage"] == stage).map(|j| {
                assert_eq!(j["metadata"]["labels"]["kueue.x-k8s.io/queue-name"], "team");
                assert_eq!(j["spec"]["suspend"], true);
                j["metadata"]["name"].as_str().unwrap().to_owned()
            });
            lab.api
                .with(|objects| {
                    objects.update(&key("jobs", &name.unwrap()), |job| job["spec"]["suspend"] = json!(false))
                })
                .unwrap();
        };
        for stage in ["setup", "execute", "prove"] {
            lab.until(stage, |lab| lab.made().iter().any(|(made, _)| made.to_string() == stage)).await;
            lab.settle().await;
            admit(&lab, stage);
        }
        lab.until("a proof", |lab| lab.children().iter().any(|child| !child.completed.is_empty())).await;
        // What the queue would only start again is deleted.
        lab.change("digits", json!({ "suspend": true }));
        lab.until("an end", |lab| lab.children().iter().all(|child| child.stage != Stage::Prove)).await;
        assert!(lab.seen().iter().all(|seen| !(seen.method == "PATCH" && seen.resource == "jobs")));
    });
}

#[test]
fn a_deleted_job_leaves_nothing() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| if trial.task == prove(0) { End::Hangs } else { End::Done }));
        lab.apply(job("digits", json!({ "input": { "url": null, "values": [[1.0, 2.0]] } })));
        lab.until_phase("digits", "Proving").await;
        assert_eq!((lab.created("configmaps").len(), lab.remembered()), (1, 1));
        lab.api.with(|objects| objects.delete(&key("proofjobs", "digits"))).unwrap();
        lab.until("nothing", |lab| lab.jobs().is_empty()).await;
        lab.settle().await;
        let left: Vec<_> =
            lab.api.state().objects.all.keys().map(|key| key.resource.clone()).filter(|r| r != "events").collect();
        assert!(left.is_empty(), "{left:?}");
        lab.until("an empty memory", |lab| lab.remembered() == 0).await;
    });
}

#[test]
fn an_ended_job_is_deleted_when_its_time_is_over() {
    block_on(async {
        let lab = Lab::running(smooth());
        lab.apply(job("digits", json!({ "ttlSecondsAfterFinished": 1 })));
        lab.until_phase("digits", "Succeeded").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(lab.job("digits").is_some());
        lab.until("the end", |lab| lab.job("digits").is_none() && lab.jobs().is_empty()).await;
    });
}

#[test]
fn a_job_without_a_proof_fails_at_its_deadline_and_its_children_end() {
    block_on(async {
        let lab = Lab::running(scripted(|trial| if trial.task == prove(0) { End::Hangs } else { End::Done }));
        lab.apply(job("digits", json!({ "activeDeadlineSeconds": 1 })));
        lab.until_phase("digits", "Failed").await;
        assert_eq!(lab.condition("digits", condition::SUCCEEDED).1, reason::DEADLINE_EXCEEDED);
        lab.until("an end", |lab| lab.children().iter().all(|child| child.stage != Stage::Prove)).await;
    });
}

#[test]
fn what_cannot_be_run_is_refused_by_field() {
    block_on(async {
        let lab = Lab::running(smooth());
        lab.apply(job("local", json!({ "store": { "url": "file:///tmp/store" } })));
        lab.until_phase("local", "Failed").await;
        let (_, reason, message) = lab.condition("local", condition::SUCCEEDED);
        assert_eq!(reason, reason::INVALID_SPEC);
        assert!(message.contains("spec.store.url"), "{message}");

        lab.api.state().refuse = |key, _| {
            let refused = crate::fake::objects::Refusal {
                code: 422,
                reason: "Invalid",
                message: "spec.template: no such thing".into(),
            };
            (key.resource == "jobs" && key.name.contains("prove")).then_some(refused)
        };
        lab.apply(job("invalid", json!({})));
        lab.until_phase("invalid", "Failed").await;
        let (_, reason, message) = lab.condition("invalid", condition::SUCCEEDED);
        assert_eq!(reason, reason::INVALID_SPEC);
        assert!(message.contains("no such thing"), "{message}");
    });
}

#[test]
fn a_bad_object_and_a_foreign_one_do_not_stop_the_others() {
    block_on(async {
        let lab = Lab::running(smooth());
        let mut unreadable = job("unreadable", json!({}));
        unreadable["spec"]["securityBits"] = json!("many");
        lab.apply(unreadable);
        lab.apply(job("foreign", json!({ "managedBy": "example.org/other" })));
        lab.apply(job("digits", json!({ "managedBy": "proofmill.dev/operator" })));
        lab.until_phase("digits", "Succeeded").await;
        lab.settle().await;
        assert_eq!(lab.phase("foreign"), "");
        assert_eq!(lab.children().len(), 4);
        assert!(lab.events().iter().any(|(reason, note)| reason == "Unreadable" && note.contains("many")));
    });
}

#[test]
fn namespaces_that_are_not_watched_are_left_alone() {
    block_on(async {
        let mut lab = Lab::new(smooth());
        lab.watch_only(&["ns", "third"]);
        lab.start();
        let mut elsewhere = job("digits", json!({}));
        elsewhere["metadata"]["namespace"] = json!("elsewhere");
        lab.apply(elsewhere);
        lab.apply(job("digits", json!({})));
        lab.until_phase("digits", "Succeeded").await;
        assert_eq!(lab.children().len(), 4);
    });
}

#[test]
fn a_model_is_set_up_once_for_many_jobs() {
    block_on(async {
        let lab = Lab::running(smooth());
        let using = |name: &str| {
            job(name, json!({ "model": null, "modelRef": { "name": "digits" }, "partition": { "subgraphs": "Auto" } }))
        };
        lab.apply(using("first"));
        lab.until("a wait", |lab| lab.phase("first") == "Setup").await;
        assert!(lab.condition("first", condition::SUCCEEDED).2.contains("ProofModel digits, which does not exist"));
        lab.apply(json!({
            "apiVersion": "proofmill.dev/v1alpha1", "kind": "ProofModel", "metadata": { "name": "digits", "namespace": "ns" },
            "spec": { "model": { "source": "digits/digits.onnx" }, "partition": { "subgraphs": 2 }, "store": { "url": "s3://models" } },
        }));
        lab.apply(using("second"));
        for name in ["first", "second"] {
            lab.until_phase(name, "Succeeded").await;
            let proof = lab.job(name).unwrap().status.unwrap().proof.unwrap();
            assert!(proof.uri.starts_with("s3://models/"), "{}", proof.uri);
        }
        lab.settle().await;
        let status = lab.model("digits").status.unwrap();
        assert_eq!((status.phase.as_deref(), status.subgraphs), (Some("Succeeded"), Some(2)));
        assert!(status.model.unwrap().key_uri.starts_with("s3://models/artifacts/"));
        assert_eq!(lab.children().iter().filter(|child| child.stage == Stage::Setup).count(), 1);
        // Fewer bits than a job asks for are not passed off as enough.
        lab.apply(job("strict", json!({ "model": null, "modelRef": { "name": "digits" }, "partition": { "subgraphs": "Auto" }, "securityBits": 100 })));
        lab.until_phase("strict", "Failed").await;
        assert_eq!(lab.condition("strict", condition::SUCCEEDED).1, reason::INVALID_SPEC);
    });
}

#[test]
fn a_model_that_fails_fails_its_jobs() {
    block_on(async {
        let lab = Lab::running(scripted(|_| End::Exit(42)));
        lab.apply(json!({
            "apiVersion": "proofmill.dev/v1alpha1", "kind": "ProofModel", "metadata": { "name": "digits", "namespace": "ns" },
            "spec": { "model": { "source": "digits/digits.onnx" } },
        }));
        lab.apply(job(
            "first",
            json!({ "model": null, "modelRef": { "name": "digits" }, "partition": { "subgraphs": "Auto" } }),
        ));
        lab.until_phase("first", "Failed").await;
        assert!(lab.condition("first", condition::SUCCEEDED).2.contains("ProofModel digits has failed"));
        assert_eq!(lab.model("digits").status.unwrap().phase.as_deref(), Some("Failed"));
    });
}

#[test]
fn the_quickstart_runs_as_it_stands() {
    block_on(async {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/quickstart.yaml")).unwrap();
        let mut manifest = serde_json::to_value(crds::manifest::parse(&text).unwrap()).unwrap();
        manifest["metadata"]["namespace"] = json!("ns");
        let lab = Lab::running(smooth());
        lab.apply(manifest);
        lab.until_phase("quickstart", "Succeeded").await;
        let jobs = lab.jobs();
        let setup = jobs.iter().find(|job| job["metadata"]["labels"]["proofmill.dev/stage"] == "setup").unwrap();
        let args = &setup["spec"]["template"]["spec"]["containers"][0]["args"];
        assert!(
            args.as_array()
                .unwrap()
                .contains(&json!("--source=file:///usr/share/proofmill/examples/digits/digits.onnx")),
            "{args}"
        );
    });
}
