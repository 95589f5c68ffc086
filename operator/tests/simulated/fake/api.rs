//! The API server, as far as an operator uses one: create, get, list, watch, merge patch, server-side apply, delete.

use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use futures::StreamExt;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    fault::{Fault, Planned},
    objects::{Key, Objects, Refusal, merge, selected},
};

/// An answer's body.
pub type Reply = UnsyncBoxBody<Bytes, Infallible>;

/// How late a delayed request is carried out.
const DELAY: Duration = Duration::from_millis(30);

/// A request that was carried out, or at least asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub resource: String,
    pub name: String,
    pub code: u16,
}

impl Seen {
    pub fn is_write(&self) -> bool {
        self.method != "GET"
    }
}

pub struct State {
    pub objects: Objects,
    pub seen: Vec<Seen>,
    /// Requests so far, watches not counted.
    pub requests: usize,
    pub planned: Option<Planned>,
    /// How long every request but a watch takes.
    pub latency: Duration,
    /// Whether requests are kept to be looked at.
    pub remember: bool,
    /// Says which created objects are refused, and why.
    pub refuse: fn(&Key, &Value) -> Option<Refusal>,
}

/// An API server in memory.
#[derive(Clone)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
    version: Arc<watch::Sender<u64>>,
    struck: Arc<watch::Sender<bool>>,
}

impl Default for FakeApi {
    fn default() -> Self {
        let state = State {
            objects: Objects::default(),
            seen: Vec::new(),
            requests: 0,
            planned: None,
            latency: Duration::ZERO,
            remember: true,
            refuse: |_, _| None,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            version: Arc::new(watch::Sender::new(0)),
            struck: Arc::new(watch::Sender::new(false)),
        }
    }
}

/// Parts of a path.
struct Target {
    key: Key,
    status: bool,
    api_version: String,
}

type Answer = (u16, Value);

