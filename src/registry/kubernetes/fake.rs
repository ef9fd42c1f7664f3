//! An API server in the test's own process, which fails when it is told to.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// How the next request for a resource goes wrong.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// It is answered with this code.
    Status(u16, &'static str),
    /// A watch begins, and tells this line and nothing else; then it ends.
    Says(String),
    /// The connection can't be made.
    Refused,
    /// Nothing comes back, ever.
    Hangs,
}

#[derive(Debug, Default)]
struct State {
    version: u64,
    objects: BTreeMap<(String, String), Value>,
    watches: Vec<Watch>,
    last_watch: u64,
    /// Watches of these resources are told nothing, not even that they end.
    silent: BTreeSet<String>,
    /// By resource: faults that happen once each, in order.
    once: BTreeMap<String, VecDeque<Fault>>,
    /// By resource: a fault that lasts.
    lasting: BTreeMap<String, Fault>,
    streaming: bool,
    requests: Vec<String>,
    /// `GROUP/VERSION` of what was added to it.
    installed: BTreeSet<String>,
}

/// Whoever watches.
#[derive(Debug)]
struct Watch {
    of: Asked,
    number: u64,
    sender: Sender,
}

/// What is asked for.
#[derive(Debug, Clone)]
struct Asked {
    resource: String,
    namespace: Option<String>,
    name: Option<String>,
}

impl Asked {
    fn of(path: &str) -> Self {
        let parts: Vec<_> = path.trim_matches('/').split('/').collect();
        let group = if parts[0] == "api" { 2 } else { 3 };
        let (resource, namespace, name) = match parts.get(group..).unwrap_or_default() {
            ["watch", "namespaces", name] | ["namespaces", name] => ("namespaces", None, Some(*name)),
            ["namespaces", namespace, resource] => (*resource, Some(*namespace), None),
            rest => (rest.last().copied().unwrap_or(parts[parts.len() - 1]), None, None),
        };
        Self {
            resource: resource.to_owned(),
            namespace: namespace.map(str::to_owned),
            name: name.map(str::to_owned),
        }
    }

    fn includes(&self, resource: &str, object: &Value) -> bool {
        let is = |wanted: &Option<String>, key: &str| {
            let found = object["metadata"][key].as_str();
            wanted.as_deref().is_none_or(|wanted| found == Some(wanted))
        };
        self.resource == resource && is(&self.namespace, "namespace") && is(&self.name, "name")
    }

    /// What requests and faults are filed under: `pods`, or `pods@shop` of one namespace.
    fn filed(&self) -> String {
        match self.namespace.as_ref().or(self.name.as_ref()) {
            Some(at) => format!("{}@{at}", self.resource),
            None => self.resource.clone(),
        }
    }
}

/// A response, with the number of the watch that it begins.
type Answer = (Response<Body>, Option<u64>);
type Sender = mpsc::UnboundedSender<Result<Bytes, io::Error>>;

/// The API server. Clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct FakeApi(Arc<Mutex<State>>);

pub(super) struct Body(mpsc::UnboundedReceiver<Result<Bytes, io::Error>>);

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0
            .poll_recv(context)
            .map(|next| next.map(|bytes| bytes.map(Frame::data)))
    }
}

impl tower::Service<Request<kube::client::Body>> for FakeApi {
    type Response = Response<Body>;
    type Error = io::Error;
    type Future = futures::future::BoxFuture<'static, Result<Response<Body>, io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<kube::client::Body>) -> Self::Future {
        let Some(answer) = self.0.lock().unwrap().answer(request.uri()) else {
            return Box::pin(std::future::pending());
        };
        let api = self.clone();
        let uri = request.uri().clone();
        Box::pin(async move {
            if let Ok((_, Some(watch))) = &answer {
                api.end_in_time(&uri, *watch);
            }
            answer.map(|(response, _)| response)
        })
    }
}

/// What heartbeats are filed under, among the resources.
pub(super) const HEARTBEAT: &str = "heartbeat";

fn query(uri: &http::Uri) -> BTreeMap<&str, &str> {
    let pairs = uri.query().unwrap_or_default().split('&');
    pairs.filter_map(|pair| pair.split_once('=')).collect()
}

fn line(value: &Value) -> Result<Bytes, io::Error> {
    Ok(Bytes::from(format!("{value}\n")))
}

fn response(code: u16, chunks: Vec<Result<Bytes, io::Error>>) -> (Response<Body>, Sender) {
    let (sender, receiver) = mpsc::unbounded_channel();
    for chunk in chunks {
        sender.send(chunk).unwrap();
    }
    let mut response = Response::new(Body(receiver));
    *response.status_mut() = http::StatusCode::from_u16(code).unwrap();
    (response, sender)
}

fn status(code: u16, message: &str) -> Response<Body> {
    let status = json!({"kind": "Status", "status": "Failure", "code": code, "message": message, "reason": "Test"});
    response(code, vec![line(&status)]).0
}

