//! The artifact store: bytes under their BLAKE3 digest, and an index from stage identities to digests.
//!
//! `artifacts/DIGEST` is written once and checked on every read; `index/IDENTITY` names an artifact and may be written again.

use std::{cell::RefCell, error::Error, io, time::Instant};

use crds::{
    Digest,
    contract::{self, ArtifactRef, Traffic, artifact_url},
};
use object_store::{
    ObjectStore, ObjectStoreExt, PutMode, PutPayload, memory::InMemory, path::Path, prefix::PrefixStore,
};
use tokio::runtime::{Builder, Runtime};
use url::Url;

/// An artifact store behind any URL that `object_store` reads.
#[derive(Debug)]
pub struct Store {
    objects: Box<dyn ObjectStore>,
    url: String,
    runtime: Runtime,
    traffic: RefCell<(Traffic, Traffic)>,
}

/// Why the store does not give or take an object.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not the URL of a store.
    #[error("{url} is not an artifact store: {reason}")]
    Url {
        /// As given.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// No such artifact.
    #[error("the artifact {digest} is missing from {url}")]
    Missing {
        /// Which.
        digest: Digest,
        /// Where.
        url: String,
    },
    /// Bytes that their name does not fit.
    #[error("the artifact {digest} in {url} is corrupt: its bytes have another digest")]
    Corrupt {
        /// Which.
        digest: Digest,
        /// Where.
        url: String,
    },
    /// No room.
    #[error("{url} is full: free some space and run the job again, it continues from what is there ({reason})")]
    Full {
        /// Where.
        url: String,
        /// What the system says.
        reason: String,
    },
    /// The store does not answer, or refuses.
    #[error("{url}: {reason}")]
    Access {
        /// Where.
        url: String,
        /// What it says.
        reason: String,
    },
}

impl StoreError {
    /// Whether another attempt would fail in the same way.
    pub const fn is_permanent(&self) -> bool {
        matches!(self, Self::Url { .. })
    }

    /// Whether an artifact is not there as it was written, so that it has to be made again.
    pub const fn is_loss(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Corrupt { .. })
    }
}

