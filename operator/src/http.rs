//! `/metrics`, `/healthz` and `/readyz`.

use std::{future::Future, net::SocketAddr, sync::Arc};

use axum::{Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use k8s_openapi::jiff::Timestamp;

use crate::{controller::Scope, metrics::Metrics};

/// What the endpoints tell.
#[derive(Clone)]
pub struct Endpoints {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What is watched; empty in a replica that stands by.
    pub scopes: Arc<std::sync::OnceLock<Vec<Arc<Scope>>>>,
    /// The API server has answered.
    pub connected: Arc<std::sync::atomic::AtomicBool>,
}

impl Endpoints {
    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/healthz", get(|| async { "ok" }))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self)
    }

    fn scopes(&self) -> &[Arc<Scope>] {
        self.scopes.get().map_or(&[], Vec::as_slice)
    }
}

/// Serves until `stop`.
///
/// # Errors
/// If the address is taken.
pub async fn serve(
    address: SocketAddr,
    endpoints: Endpoints,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(address).await?;
    axum::serve(listener, endpoints.router()).with_graceful_shutdown(stop).await
}

/// A replica that stands by is ready as soon as the API server answers, one that leads once its caches are filled.
async fn ready(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    let connected = endpoints.connected.load(std::sync::atomic::Ordering::Relaxed);
    if connected && endpoints.scopes().iter().all(|scope| scope.is_ready()) {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "waiting for the API server")
    }
}

async fn metrics(State(endpoints): State<Endpoints>) -> impl IntoResponse {
    match endpoints.metrics.render(endpoints.scopes(), Timestamp::now()) {
        Ok(text) => (StatusCode::OK, [("content-type", "text/plain; version=0.0.4")], text),
        Err(error) => {
            let text = error.to_string().into_bytes();
            (StatusCode::INTERNAL_SERVER_ERROR, [("content-type", "text/plain")], text)
        }
    }
}