impl FakeApi {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes objects as somebody other than the operator does.
    pub fn with<T>(&self, change: impl FnOnce(&mut Objects) -> T) -> T {
        let result = change(&mut self.state().objects);
        self.announce();
        result
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// Whether the planned fault has happened.
    pub fn struck(&self) -> watch::Receiver<bool> {
        self.struck.subscribe()
    }

    fn announce(&self) {
        let version = self.state().objects.version;
        self.version.send_if_modified(|last| std::mem::replace(last, version) != version);
    }

    async fn answer(
        &self,
        request: Request<Body>,
    ) -> Result<Response<Reply>, Box<dyn std::error::Error + Send + Sync>> {
        let (parts, body) = request.into_parts();
        let query = query(&parts.uri);
        if query("watch").as_deref() == Some("true") {
            return Ok(self.watch(&parts.uri, &query));
        }
        let body = body.collect().await?.to_bytes();
        let body: Value = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body)? };
        let apply = parts.headers.get("content-type").is_some_and(|v| v.to_str().unwrap().contains("apply-patch"));
        let latency = self.state().latency;
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let fault = {
            let mut state = self.state();
            state.requests += 1;
            let now = state.planned.is_some_and(|planned| planned.at == state.requests);
            if now { state.planned.take().map(|planned| planned.fault) } else { None }
        };
        if fault.is_some() {
            self.struck.send_replace(true);
        }
        let api = self.clone();
        let carry_out = move || api.carry_out(&parts.method, &parts.uri, body, apply);
        let (code, value) = match fault {
            None => carry_out(),
            Some(Fault::Fail) => {
                (500, json!({ "kind": "Status", "code": 500, "message": "a fault", "reason": "InternalError" }))
            }
            Some(Fault::Drop) => {
                carry_out();
                return Err("the connection broke".into());
            }
            Some(Fault::Delay) => {
                tokio::spawn(async move {
                    tokio::time::sleep(DELAY).await;
                    carry_out()
                })
                .await?
            }
        };
        let response =
            Response::builder().status(StatusCode::from_u16(code)?).header("content-type", "application/json");
        Ok(response.body(Full::from(serde_json::to_vec(&value)?).boxed_unsync())?)
    }

    fn carry_out(&self, method: &Method, uri: &Uri, body: Value, apply: bool) -> Answer {
        let mut state = self.state();
        let target = target(uri);
        let created = body["metadata"]["name"].as_str().filter(|_| *method == Method::POST).map(str::to_owned);
        let result = state.execute(method, &target, &query(uri), body, apply);
        let (code, value) = match result {
            Ok((code, value)) => (code, value),
            Err(Refusal { code, reason, message }) => (
                code,
                json!({ "kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message }),
            ),
        };
        let Key { resource, name, .. } = target.key;
        if state.remember {
            state.seen.push(Seen { method: method.to_string(), resource, name: created.unwrap_or(name), code });
        }
        drop(state);
        self.announce();
        (code, value)
    }

    fn watch(&self, uri: &Uri, query: &dyn Fn(&str) -> Option<String>) -> Response<Reply> {
        let (target, selector) = (target(uri), query("labelSelector").unwrap_or_default());
        let from = query("resourceVersion").and_then(|text| text.parse().ok()).unwrap_or(0);
        let (api, changes) = (self.clone(), self.changes());
        let stream = futures::stream::unfold((api, changes, from), move |(api, mut changes, from)| {
            let (resource, namespace) = (target.key.resource.clone(), target.key.namespace.clone());
            let selector = selector.clone();
            async move {
                loop {
                    let (lines, last) = api.state().since(from, &resource, &namespace, &selector);
                    if !lines.is_empty() {
                        return Some((lines, (api, changes, last)));
                    }
                    if changes.changed().await.is_err() {
                        return None;
                    }
                }
            }
        });
        let frames = stream.map(|lines| Ok::<_, Infallible>(http_body::Frame::data(lines.into())));
        Response::new(StreamBody::new(frames.boxed()).boxed_unsync())
    }
}

impl State {
    /// What a watch from a version on shows, and up to where.
    fn since(&self, from: u64, resource: &str, namespace: &str, selector: &str) -> (Vec<u8>, u64) {
        let mut lines = Vec::new();
        let oldest = self.objects.log.front().map_or(0, |change| change.version);
        if oldest > from + 1 && self.objects.log.len() > 1 && from > 0 {
            let gone = json!({ "type": "ERROR", "object": { "kind": "Status", "code": 410, "reason": "Expired", "message": "too old" } });
            lines.extend(gone.to_string().into_bytes());
            lines.push(b'\n');
            return (lines, self.objects.version);
        }
        let begin = self.objects.log.partition_point(|change| change.version <= from);
        for change in self.objects.log.iter().skip(begin) {
            let within = namespace.is_empty() || change.key.namespace == namespace;
            if change.key.resource == resource && within && selected(&change.object, selector) {
                lines.extend(json!({ "type": change.kind, "object": &*change.object }).to_string().into_bytes());
                lines.push(b'\n');
            }
        }
        (lines, self.objects.version)
    }

    fn execute(
        &mut self,
        method: &Method,
        target: &Target,
        query: &dyn Fn(&str) -> Option<String>,
        body: Value,
        apply: bool,
    ) -> Result<Answer, Refusal> {
        let key = &target.key;
        match *method {
            Method::GET if key.name.is_empty() => {
                Ok((200, self.list(target, &query("labelSelector").unwrap_or_default())))
            }
            Method::GET => Ok((200, (*self.objects.get(key)?).clone())),
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                let key = Key { name, ..key.clone() };
                if let Some(refusal) = (self.refuse)(&key, &body) {
                    return Err(refusal);
                }
                Ok((201, (*self.objects.create(key, body)?).clone()))
            }
            Method::PATCH | Method::PUT => self.patch(target, &body, apply),
            Method::DELETE => {
                let object = self.objects.get(key)?;
                let wanted = &body["preconditions"]["uid"];
                if !wanted.is_null() && *wanted != object["metadata"]["uid"] {
                    return Err(Refusal { code: 409, reason: "Conflict", message: "another uid".into() });
                }
                Ok((200, (*self.objects.delete(key)?).clone()))
            }
            _ => panic!("{method} is not what an operator asks for"),
        }
    }

    fn list(&self, target: &Target, selector: &str) -> Value {
        let namespace = &target.key.namespace;
        let within = |key: &Key| namespace.is_empty() || key.namespace == *namespace;
        let wanted = |(key, object): &(&Key, &Arc<Value>)| within(key) && selected(object, selector);
        let job = selector.strip_prefix("batch.kubernetes.io/job-name=").filter(|_| target.key.resource == "pods");
        let items: Vec<&Value> = match job {
            Some(job) => self.objects.pods_of(namespace, job).filter(wanted).map(|(_, object)| &**object).collect(),
            None => self.objects.of(&target.key.resource).filter(wanted).map(|(_, object)| &**object).collect(),
        };
        let version = self.objects.version.to_string();
        json!({ "kind": "List", "apiVersion": target.api_version, "metadata": { "resourceVersion": version }, "items": items })
    }

    fn patch(&mut self, target: &Target, body: &Value, apply: bool) -> Result<Answer, Refusal> {
        let key = &target.key;
        if apply && !target.status && !self.objects.all.contains_key(key) {
            return Ok((201, (*self.objects.create(key.clone(), body.clone())?).clone()));
        }
        let object = self.objects.get(key)?;
        for field in ["uid", "resourceVersion"] {
            let wanted = &body["metadata"][field];
            if !wanted.is_null() && *wanted != object["metadata"][field] {
                return Err(Refusal { code: 409, reason: "Conflict", message: format!("another {field}") });
            }
        }
        // A field that another manager has given another value.
        let holder = |object: &Value| object["spec"]["holderIdentity"].as_str().map(str::to_owned);
        if apply && key.resource == "leases" && holder(&object).is_some_and(|held| holder(body) != Some(held)) {
            return Err(Refusal { code: 409, reason: "Conflict", message: "held by another".into() });
        }
        let updated = self.objects.update(key, |object| match (target.status, apply) {
            // One manager owns the whole status, so what it leaves out goes.
            (true, _) => object["status"] = body["status"].clone(),
            (false, true) => object["spec"] = body["spec"].clone(),
            (false, false) => {
                let status = object["status"].clone();
                merge(object, body);
                object["status"] = status;
            }
        })?;
        Ok((200, (*updated).clone()))
    }
}