impl Store {
    /// Opens the store at a URL: `file:`, and with the `cloud` feature `s3:`, `gs:`, `az:`. Credentials come from the environment.
    ///
    /// # Errors
    /// If the URL names no store.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let refuse = |reason: String| StoreError::Url { url: url.into(), reason };
        let parsed =
            Url::parse(url).map_err(|error| refuse(format!("{error}; write a URL such as file:///var/proofmill")))?;
        let (objects, prefix) = open_url(&parsed).map_err(refuse)?;
        Self::new(Box::new(PrefixStore::new(objects, prefix)), url)
    }

    /// A store that lives as long as this value.
    ///
    /// # Errors
    /// If the system has no room for a runtime.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::new(Box::new(InMemory::new()), "memory:///")
    }

    /// A store over any objects; `url` is its name in messages.
    ///
    /// # Errors
    /// If the system has no room for a runtime.
    pub fn new(objects: Box<dyn ObjectStore>, url: &str) -> Result<Self, StoreError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| StoreError::Access { url: url.into(), reason: error.to_string() })?;
        Ok(Self { objects, url: url.into(), runtime, traffic: RefCell::default() })
    }

    /// Where the store is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What has been read from the store and written to it so far.
    pub fn traffic(&self) -> (Traffic, Traffic) {
        *self.traffic.borrow()
    }

    /// The URL of an artifact.
    pub fn url_of(&self, digest: Digest) -> String {
        artifact_url(&self.url, digest)
    }

    /// Stores bytes under their digest. Storing them again changes nothing, but repairs what has been corrupted.
    ///
    /// # Errors
    /// If the store is full or does not answer.
    pub fn put(&self, bytes: Vec<u8>) -> Result<ArtifactRef, StoreError> {
        let digest = Digest(*blake3::hash(&bytes).as_bytes());
        let artifact = ArtifactRef { digest, bytes: bytes.len() as u64 };
        let path = artifact_path(digest);
        let payload = PutPayload::from(bytes);
        match self.write(&path, payload.clone(), PutMode::Create) {
            Err(object_store::Error::AlreadyExists { .. }) if self.get(digest).is_ok() => Ok(artifact),
            Err(object_store::Error::AlreadyExists { .. }) => {
                self.write(&path, payload, PutMode::Overwrite).map(|()| artifact).map_err(|error| self.explain(error))
            }
            Err(error) => Err(self.explain(error)),
            Ok(()) => Ok(artifact),
        }
    }

    /// The bytes of an artifact, checked.
    ///
    /// # Errors
    /// If they are missing, corrupt or out of reach.
    pub fn get(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let url = || self.url.clone();
        match self.read(&artifact_path(digest))? {
            None => Err(StoreError::Missing { digest, url: url() }),
            Some(bytes) if Digest(*blake3::hash(&bytes).as_bytes()) == digest => Ok(bytes),
            Some(_) => Err(StoreError::Corrupt { digest, url: url() }),
        }
    }

    /// The artifact that a stage with this identity made, whole or not.
    ///
    /// # Errors
    /// If the store is out of reach.
    pub fn find(&self, identity: Digest) -> Result<Option<ArtifactRef>, StoreError> {
        // An entry that is no entry is as good as none: the stage runs again and writes it anew.
        Ok(self.read(&index_path(identity))?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// Notes which artifact a stage made.
    ///
    /// # Errors
    /// If the store is full or does not answer.
    pub fn bind(&self, identity: Digest, artifact: ArtifactRef) -> Result<(), StoreError> {
        let json = serde_json::to_vec(&artifact).map_err(|error| self.explain(error))?;
        self.write(&index_path(identity), json.into(), PutMode::Overwrite).map_err(|error| self.explain(error))
    }

    /// Forgets which artifact a stage made.
    ///
    /// # Errors
    /// If the store does not answer.
    pub fn unbind(&self, identity: Digest) -> Result<(), StoreError> {
        match self.runtime.block_on(self.objects.delete(&index_path(identity))) {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// Reads a whole object; `None` if there is none.
    pub(crate) fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        let begun = Instant::now();
        let read = self.runtime.block_on(async { self.objects.get(path).await?.bytes().await });
        let answered = matches!(read, Ok(_) | Err(object_store::Error::NotFound { .. }));
        let bytes = read.as_ref().map_or(0, |bytes| bytes.len());
        count(&mut self.traffic.borrow_mut().0, answered, bytes, begun);
        match read {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.explain(error)),
        }
    }

    fn write(&self, path: &Path, payload: PutPayload, mode: PutMode) -> object_store::Result<()> {
        let (begun, bytes) = (Instant::now(), payload.content_length());
        let written = self.runtime.block_on(self.objects.put_opts(path, payload, mode.into())).map(drop);
        let answered = matches!(written, Ok(()) | Err(object_store::Error::AlreadyExists { .. }));
        count(&mut self.traffic.borrow_mut().1, answered, if written.is_ok() { bytes } else { 0 }, begun);
        written
    }

    fn explain(&self, error: impl Error + 'static) -> StoreError {
        let (url, reason) = (self.url.clone(), error.to_string());
        let mut source: Option<&(dyn Error + 'static)> = Some(&error);
        while let Some(cause) = source {
            let io_error = cause.downcast_ref::<io::Error>();
            if let Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) = io_error.map(io::Error::kind) {
                return StoreError::Full { url, reason };
            }
            // The source of an error that wraps another is the other's source: look inside first.
            source = match io_error.and_then(io::Error::get_ref) {
                Some(inner) => Some(inner),
                None => cause.source(),
            };
        }
        StoreError::Access { url, reason }
    }
}

fn count(traffic: &mut Traffic, answered: bool, bytes: usize, begun: Instant) {
    traffic.operations += 1;
    traffic.failures += u32::from(!answered);
    traffic.bytes += bytes as u64;
    traffic.seconds += begun.elapsed().as_secs_f64();
}

/// The objects behind a URL, and the path in them that the URL names.
pub(crate) fn open_url(url: &Url) -> Result<(Box<dyn ObjectStore>, Path), String> {
    #[cfg(feature = "cloud")]
    {
        // Fails if a provider is installed already, which is as well.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let environment = std::env::vars().map(|(name, value)| (name.to_ascii_lowercase(), value));
    object_store::parse_url_opts(url, environment).map_err(|error| match error {
        object_store::Error::NotSupported { .. } | object_store::Error::NotImplemented { .. } => {
            format!("the scheme {}: is not one that this build reads", url.scheme())
        }
        error => error.to_string(),
    })
}

fn artifact_path(digest: Digest) -> Path {
    Path::from(contract::artifact_path(digest))
}

fn index_path(identity: Digest) -> Path {
    Path::from(format!("index/{identity}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_from_other_trouble() {
        let store = Store::in_memory().unwrap();
        let wrap = |kind: io::ErrorKind| object_store::Error::Generic {
            store: "LocalFileSystem",
            source: Box::new(io::Error::other(io::Error::from(kind))),
        };
        assert!(matches!(store.explain(wrap(io::ErrorKind::StorageFull)), StoreError::Full { .. }));
        assert!(matches!(store.explain(wrap(io::ErrorKind::QuotaExceeded)), StoreError::Full { .. }));
        assert!(matches!(store.explain(wrap(io::ErrorKind::TimedOut)), StoreError::Access { .. }));
    }
}