impl State {
    /// The answer; `None` where there is none, ever.
    fn answer(&mut self, uri: &http::Uri) -> Option<Result<Answer, io::Error>> {
        let query = query(uri);
        let asked = Asked::of(uri.path());
        let resource = match query.get("limit") {
            Some(&"1") => HEARTBEAT.to_owned(),
            _ => asked.filed(),
        };
        let plain = |response| Some(Ok((response, None)));
        if resource == "version" {
            let version = json!({"gitVersion": "v1.99.0", "major": "1", "minor": "99", "gitCommit": "", "gitTreeState": "",
                "buildDate": "", "goVersion": "", "compiler": "", "platform": ""});
            return plain(response(200, vec![line(&version)]).0);
        }
        if uri.path() == "/apis" {
            self.requests.push("list apis".to_owned());
            if let Some(Fault::Status(code, message)) = self.lasting.get("apis") {
                return plain(status(*code, message));
            }
            let groups = self.installed.iter().filter_map(|version| version.split_once('/'));
            let groups = groups.map(|(group, version)| {
                let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
                json!({"name": group, "versions": [version]})
            });
            let list = json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>()});
            return plain(response(200, vec![line(&list)]).0);
        }
        let of_istio = uri
            .path()
            .strip_prefix("/apis/")
            .filter(|path| path.contains("istio.io"));
        if of_istio.is_some_and(|path| !self.installed.iter().any(|version| path.starts_with(version))) {
            self.requests.push(format!("unknown {resource}"));
            return plain(response(404, vec![Ok("404 page not found".into())]).0);
        }
        let what = match (query.contains_key("watch"), query.contains_key("sendInitialEvents")) {
            (true, true) => "stream",
            (true, false) => "watch",
            (false, _) => "list",
        };
        self.requests.push(format!("{what} {resource}"));
        let once = self.once.get_mut(&resource).and_then(VecDeque::pop_front);
        match once.or_else(|| self.lasting.get(&resource).cloned()) {
            Some(Fault::Status(code, message)) => return plain(status(code, message)),
            Some(Fault::Says(text)) => return plain(response(200, vec![Ok(text.into())]).0),
            Some(Fault::Refused) => return Some(Err(io::Error::other("connection refused by the test"))),
            Some(Fault::Hangs) => return None,
            None => {}
        }
        match what {
            "list" if asked.name.is_some() => plain(match self.of(&asked).next() {
                Some(object) => response(200, vec![line(object)]).0,
                None => status(404, "there is none"),
            }),
            "list" => plain(self.list(&asked, query.get("continue"))),
            "stream" if !self.streaming => plain(status(422, "sendInitialEvents is forbidden for watch")),
            what => {
                let response = self.watch(asked, what == "stream");
                Some(Ok((response, Some(self.last_watch))))
            }
        }
    }

    /// Pages of two, whatever limit is asked for.
    fn list(&self, asked: &Asked, from: Option<&&str>) -> Response<Body> {
        let from: usize = from.map_or(0, |token| token.parse().unwrap());
        let all: Vec<_> = self.of(asked).collect();
        let page: Vec<_> = all.iter().skip(from).take(2).collect();
        let more = if from + 2 < all.len() {
            (from + 2).to_string()
        } else {
            String::new()
        };
        let list = json!({"kind": "List", "apiVersion": "v1", "items": page,
            "metadata": {"resourceVersion": self.version.to_string(), "continue": more}});
        response(200, vec![line(&list)]).0
    }

    fn watch(&mut self, asked: Asked, initial: bool) -> Response<Body> {
        let mut lines = Vec::new();
        if initial {
            lines.extend(
                self.of(&asked)
                    .map(|object| line(&json!({"type": "ADDED", "object": object}))),
            );
            lines.push(line(
                &json!({"type": "BOOKMARK", "object": {"kind": "X", "apiVersion": "v1", "metadata": {
                "resourceVersion": self.version.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}}}),
            ));
        }
        let (response, sender) = response(200, lines);
        self.last_watch += 1;
        self.watches.push(Watch {
            of: asked,
            number: self.last_watch,
            sender,
        });
        response
    }

    fn of(&self, asked: &Asked) -> impl Iterator<Item = &Value> {
        let of = self.objects.iter();
        of.filter(move |((resource, _), object)| asked.includes(resource, object))
            .map(|(_, object)| object)
    }

    /// Tells a bookmark.
    fn remind(&self, watch: u64) {
        let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "X", "apiVersion": "v1", "metadata": {
            "resourceVersion": self.version.to_string()}}});
        for known in &self.watches {
            if known.number == watch && !self.silent.contains(&known.of.resource) {
                // Whoever watched may have gone.
                let _ = known.sender.send(line(&bookmark));
            }
        }
    }

    fn end(&mut self, watch: u64) {
        let silent = &self.silent;
        self.watches
            .retain(|known| known.number != watch || silent.contains(&known.of.resource));
    }

    fn tell(&mut self, resource: &str, chunk: impl Fn() -> Result<Bytes, io::Error>) {
        self.tell_those(|of| of.resource == resource, resource, chunk);
    }

    /// Tells those who watch an object.
    fn tell_of(&mut self, resource: &str, object: &Value, event: &Value) {
        self.tell_those(|of| of.includes(resource, object), resource, || line(event));
    }

    fn tell_those(
        &mut self,
        who: impl Fn(&Asked) -> bool,
        resource: &str,
        chunk: impl Fn() -> Result<Bytes, io::Error>,
    ) {
        let silent = self.silent.contains(resource);
        self.watches
            .retain(|known| !who(&known.of) || silent || known.sender.send(chunk()).is_ok());
    }
}

