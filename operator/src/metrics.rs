//! What is counted. Labels are bounded: no job's name is one.

use std::{sync::Arc, time::Duration};

use crds::{
    ProofJobStatus, condition,
    contract::{FailureKind, Outcome, Stage, Task, Traffic},
    reason,
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::ObjectMeta, jiff::Timestamp};
use kube::runtime::watcher::Event;
use prometheus::{
    CounterVec, Encoder, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry, TextEncoder,
};

use crate::{attempt::Attempt, child::Child, controller::Scope, gpu::GpuMetrics, observe::Attempts};

/// Seconds: from one to four hours.
const JOB_SECONDS: [f64; 14] = [1., 2., 5., 10., 20., 30., 60., 120., 300., 600., 1200., 1800., 3600., 14400.];
/// Seconds of an API call or a reconcile.
const CALL_SECONDS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 10.];
/// Seconds of a wait in the operator: the SLO's second is one of them.
const WAIT_SECONDS: [f64; 12] = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1., 2.5, 5., 10.];
/// Bytes of a proof: 16 KiB to 64 MiB.
const PROOF_BYTES: [f64; 7] = [16384., 65536., 262_144., 1_048_576., 4_194_304., 16_777_216., 67_108_864.];

/// All metrics of the operator.
pub struct Metrics {
    registry: Registry,
    current: IntGaugeVec,
    oldest: GaugeVec,
    subgraphs: IntGaugeVec,
    finished: IntCounterVec,
    duration: HistogramVec,
    stage_duration: HistogramVec,
    admission_wait: HistogramVec,
    attempts: IntCounterVec,
    prove_seconds: HistogramVec,
    aggregate_seconds: Histogram,
    proof_bytes: Histogram,
    peak_memory: HistogramVec,
    pod_start: HistogramVec,
    artifact_operations: IntCounterVec,
    artifact_bytes: IntCounterVec,
    artifact_seconds: CounterVec,
    verifications: IntCounterVec,
    gpu_seconds: CounterVec,
    gpu: GpuMetrics,
    reconciles: IntCounterVec,
    reconcile_errors: IntCounterVec,
    reconcile_duration: HistogramVec,
    inflight: IntGaugeVec,
    queue_depth: IntGaugeVec,
    queue_seconds: HistogramVec,
    event_to_status: HistogramVec,
    requests: IntCounterVec,
    request_duration: HistogramVec,
    watch_events: IntCounterVec,
    watch_errors: IntCounterVec,
    status_patches: IntCounterVec,
    leader: IntGauge,
}

