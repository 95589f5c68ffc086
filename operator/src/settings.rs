//! The operator's command line. Every flag can be given in the environment too.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

/// Where workers mount the store's volume.
pub const STORE_DIRECTORY: &str = "/var/lib/proofmill/store";

/// Runs ProofJobs and ProofModels on a cluster
#[derive(Parser, Clone, Debug)]
#[command(name = "proofmill-operator", version)]
pub struct Settings {
    /// What children are made with.
    #[command(flatten)]
    pub workers: WorkerSettings,
    /// Namespace to look after; may be repeated [default: all]
    #[arg(long = "watch-namespace", value_name = "NS", env = "PROOFMILL_WATCH_NAMESPACES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Lease by which replicas agree who works
    #[arg(long, value_name = "NAME", env = "PROOFMILL_LEASE_NAME", default_value = "proofmill-operator")]
    pub lease_name: String,
    /// Namespace of the lease [default: POD_NAMESPACE]
    #[arg(long, value_name = "NS", env = "PROOFMILL_LEASE_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// This replica's name [default: POD_NAME, else HOSTNAME]
    #[arg(long, value_name = "NAME", env = "PROOFMILL_IDENTITY")]
    pub identity: Option<String>,
    /// Address of /metrics, /healthz and /readyz
    #[arg(long, value_name = "ADDRESS", env = "PROOFMILL_LISTEN", default_value = "0.0.0.0:8080")]
    pub listen: SocketAddr,
    /// Form of the log on standard error; RUST_LOG chooses what is in it
    #[arg(long, value_enum, env = "PROOFMILL_LOG_FORMAT", default_value_t = LogFormat::Json)]
    pub log_format: LogFormat,
}

/// What children are made with where the job says nothing else.
#[derive(clap::Args, Clone, Debug)]
pub struct WorkerSettings {
    /// Image of the workers
    #[arg(long, value_name = "IMAGE", env = "PROOFMILL_WORKER_IMAGE")]
    pub worker_image: String,
    /// Image of the workers that ask for a GPU [default: the other workers' image]
    #[arg(long, value_name = "IMAGE", env = "PROOFMILL_WORKER_GPU_IMAGE")]
    pub worker_gpu_image: Option<String>,
    /// Always, IfNotPresent or Never [default: Kubernetes' own]
    #[arg(long, value_name = "POLICY", env = "PROOFMILL_WORKER_IMAGE_PULL_POLICY",
          value_parser = ["Always", "IfNotPresent", "Never"])]
    pub worker_image_pull_policy: Option<String>,
    /// Secret for the workers' registry, in the job's namespace; may be repeated
    #[arg(
        long = "worker-image-pull-secret",
        value_name = "NAME",
        env = "PROOFMILL_WORKER_IMAGE_PULL_SECRETS",
        value_delimiter = ','
    )]
    pub worker_image_pull_secrets: Vec<String>,
    /// Service account of the workers, whose token is never mounted [default: the namespace's]
    #[arg(long, value_name = "NAME", env = "PROOFMILL_WORKER_SERVICE_ACCOUNT")]
    pub worker_service_account: Option<String>,
    /// Artifact store of jobs that name none
    #[arg(long, value_name = "URL", env = "PROOFMILL_DEFAULT_STORE", conflicts_with = "default_store_claim")]
    pub default_store: Option<String>,
    /// PersistentVolumeClaim, in the job's namespace, that is the store of jobs that name none
    #[arg(long, value_name = "PVC", env = "PROOFMILL_DEFAULT_STORE_CLAIM")]
    pub default_store_claim: Option<String>,
    /// Secret, in the job's namespace, whose keys become environment variables of workers that use the default store
    #[arg(long, value_name = "NAME", env = "PROOFMILL_DEFAULT_STORE_SECRET", requires = "default_store")]
    pub default_store_secret: Option<String>,
    /// What relative paths of models and inputs are relative to, as workers see it
    #[arg(
        long,
        value_name = "URL",
        env = "PROOFMILL_SOURCE_BASE",
        default_value = "file:///usr/share/proofmill/examples/"
    )]
    pub source_base: url::Url,
}

/// Form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One object per line.
    Json,
    /// For people.
    Text,
}

impl Settings {
    /// This replica's name.
    pub fn identity(&self) -> String {
        let named = |variable| std::env::var(variable).ok().filter(|name: &String| !name.is_empty());
        let found = self.identity.clone().or_else(|| named("POD_NAME")).or_else(|| named("HOSTNAME"));
        found.unwrap_or_else(|| format!("{}-{}", crate::names::MANAGER, std::process::id()))
    }

    /// Where the lease is.
    pub fn lease_namespace(&self) -> Option<String> {
        self.lease_namespace.clone().or_else(|| std::env::var("POD_NAMESPACE").ok().filter(|name| !name.is_empty()))
    }
}
