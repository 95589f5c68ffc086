//! The operator's life: serve its endpoints, wait for the lease, work, and stop in order.

use std::{
    sync::{Arc, OnceLock, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures::{FutureExt, future::join_all};
use kube::{
    Client,
    runtime::{utils::Backoff, watcher::DefaultBackoff},
};
use tokio::sync::watch;

use crate::{
    client::client,
    controller::{Pace, Scope, Shared, Stop},
    http::{Endpoints, serve},
    lease::{LeaseSettings, StandBy},
    metrics::Metrics,
    settings::{LogFormat, Settings, WorkerSettings},
};

/// Longest time that reconciles under way may take to finish.
const SHUTDOWN: Duration = Duration::from_secs(20);

/// Runs the operator until it is told to stop.
///
/// # Errors
/// If it cannot start, or loses its lease: the process is to be started anew.
pub async fn run(settings: Settings) -> Result<()> {
    log_to_stderr(settings.log_format);
    let metrics = Metrics::new()?;
    let client = client(metrics.clone()).await.context("no way to reach the API server")?;
    let identity = settings.identity();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        terminated().await;
        tracing::info!("stopping");
        stop.send_replace(true);
    });
    let namespace = settings.lease_namespace().context("no namespace for the lease: give --lease-namespace")?;
    let replica = Replica {
        client,
        lease: LeaseSettings::new(namespace, settings.lease_name, identity),
        namespaces: settings.watch_namespaces,
        workers: settings.workers,
        metrics: metrics.clone(),
        scopes: Arc::default(),
        connected: Arc::default(),
    };
    let endpoints = Endpoints { metrics, scopes: replica.scopes.clone(), connected: replica.connected.clone() };
    let server = tokio::spawn(serve(settings.listen, endpoints, until(stopped.clone())));
    let work = replica.live(stopped);
    tokio::pin!(work);
    tokio::select! {
        result = &mut work => result,
        // It ends at once if it cannot begin, and when told to stop: then the lease has still to be given back.
        result = server => {
            result?.with_context(|| format!("cannot serve at {}", settings.listen))?;
            work.await
        }
    }
}

/// A replica: what it works with, and what it tells of itself.
pub struct Replica {
    /// The API server.
    pub client: Client,
    /// Which lease decides whether it works.
    pub lease: LeaseSettings,
    /// Namespaces that it looks after; all, when empty.
    pub namespaces: Vec<String>,
    /// What children are made with.
    pub workers: WorkerSettings,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Set once it leads.
    pub scopes: Arc<OnceLock<Vec<Arc<Scope>>>>,
    /// Set once the API server has answered.
    pub connected: Arc<AtomicBool>,
}

impl Replica {
    /// Stands by, works, and gives the lease back when told to stop.
    ///
    /// # Errors
    /// If it cannot start, or loses its lease: it is to be started anew.
    pub async fn live(self, stopped: watch::Receiver<bool>) -> Result<()> {
        let identity = self.lease.identity.clone();
        let stand_by = StandBy::new(self.client.clone(), self.lease).await?;
        self.connected.store(true, Ordering::Relaxed);
        let Some(lease) = stand_by.acquire(until(stopped.clone())).await? else { return Ok(()) };
        self.metrics.leads(true);
        tracing::info!(identity, namespaces = ?self.namespaces, "leading");
        let shared = Shared::new(self.client, self.workers, self.metrics.clone(), Pace::default(), &identity);
        let shared = Arc::new(shared);
        let namespaces: Vec<Option<&str>> = match self.namespaces.as_slice() {
            [] => vec![None],
            some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
        };
        let stop: Stop = until(stopped.clone()).boxed().shared();
        let backoff = || -> Box<dyn Backoff> { Box::<DefaultBackoff>::default() };
        let (opened, work): (Vec<_>, Vec<_>) = namespaces
            .into_iter()
            .map(|namespace| Scope::open(shared.clone(), namespace, backoff, stop.clone()))
            .unzip();
        let _ = self.scopes.set(opened);
        let mut work = join_all(work);
        tokio::select! {
            _ = &mut work => {}
            () = lease.lost() => bail!("the lease is lost: another replica leads"),
            () = stop => {
                if tokio::time::timeout(SHUTDOWN, work).await.is_err() {
                    tracing::warn!("reconciles did not finish in time; they will be done again");
                }
            }
        }
        self.metrics.leads(false);
        lease.release().await;
        Ok(())
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone will say nothing more.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Waits for SIGTERM or an interrupt.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => _ = tokio::signal::ctrl_c().await,
    }
}

fn log_to_stderr(format: LogFormat) {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match format {
        LogFormat::Json => builder.json().flatten_event(true).init(),
        LogFormat::Text => builder.init(),
    }
}
