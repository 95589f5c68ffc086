//! The operator's life: serve its endpoints, wait for the lease, work, and stop in order.

use std::{
    sync::{Arc, OnceLock, atomic::AtomicBool, atomic::Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures::{FutureExt, future::join_all};
use kube::{Client, runtime::watcher::DefaultBackoff};
use kube_lease_manager::LeaseManagerBuilder;
use tokio::{sync::watch, task::JoinHandle};

use crate::{
    client::client,
    controller::{Pace, Scope, Shared},
    http::{Endpoints, serve},
    metrics::Metrics,
    settings::{LogFormat, Settings},
};

/// Seconds for which a lease holds, and before whose end it is renewed. A leader that dies is replaced within the first.
const LEASE_SECONDS: (u64, u64) = (15, 5);
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
    let scopes = Arc::new(OnceLock::new());
    let connected = Arc::new(AtomicBool::new(false));
    let endpoints = Endpoints { metrics: metrics.clone(), scopes: scopes.clone(), connected: connected.clone() };
    let server = tokio::spawn(serve(settings.listen, endpoints, until(stopped.clone())));
    let work = work(&settings, client, metrics, &identity, stopped.clone(), &scopes, &connected);
    tokio::select! {
        result = work => result?,
        // It ends by itself only if it cannot begin.
        result = server => result?.with_context(|| format!("cannot serve at {}", settings.listen))?,
    }
    Ok(())
}

async fn work(
    settings: &Settings,
    client: Client,
    metrics: Arc<Metrics>,
    identity: &str,
    stopped: watch::Receiver<bool>,
    scopes: &OnceLock<Vec<Arc<Scope>>>,
    connected: &AtomicBool,
) -> Result<()> {
    let lease = Lease::acquire(settings, client.clone(), identity, stopped.clone(), connected).await?;
    let Some(lease) = lease else { return Ok(()) };
    metrics.leads(true);
    tracing::info!(identity, namespaces = ?settings.watch_namespaces, "leading");
    let shared = Arc::new(Shared::new(client, settings.workers.clone(), metrics.clone(), Pace::default(), identity));
    let namespaces: Vec<Option<&str>> = match settings.watch_namespaces.as_slice() {
        [] => vec![None],
        some => some.iter().map(|namespace| Some(namespace.as_str())).collect(),
    };
    let stop = until(stopped.clone()).shared();
    let (opened, work): (Vec<_>, Vec<_>) = namespaces
        .into_iter()
        .map(|namespace| Scope::open(shared.clone(), namespace, DefaultBackoff::default, stop.clone()))
        .unzip();
    let _ = scopes.set(opened);
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
    metrics.leads(false);
    lease.release().await;
    Ok(())
}

/// The right to work.
struct Lease {
    held: watch::Receiver<bool>,
    keeper: JoinHandle<std::result::Result<kube_lease_manager::LeaseManager, kube_lease_manager::LeaseManagerError>>,
}

impl Lease {
    /// Waits for the lease; `None` when told to stop before.
    async fn acquire(
        settings: &Settings,
        client: Client,
        identity: &str,
        stopped: watch::Receiver<bool>,
        connected: &AtomicBool,
    ) -> Result<Option<Self>> {
        let namespace = settings.lease_namespace().context("no namespace for the lease: give --lease-namespace")?;
        let builder = LeaseManagerBuilder::new(client, &settings.lease_name)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(LEASE_SECONDS.0)
            .with_grace(LEASE_SECONDS.1)
            .with_field_manager(crate::names::MANAGER);
        let manager = builder.build().await.context("cannot reach the lease")?;
        connected.store(true, Ordering::Relaxed);
        let (mut held, keeper) = manager.watch().await;
        let acquired = tokio::select! {
            acquired = held.wait_for(|held| *held) => acquired.map(drop).map_err(|_| ()),
            () = until(stopped) => return Ok(None),
        };
        if acquired.is_err() {
            bail!("the lease cannot be kept: {:?}", keeper.await?.err());
        }
        Ok(Some(Self { held, keeper }))
    }

    async fn lost(&self) {
        // A keeper that has ended keeps nothing.
        let _ = self.held.clone().wait_for(|held| !*held).await;
    }

    async fn release(self) {
        drop(self.held);
        if let Ok(Err(error)) = self.keeper.await {
            tracing::warn!(%error, "the lease was not released: it runs out by itself");
        }
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
