//! The right to work, which one replica has at a time: a Lease of the API server.
//!
//! Two replicas may hold it for as long as one has not noticed its loss; nothing relies on it that they do not.

use std::{future::Future, time::Duration};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::coordination::v1::Lease as LeaseObject;
use kube::{Api, Client};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::{sync::watch, task::JoinHandle};

/// Which lease, and how it is kept.
#[derive(Clone, Debug)]
pub struct LeaseSettings {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// This replica's name, which no other has.
    pub identity: String,
    /// Seconds for which it holds: a leader that dies is replaced within them.
    pub seconds: u64,
    /// Seconds before its end at which it is renewed.
    pub grace: u64,
    /// How often a replica that stands by looks whether it has been given back.
    pub look: Duration,
}

impl LeaseSettings {
    /// With the times of an operator.
    pub fn new(namespace: String, name: String, identity: String) -> Self {
        Self { namespace, name, identity, seconds: 15, grace: 5, look: Duration::from_secs(2) }
    }
}

/// The lease, held.
pub struct Lease {
    held: watch::Receiver<bool>,
    keeper: JoinHandle<std::result::Result<LeaseManager, LeaseManagerError>>,
}

impl Lease {
    /// Ends when the lease is held no more.
    pub async fn lost(&self) {
        // A keeper that has ended keeps nothing.
        let _ = self.held.clone().wait_for(|held| !*held).await;
    }

    /// Gives it back, so that another replica need not wait for its end.
    pub async fn release(self) {
        drop(self.held);
        if let Ok(Err(error)) = self.keeper.await {
            tracing::warn!(%error, "the lease was not given back: it runs out by itself");
        }
    }
}

/// A replica without the lease, which has reached the API server.
pub struct StandBy {
    client: Client,
    settings: LeaseSettings,
    manager: LeaseManager,
}

impl StandBy {
    /// Makes the lease if it is not there; it is nobody's then.
    ///
    /// # Errors
    /// If the API server does not answer, or refuses.
    pub async fn new(client: Client, settings: LeaseSettings) -> Result<Self> {
        let manager = manager(&client, &settings).await.context("cannot reach the lease")?;
        Ok(Self { client, settings, manager })
    }

    /// Waits for the lease; `None` when told to stop before.
    ///
    /// # Errors
    /// If the lease cannot be kept.
    pub async fn acquire(self, stop: impl Future<Output = ()>) -> Result<Option<Lease>> {
        let Self { client, settings, mut manager } = self;
        tokio::pin!(stop);
        loop {
            let (mut held, keeper) = manager.watch().await;
            let acquired = tokio::select! {
                acquired = held.wait_for(|held| *held) => Some(acquired.is_ok()),
                () = given_back(&client, &settings) => None,
                () = &mut stop => return Ok(None),
            };
            match acquired {
                Some(true) => return Ok(Some(Lease { held, keeper })),
                Some(false) => bail!("the lease cannot be kept: {:?}", keeper.await?.err()),
                None => keeper.abort(),
            }
            // A keeper sleeps until the end that the lease had when it looked last: a new one looks at once.
            manager = loop {
                match self::manager(&client, &settings).await {
                    Ok(manager) => break manager,
                    Err(error) => tracing::warn!(%error, "the lease is out of reach"),
                }
                tokio::time::sleep(settings.look).await;
            };
        }
    }
}

/// The field manager is left to the library, which makes one of the identity: where two replicas apply the lease at one
/// moment, the API server tells them apart by it, and one gets a conflict.
async fn manager(client: &Client, settings: &LeaseSettings) -> kube_lease_manager::Result<LeaseManager> {
    let builder = LeaseManagerBuilder::new(client.clone(), &settings.name)
        .with_namespace(&settings.namespace)
        .with_identity(&settings.identity)
        .with_duration(settings.seconds)
        .with_grace(settings.grace);
    builder.build().await
}

/// Ends when the lease is nobody's.
async fn given_back(client: &Client, settings: &LeaseSettings) {
    let leases: Api<LeaseObject> = Api::namespaced(client.clone(), &settings.namespace);
    loop {
        tokio::time::sleep(settings.look).await;
        // Without an answer nothing is known.
        if let Ok(lease) = leases.get(&settings.name).await
            && lease.spec.is_none_or(|spec| spec.holder_identity.is_none())
        {
            return;
        }
    }
}
