//! Why a reconcile ends early. It is tried again, later each time.

use crate::events::Notice;

/// An error of a reconcile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses, or does not answer.
    #[error("{action}: {source}")]
    Api {
        /// What was tried.
        action: &'static str,
        /// What came of it.
        #[source]
        source: Box<kube::Error>,
    },
    /// The name of a child is taken by another's object, or by an older one of the same owner that is being deleted.
    #[error("{kind} {name} exists and is not this object's: waiting until it is gone")]
    Taken {
        /// What kind of object.
        kind: &'static str,
        /// Its name.
        name: String,
    },
}

impl Error {
    /// From an API call.
    pub fn api(action: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Api { action, source: Box::new(source) }
    }

    /// A label for metrics: one of a few.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(status) => match status.code {
                    403 => "forbidden",
                    404 => "not_found",
                    409 => "conflict",
                    422 => "invalid",
                    _ => "api",
                },
                _ => "transport",
            },
            Self::Taken { .. } => "taken",
        }
    }

    /// What the user should see, if it is theirs to mend.
    pub fn notice(&self) -> Option<Notice> {
        match self {
            Self::Api { action, source } => match &**source {
                kube::Error::Api(status) if status.code == 403 => {
                    Some(Notice::warning("Forbidden", format!("{action}: {}", status.message)))
                }
                _ => None,
            },
            Self::Taken { .. } => Some(Notice::warning("NameTaken", self.to_string())),
        }
    }
}