impl FakeApi {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(State {
            streaming: true,
            version: 100,
            ..State::default()
        })))
    }

    pub(super) fn without_streaming() -> Self {
        let api = Self::new();
        api.0.lock().unwrap().streaming = false;
        api
    }

    pub(super) fn client(&self) -> kube::Client {
        kube::Client::new(self.clone(), "default")
    }

    /// Adds or replaces an object and tells those who watch.
    pub(super) fn put(&self, resource: &str, name: &str, rest: Value) {
        self.put_silently(resource, name, rest);
        let mut state = self.0.lock().unwrap();
        let object = state.objects[&(resource.to_owned(), name.to_owned())].clone();
        let event = json!({"type": "MODIFIED", "object": object});
        state.tell_of(resource, &object, &event);
    }

    /// The same, while nobody can hear it.
    pub(super) fn put_silently(&self, resource: &str, name: &str, mut rest: Value) {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        let version = state.version.to_string();
        rest["metadata"]["name"] = json!(name);
        rest["metadata"]["resourceVersion"] = json!(version);
        state.objects.insert((resource.to_owned(), name.to_owned()), rest);
    }

    pub(super) fn delete(&self, resource: &str, name: &str) {
        let object = self.delete_silently(resource, name);
        let event = json!({"type": "DELETED", "object": object});
        self.0.lock().unwrap().tell_of(resource, &object, &event);
    }

    pub(super) fn delete_silently(&self, resource: &str, name: &str) -> Value {
        let mut state = self.0.lock().unwrap();
        state.version += 1;
        let version = state.version.to_string();
        let mut object = state.objects.remove(&(resource.to_owned(), name.to_owned())).unwrap();
        object["metadata"]["resourceVersion"] = json!(version);
        object
    }

    /// Tells something that is none of the objects.
    pub(super) fn say(&self, resource: &str, text: &'static str) {
        let mut state = self.0.lock().unwrap();
        state.tell(resource, || Ok(Bytes::from_static(text.as_bytes())));
    }

    /// Ends the watches of a resource, in the middle of a line.
    pub(super) fn cut(&self, resource: &str) {
        self.say(resource, "{\"type\": \"ADD");
        let mut state = self.0.lock().unwrap();
        state.tell(resource, || Err(io::Error::other("cut by the test")));
        state.watches.retain(|known| known.of.resource != resource);
    }

    /// Watches say nothing any more, not even that they end.
    pub(super) fn silence(&self) {
        for resource in ["namespaces", "nodes", "services", "endpointslices", "pods"] {
            self.silence_one(resource);
        }
    }

    /// The same for one resource.
    pub(super) fn silence_one(&self, resource: &str) {
        self.0.lock().unwrap().silent.insert(resource.to_owned());
    }

    /// A watch is told a bookmark before its time is over, and then ended.
    fn end_in_time(&self, uri: &http::Uri, watch: u64) {
        let seconds = query(uri)
            .get("timeoutSeconds")
            .map_or(60, |text| text.parse().unwrap());
        let api = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(seconds - 2)).await;
            api.0.lock().unwrap().remind(watch);
            tokio::time::sleep(Duration::from_secs(2)).await;
            api.0.lock().unwrap().end(watch);
        });
    }

    pub(super) fn fail_once(&self, resource: &str, fault: Fault) {
        let mut state = self.0.lock().unwrap();
        state.once.entry(resource.to_owned()).or_default().push_back(fault);
    }

    pub(super) fn fail(&self, resource: &str, fault: Fault) {
        self.0.lock().unwrap().lasting.insert(resource.to_owned(), fault);
    }

    pub(super) fn heal(&self) {
        let mut state = self.0.lock().unwrap();
        state.lasting.clear();
        state.silent.clear();
    }

    /// Adds what Istio has of a `GROUP/VERSION`.
    pub(super) fn install(&self, version: &str) {
        self.0.lock().unwrap().installed.insert(version.to_owned());
    }

    /// Takes it out, without a word to anybody.
    pub(super) fn uninstall(&self, version: &str) {
        self.0.lock().unwrap().installed.remove(version);
    }

    /// The requests so far for a resource, as `list`, `watch` and `stream`.
    pub(super) fn requests(&self, resource: &str) -> Vec<String> {
        let state = self.0.lock().unwrap();
        let requests = state.requests.iter();
        requests
            .filter_map(|request| request.strip_suffix(resource))
            .map(|request| request.trim().to_owned())
            .collect()
    }
}
