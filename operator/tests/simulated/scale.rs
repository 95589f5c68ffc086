//! The operator's own program with many jobs, on an API server in memory: what a job costs, and how late statuses are.
//!
//! The large scenarios are run by name, and print what docs/benchmarks.md says:
//! `cargo test --release -p proofmill-operator --test simulated -- --ignored --nocapture --test-threads=1`

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::fake::{
    api::FakeApi,
    cluster::{self, End, Script, smooth},
    lab::{job, key},
};
use axum::{Router, extract::Request, routing::any};
use crds::contract::Task;
use http_body_util::BodyExt;
use serde_json::json;
use tokio::net::TcpListener;
use tower::Service;

/// A usual time for an API server's answer.
const LATENCY: Duration = Duration::from_millis(5);
/// The targets.
const WRITES_PER_JOB: f64 = 12.0;
const MEMORY: u64 = 128 << 20;
const EVENT_TO_STATUS: f64 = 1.0;

/// An API server that listens, and the operator's program, which knows of nothing else.
struct Stage {
    api: FakeApi,
    operator: Child,
    port: u16,
    _files: tempfile::TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.operator.kill();
        let _ = self.operator.wait();
    }
}

/// The operator's metrics: name with labels, and value.
type Sample = BTreeMap<String, f64>;

impl Stage {
    async fn new(script: Script) -> Self {
        let api = FakeApi::default();
        (api.state().latency, api.state().remember) = (LATENCY, false);
        tokio::spawn(cluster::run(api.clone(), script));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = api.clone();
        let serve = any(move |request: Request| {
            let mut service = service.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = kube::client::Body::from(body.collect().await.unwrap().to_bytes());
                service.call(Request::from_parts(parts, body)).await.unwrap().map(axum::body::Body::new)
            }
        });
        tokio::spawn(async move { axum::serve(listener, Router::new().fallback_service(serve)).await });
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        let files = tempfile::tempdir().unwrap();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "fake",
            "clusters": [{ "name": "fake", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "fake", "user": {} }],
            "contexts": [{ "name": "fake", "context": { "cluster": "fake", "user": "fake" } }],
        });
        std::fs::write(files.path().join("kubeconfig"), kubeconfig.to_string()).unwrap();
        let operator = Command::new(env!("CARGO_BIN_EXE_proofmill-operator"))
            .args(["--worker-image=worker:1", "--default-store=s3://store", "--lease-namespace=ns", "--identity=scale"])
            .arg(format!("--listen=127.0.0.1:{port}"))
            .env("KUBECONFIG", files.path().join("kubeconfig"))
            .env("RUST_LOG", "warn")
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let stage = Self { api, operator, port, _files: files };
        let begun = Instant::now();
        while stage.sample().get("proofjob_operator_leader") != Some(&1.0) {
            assert!(begun.elapsed() < Duration::from_secs(30), "no operator");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        stage
    }

    fn submit(&self, number: usize) {
        let name = format!("job-{number:05}");
        self.api.with(|objects| objects.create(key("proofjobs", &name), job(&name, json!({})))).unwrap();
    }

    /// How many jobs are in a phase.
    fn count(&self, phase: &str) -> usize {
        let state = self.api.state();
        state.objects.of("proofjobs").filter(|(_, job)| job["status"]["phase"] == phase).count()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !holds(self) {
            assert_eq!(self.count("Failed"), 0);
            assert!(begun.elapsed() < Duration::from_secs(1200), "{what} does not come");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    fn sample(&self) -> Sample {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return Sample::new() };
        stream.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let lines = text.lines().filter(|line| line.starts_with("proofjob_"));
        lines
            .filter_map(|line| line.rsplit_once(' '))
            .map(|(name, value)| (name.into(), value.parse().unwrap()))
            .collect()
    }

    fn state(&self) -> (Sample, f64) {
        (self.sample(), self.processor_seconds())
    }

    fn processor_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.operator.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        // User and system, in hundredths of a second on every Linux that matters.
        fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / 100.0
    }

    /// The operator's largest resident memory so far, in bytes.
    fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.operator.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1024
    }
}

/// What happened between two samples, with the operator's processor time in seconds.
struct Report {
    jobs: usize,
    seconds: f64,
    before: (Sample, f64),
    after: (Sample, f64),
    memory: u64,
}

impl Report {
    fn total(&self, name: &str, has: &str) -> f64 {
        let series = self.after.0.iter().filter(|(key, _)| key.split('{').next() == Some(name) && key.contains(has));
        series.map(|(key, value)| value - self.before.0.get(key).unwrap_or(&0.0)).sum()
    }

    fn requests(&self, verbs: &[&str]) -> f64 {
        let of = |verb: &&str| self.total("proofjob_operator_apiserver_requests_total", &format!("verb=\"{verb}\""));
        verbs.iter().map(of).sum::<f64>() / self.jobs as f64
    }

