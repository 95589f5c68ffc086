//! The client of the API server, with its requests counted.

use std::{sync::Arc, time::Instant};

use futures::future::BoxFuture;
use http::{Method, Request, Response};
use kube::{Client, client::ClientBuilder};
use tower::{Layer, Service};

use crate::metrics::Metrics;

/// A client from the pod's service account, or a kubeconfig.
///
/// # Errors
/// If there is neither, or it does not fit.
pub async fn client(metrics: Arc<Metrics>) -> anyhow::Result<Client> {
    let config = kube::Config::infer().await?;
    Ok(ClientBuilder::try_from(config)?.with_layer(&CountLayer(metrics)).build())
}

/// Counts requests.
#[derive(Clone)]
pub struct CountLayer(pub Arc<Metrics>);

/// A service whose requests are counted.
#[derive(Clone)]
pub struct Counted<S> {
    inner: S,
    metrics: Arc<Metrics>,
}

impl<S> Layer<S> for CountLayer {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, metrics: self.0.clone() }
    }
}

impl<S, A, B> Service<Request<A>> for Counted<S>
where
    S: Service<Request<A>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<B>, S::Error>>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<A>) -> Self::Future {
        let (verb, resource) = describe(request.method(), request.uri());
        let (begun, metrics) = (Instant::now(), self.metrics.clone());
        let answer = self.inner.call(request);
        Box::pin(async move {
            let result = answer.await;
            let code = result.as_ref().map_or_else(|_| "none".into(), |answer| answer.status().as_u16().to_string());
            metrics.requested(verb, resource, &code, begun.elapsed());
            result
        })
    }
}

/// Verb and resource of a request, each one of a few words.
fn describe(method: &Method, uri: &http::Uri) -> (&'static str, &'static str) {
    const RESOURCES: [&str; 7] = ["proofjobs", "proofmodels", "jobs", "pods", "configmaps", "events", "leases"];
    let segments: Vec<&str> = uri.path().split('/').collect();
    let at = segments.iter().rposition(|segment| RESOURCES.contains(segment));
    let resource =
        at.and_then(|at| RESOURCES.into_iter().find(|resource| *resource == segments[at])).unwrap_or("other");
    let names_one = at.is_some_and(|at| at + 1 < segments.len());
    let verb = match *method {
        Method::GET if uri.query().is_some_and(|query| query.contains("watch=true")) => "watch",
        Method::GET if names_one => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PATCH => "patch",
        Method::PUT => "update",
        Method::DELETE => "delete",
        _ => "other",
    };
    (verb, resource)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart_by_few_words() {
        let of = |method: Method, uri: &str| describe(&method, &uri.parse().unwrap());
        let jobs = "/apis/batch/v1/namespaces/jobs/jobs";
        assert_eq!(of(Method::GET, &format!("{jobs}?watch=true")), ("watch", "jobs"));
        assert_eq!(of(Method::GET, jobs), ("list", "jobs"));
        assert_eq!(of(Method::GET, &format!("{jobs}/a")), ("get", "jobs"));
        let status = "/apis/proofmill.dev/v1alpha1/namespaces/n/proofjobs/a/status";
        assert_eq!(of(Method::PATCH, status), ("patch", "proofjobs"));
        assert_eq!(of(Method::GET, "/version"), ("list", "other"));
    }
}