impl tower::Service<Request<Body>> for FakeApi {
    type Response = Response<Reply>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let api = self.clone();
        Box::pin(async move { api.answer(request).await })
    }
}

/// Reads `/apis/GROUP/VERSION/namespaces/NS/RESOURCE/NAME/status`, in any of its shorter forms.
fn target(uri: &Uri) -> Target {
    let mut segments = uri.path().split('/').filter(|segment| !segment.is_empty()).peekable();
    let api_version = match segments.next() {
        Some("apis") => format!("{}/{}", segments.next().unwrap(), segments.next().unwrap()),
        _ => segments.next().unwrap().to_owned(),
    };
    let mut rest: Vec<&str> = segments.collect();
    let mut namespace = String::new();
    if rest.first() == Some(&"namespaces") && rest.len() > 2 {
        namespace = rest[1].into();
        rest.drain(..2);
    }
    let key = Key { resource: rest[0].into(), namespace, name: rest.get(1).copied().unwrap_or_default().into() };
    Target { key, status: rest.get(2) == Some(&"status"), api_version }
}

fn query(uri: &Uri) -> impl Fn(&str) -> Option<String> + use<> {
    let text = uri.query().unwrap_or_default().to_owned();
    move |name| {
        url::form_urlencoded::parse(text.as_bytes()).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}