    fn writes(&self) -> f64 {
        self.requests(&["create", "patch", "update", "delete"])
    }

    /// The upper bound of the bucket into which a quantile falls.
    fn quantile(&self, name: &str, share: f64) -> f64 {
        let bucket = format!("{name}_bucket");
        let mut counts: Vec<(f64, f64)> = Vec::new();
        for (key, value) in self.after.0.iter().filter(|(key, _)| key.split('{').next() == Some(&bucket)) {
            let bound = key.split("le=\"").nth(1).unwrap().split('"').next().unwrap();
            let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() };
            let count = value - self.before.0.get(key).unwrap_or(&0.0);
            match counts.iter_mut().find(|(other, _)| *other == bound) {
                Some((_, sum)) => *sum += count,
                None => counts.push((bound, count)),
            }
        }
        counts.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        let wanted = share * counts.last().map_or(0.0, |(_, all)| *all);
        counts.into_iter().find(|(_, count)| *count >= wanted).map_or(f64::NAN, |(bound, _)| bound)
    }

    fn event_to_status(&self) -> f64 {
        self.quantile("proofjob_operator_event_to_status_seconds", 0.99)
    }

    fn print(&self, what: &str) {
        let p99 = |name: &str| self.quantile(&format!("proofjob_operator_{name}_seconds"), 0.99);
        println!(
            "{what}: {:.1} s, {:.1} jobs a second; a job: {:.1} writes, {:.1} reads, {:.1} ms of processors; 99 of 100: \
             reconciles <= {} s, in the queue <= {} s, event to status <= {} s; operator {:.1} MiB at most",
            self.seconds,
            self.jobs as f64 / self.seconds,
            self.writes(),
            self.requests(&["get", "list"]),
            (self.after.1 - self.before.1) * 1e3 / self.jobs as f64,
            p99("reconcile_duration"),
            p99("reconcile_queue"),
            self.event_to_status(),
            self.memory as f64 / f64::from(1 << 20),
        );
    }

    fn check(&self) {
        assert!(self.writes() <= WRITES_PER_JOB, "{} writes a job", self.writes());
        assert!(self.memory <= MEMORY, "{} bytes", self.memory);
    }
}

/// All jobs at one moment.
async fn at_once(jobs: usize) -> Report {
    let stage = Stage::new(smooth()).await;
    let (before, begun) = (stage.state(), Instant::now());
    (0..jobs).for_each(|number| stage.submit(number));
    stage.until("the end of all jobs", |stage| stage.count("Succeeded") == jobs).await;
    let seconds = begun.elapsed().as_secs_f64();
    Report { jobs, seconds, before, after: stage.state(), memory: stage.peak_memory() }
}

/// So many jobs active all the time; as many subgraphs are proved in a second as `rate` says. Measures `jobs` of them.
async fn active(active: usize, rate: i64, jobs: usize) -> Report {
    let room = Arc::new(AtomicI64::new(0));
    let slots = room.clone();
    let stage = Stage::new(Arc::new(move |trial| match trial.task {
        Task::Prove { .. } if slots.fetch_sub(1, Ordering::Relaxed) <= 0 => {
            slots.fetch_add(1, Ordering::Relaxed);
            End::Hangs
        }
        _ => End::Done,
    }))
    .await;
    (0..active).for_each(|number| stage.submit(number));
    stage.until("active jobs", |stage| stage.count("Proving") == active).await;
    let (before, begun) = (stage.state(), Instant::now());
    let (mut submitted, mut ended) = (active, 0);
    while ended < jobs {
        room.store(rate / 10, Ordering::Relaxed);
        // The pods that wait look whether there is room.
        stage.api.with(|objects| objects.version += 1);
        tokio::time::sleep(Duration::from_millis(100)).await;
        ended = stage.count("Succeeded");
        while submitted < active + ended {
            stage.submit(submitted);
            submitted += 1;
        }
        assert!(begun.elapsed() < Duration::from_secs(1200), "{ended} of {jobs}");
    }
    Report {
        jobs: ended,
        seconds: begun.elapsed().as_secs_f64(),
        before,
        after: stage.state(),
        memory: stage.peak_memory(),
    }
}

fn block_on<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(test)
}

#[test]
fn a_hundred_jobs_cost_what_they_may() {
    let report = block_on(at_once(100));
    report.print("100 jobs at once");
    report.check();
}

#[test]
#[ignore = "takes minutes"]
fn five_thousand_jobs_at_once() {
    for jobs in [200, 1000, 5000] {
        let report = block_on(at_once(jobs));
        report.print(&format!("{jobs} jobs at once"));
        report.check();
    }
}

#[test]
#[ignore = "takes a minute"]
fn a_thousand_active_jobs() {
    let report = block_on(active(1000, 30, 300));
    report.print("1000 jobs active, 30 subgraphs proved a second");
    report.check();
    assert!(report.event_to_status() <= EVENT_TO_STATUS, "{} s", report.event_to_status());
}