impl Metrics {
    /// All metrics at zero.
    ///
    /// # Errors
    /// If two had one name.
    pub fn new() -> prometheus::Result<Arc<Self>> {
        let registry = Registry::new_custom(Some("proofjob".into()), None)?;
        let make = Maker { registry: &registry };
        let metrics = Self {
            current: make.gauges("current", "Jobs by phase", &["namespace", "phase"])?,
            oldest: make.float_gauges(
                "oldest_unfinished_seconds",
                "Age of the oldest job in a phase",
                &["namespace", "stage"],
            )?,
            subgraphs: make.gauges("subgraphs_current", "Subgraphs of unfinished jobs", &["namespace", "state"])?,
            finished: make.counters("finished_total", "Jobs that have ended", &["namespace", "result", "cause"])?,
            duration: make.histograms("duration_seconds", "Start to end of a job", &["result"], &JOB_SECONDS)?,
            stage_duration: make.histograms(
                "stage_duration_seconds",
                "Start to end of a stage",
                &["stage"],
                &JOB_SECONDS,
            )?,
            admission_wait: make.histograms(
                "admission_wait_seconds",
                "From a child's making to its admission by a queue",
                &["stage"],
                &JOB_SECONDS,
            )?,
            attempts: make.counters(
                "subgraph_attempts_total",
                "Pods that tried to prove a subgraph",
                &["class", "result", "reason"],
            )?,
            prove_seconds: make.histograms(
                "subgraph_prove_seconds",
                "Wall time of a subgraph's proof",
                &["class", "device"],
                &JOB_SECONDS,
            )?,
            aggregate_seconds: make.histogram("aggregate_seconds", "Wall time of an aggregation", &JOB_SECONDS)?,
            proof_bytes: make.histogram("proof_bytes", "Size of a proof", &PROOF_BYTES)?,
            peak_memory: make.histograms(
                "peak_memory_bytes",
                "Most memory of a worker",
                &["stage"],
                &[16e6, 64e6, 256e6, 1e9, 4e9, 16e9, 64e9, 256e9],
            )?,
            pod_start: make.histograms(
                "pod_start_seconds",
                "From a pod's making to the start of its container",
                &["stage"],
                &JOB_SECONDS,
            )?,
            artifact_operations: make.counters(
                "artifact_operations_total",
                "Requests of workers to the artifact store",
                &["stage", "op", "result"],
            )?,
            artifact_bytes: make.counters(
                "artifact_bytes_total",
                "Bytes that workers have read from the artifact store and written to it",
                &["stage", "op"],
            )?,
            artifact_seconds: make.float_counters(
                "artifact_seconds_total",
                "Time of workers in requests to the artifact store",
                &["stage", "op"],
            )?,
            verifications: make.counters("verifications_total", "Proofs that were checked", &["result", "where"])?,
            gpu_seconds: make.float_counters("gpu_seconds_total", "Time of workers on a GPU", &["class", "outcome"])?,
            gpu: GpuMetrics::new(&make)?,
            reconciles: make.counters("operator_reconciles_total", "Reconciles", &["controller", "result"])?,
            reconcile_errors: make.counters(
                "operator_reconcile_errors_total",
                "Reconciles that failed",
                &["controller", "error"],
            )?,
            reconcile_duration: make.histograms(
                "operator_reconcile_duration_seconds",
                "Time of a reconcile",
                &["controller"],
                &CALL_SECONDS,
            )?,
            inflight: make.gauges("operator_reconcile_inflight", "Reconciles under way", &["controller"])?,
            queue_depth: make.gauges(
                "operator_reconcile_queue_depth",
                "Objects with events that no reconcile has begun for",
                &["controller"],
            )?,
            queue_seconds: make.histograms(
                "operator_reconcile_queue_seconds",
                "From an object's event to the reconcile that it asks for",
                &["controller"],
                &WAIT_SECONDS,
            )?,
            event_to_status: make.histograms(
                "operator_event_to_status_seconds",
                "From an object's event to the status that tells of it",
                &["controller"],
                &WAIT_SECONDS,
            )?,
            requests: make.counters(
                "operator_apiserver_requests_total",
                "Requests to the API server",
                &["verb", "resource", "code"],
            )?,
            request_duration: make.histograms(
                "operator_apiserver_request_duration_seconds",
                "Time to an answer's head",
                &["verb", "resource"],
                &CALL_SECONDS,
            )?,
            watch_events: make.counters("operator_watch_events_total", "Events of watches", &["kind", "op"])?,
            watch_errors: make.counters("operator_watch_errors_total", "Watches that broke", &["kind"])?,
            status_patches: make.counters(
                "operator_status_patches_total",
                "Statuses that were written",
                &["result"],
            )?,
            leader: make.gauge("operator_leader", "1 in the replica that holds the lease")?,
            registry: registry.clone(),
        };
        let build = make.gauges("operator_build_info", "The operator's version", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        Ok(Arc::new(metrics))
    }

    /// The text that Prometheus scrapes. Gauges over all jobs are computed now.
    ///
    /// # Errors
    /// If a metric cannot be written.
    pub fn render(&self, scopes: &[Arc<Scope>], now: Timestamp) -> prometheus::Result<Vec<u8>> {
        self.current.reset();
        self.oldest.reset();
        self.subgraphs.reset();
        for scope in scopes {
            scope.for_each_job(|job| self.survey(job, now));
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    fn survey(&self, job: &crds::ProofJob, now: Timestamp) {
        let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
        let status = job.status.clone().unwrap_or_default();
        let phase = status.phase.as_deref().unwrap_or("Pending");
        self.current.with_label_values(&[namespace, phase]).inc();
        if status.completion_time.is_some() {
            return;
        }
        if let Some(created) = &job.metadata.creation_timestamp {
            let age = now.duration_since(created.0).as_secs_f64();
            let oldest = self.oldest.with_label_values(&[namespace, phase]);
            oldest.set(oldest.get().max(age));
        }
        if let Some(counts) = status.subgraphs {
            let waiting = counts.total.saturating_sub(counts.active + counts.succeeded + counts.failed);
            for (state, count) in [
                ("active", counts.active),
                ("succeeded", counts.succeeded),
                ("failed", counts.failed),
                ("waiting", waiting),
            ] {
                self.subgraphs.with_label_values(&[namespace, state]).add(count.into());
            }
        }
    }

    /// A job's status has been published.
    pub fn job_changed(
        &self,
        meta: &ObjectMeta,
        before: &ProofJobStatus,
        after: &ProofJobStatus,
        children: &[Child],
        attempts: &Attempts,
    ) {
        let ended = before.completion_time.is_none() && after.completion_time.is_some();
        for stage in Stage::ALL {
            let times = after.stages.of(stage);
            let was_done = before.stages.of(stage).is_some_and(|stage| stage.completion_time.is_some());
            let Some((start, end)) = times.and_then(|t| Some((t.start_time.0, t.completion_time.as_ref()?.0))) else {
                if ended {
                    self.stage_tried(stage, children, attempts);
                }
                continue;
            };
            if !was_done {
                let label = stage.to_string();
                self.stage_duration.with_label_values(&[&label]).observe(seconds(start, end));
                self.stage_tried(stage, children, attempts);
            }
        }
        if before.proof.is_none()
            && let Some(proof) = &after.proof
        {
            self.proof_bytes.observe(proof.bytes as f64);
            self.verifications.with_label_values(&["accepted", "aggregator"]).inc();
        }
        if ended {
            let summary = after.conditions.iter().find(|c| c.type_ == condition::SUCCEEDED);
            let (result, cause) = match summary {
                Some(summary) if summary.status == "True" => ("succeeded", "none"),
                Some(summary) => ("failed", cause(&summary.reason)),
                None => ("failed", "platform"),
            };
            let namespace = meta.namespace.as_deref().unwrap_or_default();
            self.finished.with_label_values(&[namespace, result, cause]).inc();
            if let (Some(start), Some(end)) = (&after.start_time, &after.completion_time) {
                self.duration.with_label_values(&[result]).observe(seconds(start.0, end.0));
            }
        }
    }

    /// What the pods of a stage that is over have cost.
    fn stage_tried(&self, stage: Stage, children: &[Child], attempts: &Attempts) {
        let label = stage.to_string();
        for child in children.iter().filter(|child| child.stage == stage) {
            if let (Some(created), Some(started)) = (child.created, child.started) {
                self.admission_wait.with_label_values(&[&label]).observe(seconds(created, started));
            }
            for attempt in attempts.get(&child.name).into_iter().flatten() {
                self.tried(stage, &child.class.to_string(), attempt);
            }
        }
    }

    fn tried(&self, stage: Stage, class: &str, attempt: &Attempt) {
        let stage_label = stage.to_string();
        let done = attempt.outcome().is_ok();
        let (result, why) = match (done, attempt.outcome()) {
            (true, _) => ("succeeded", "none"),
            (_, _) if attempt.out_of_memory => ("failed", "oom"),
            (_, _) if attempt.disrupted => ("failed", "disruption"),
            (_, Err(FailureKind::Deterministic)) => ("failed", "deterministic"),
            (_, Err(FailureKind::WrongModelOrVersion)) => ("failed", "wrong_model_or_version"),
            _ if attempt.is_loss() => ("failed", "lost"),
            _ => ("failed", "exit"),
        };
        if let (Some(created), Some(started)) = (attempt.created, attempt.started) {
            self.pod_start.with_label_values(&[&stage_label]).observe(seconds(created, started));
        }
        if stage == Stage::Prove {
            self.attempts.with_label_values(&[class, result, why]).inc();
        }
        let Ok(record) = &attempt.record else { return };
        if let Outcome::Failed { lost: Some(Task::Prove { .. }), .. } = record.outcome
            && stage == Stage::Aggregate
        {
            self.verifications.with_label_values(&["rejected", "aggregator"]).inc();
        }
        let usage = &record.usage;
        self.peak_memory.with_label_values(&[&stage_label]).observe(usage.peak_memory_bytes as f64);
        for (op, traffic) in [("read", &usage.read), ("write", &usage.written)] {
            let Traffic { operations, failures, bytes, seconds } = *traffic;
            for (result, count) in [("ok", operations.saturating_sub(failures)), ("error", failures)] {
                self.artifact_operations.with_label_values(&[&stage_label, op, result]).inc_by(count.into());
            }
            self.artifact_bytes.with_label_values(&[&stage_label, op]).inc_by(bytes);
            self.artifact_seconds.with_label_values(&[&stage_label, op]).inc_by(seconds);
        }
        // A GPU's name is the worker's to say: it is no label.
        let device = if usage.device == "cpu" { "cpu" } else { "gpu" };
        if device == "gpu" {
            let outcome = if done { "useful" } else { "wasted" };
            self.gpu_seconds.with_label_values(&[class, outcome]).inc_by(usage.seconds);
        }
        if let Some(gpu) = &usage.gpu {
            self.gpu.count(&stage_label, gpu);
        }
        match stage {
            Stage::Prove if done => self.prove_seconds.with_label_values(&[class, device]).observe(usage.seconds),
            Stage::Aggregate if done => self.aggregate_seconds.observe(usage.seconds),
            _ => {}
        }
    }

    /// A reconcile begins; it ends when the value is dropped.
    pub fn reconciling(&self, controller: &str) -> impl Drop + Send + use<> {
        let gauge = self.inflight.with_label_values(&[controller]);
        gauge.inc();
        Running(gauge)
    }

    /// A reconcile has ended.
    pub fn reconciled(&self, controller: &str, well: bool, time: Duration) {
        let result = if well { "ok" } else { "error" };
        self.reconciles.with_label_values(&[controller, result]).inc();
        self.reconcile_duration.with_label_values(&[controller]).observe(time.as_secs_f64());
    }

    /// So many more objects wait for a reconcile.
    pub fn queued(&self, controller: &str, more: i64) {
        self.queue_depth.with_label_values(&[controller]).add(more);
    }

    /// An event has waited so long for its reconcile.
    pub fn waited(&self, controller: &str, time: Duration) {
        self.queue_seconds.with_label_values(&[controller]).observe(time.as_secs_f64());
    }

    /// An event has waited so long for a status that tells of it.
    pub fn told(&self, controller: &str, time: Duration) {
        self.event_to_status.with_label_values(&[controller]).observe(time.as_secs_f64());
    }

    /// A reconcile has failed.
    pub fn reconcile_failed(&self, controller: &str, error: &str) {
        self.reconcile_errors.with_label_values(&[controller, error]).inc();
    }

    /// The API server has answered, or has not.
    pub fn requested(&self, verb: &str, resource: &str, code: &str, time: Duration) {
        self.requests.with_label_values(&[verb, resource, code]).inc();
        self.request_duration.with_label_values(&[verb, resource]).observe(time.as_secs_f64());
    }

    /// A watch has brought an event.
    pub fn watched<K>(&self, kind: &str, event: &Event<K>) {
        let op = match event {
            Event::Apply(_) => "apply",
            Event::Delete(_) => "delete",
            Event::InitApply(_) => "list",
            Event::Init | Event::InitDone => return,
        };
        self.watch_events.with_label_values(&[kind, op]).inc();
    }

    /// A watch has broken.
    pub fn watch_failed(&self, kind: &str) {
        self.watch_errors.with_label_values(&[kind]).inc();
    }

    /// A status has been written, or not.
    pub fn status_patched(&self, well: bool) {
        self.status_patches.with_label_values(&[if well { "ok" } else { "error" }]).inc();
    }

    /// This replica leads, or does not.
    pub fn leads(&self, leads: bool) {
        self.leader.set(leads.into());
    }
}

struct Running(IntGauge);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Who has to do something about a failure.
fn cause(reason: &str) -> &'static str {
    match reason {
        reason::OUT_OF_MEMORY | reason::DEADLINE_EXCEEDED => "quota",
        reason::DETERMINISTIC_FAILURE | reason::WRONG_MODEL_OR_VERSION | reason::INVALID_SPEC => "user",
        _ => "platform",
    }
}

fn seconds(start: Timestamp, end: Timestamp) -> f64 {
    end.duration_since(start).as_secs_f64().max(0.0)
}

/// Makes metrics and registers them.
pub(crate) struct Maker<'a> {
    pub(crate) registry: &'a Registry,
}

impl Maker<'_> {
    fn register<C: prometheus::core::Collector + Clone + 'static>(&self, collector: C) -> prometheus::Result<C> {
        self.registry.register(Box::new(collector.clone()))?;
        Ok(collector)
    }

    pub(crate) fn counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntCounterVec> {
        self.register(IntCounterVec::new(Opts::new(name, help), labels)?)
    }

    pub(crate) fn float_counters(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<CounterVec> {
        self.register(CounterVec::new(Opts::new(name, help), labels)?)
    }

    fn gauge(&self, name: &str, help: &str) -> prometheus::Result<IntGauge> {
        self.register(IntGauge::new(name, help)?)
    }

    fn gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<IntGaugeVec> {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn float_gauges(&self, name: &str, help: &str, labels: &[&str]) -> prometheus::Result<GaugeVec> {
        self.register(GaugeVec::new(Opts::new(name, help), labels)?)
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> prometheus::Result<Histogram> {
        self.register(Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets.into()))?)
    }

    pub(crate) fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&str],
        buckets: &[f64],
    ) -> prometheus::Result<HistogramVec> {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(buckets.into()), labels)?)
    }
}
