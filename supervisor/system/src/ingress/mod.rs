//! Requests from outside that become asks: a whole service without a program of its own.
//!
//! A route says which request is which message to which actor; the actor's own code reads the JSON of the request and
//! writes that of the answer. Each request asks whatever version runs, so an upgrade costs none of them.
//!
//! * `message`: a request as the JSON of a message
//! * `refused`: errors as whoever asks from outside may see them

mod message;
mod refused;

use crate::defined::Given;
use crate::served::whole;
use crate::{Launch, System, SystemError};
pub use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use teneral_contract::{Addr, AskError};
use teneral_control::api::ApiError;
pub use teneral_control::api::{HttpListener, ListenError};
use teneral_native::routes::Found;
pub use teneral_native::routes::{Key, Pattern, Piece, Route, RouteError, Routes, StartPolicy};
use teneral_runtime::{ActorOptions, ActorRef, TellError};
use teneral_store::Store;
use teneral_upgrade::{Artifacts, nearest};

/// A request's name, given by whoever sends it or by the host, in the answer's head and in the log.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longest name of a request that is taken over.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// How much longer a request may take than its route says, so that whoever waits in it for something comes to say for
/// what.
const GRACE: Duration = Duration::from_millis(250);

/// How often a request is written anew when its actor has moved on meanwhile.
const TRIES: usize = 3;

/// Connections of a service's own routes at a time, where nobody says.
pub const HTTP_CONNECTIONS_MAX: usize = 1024;

/// Largest body of a request to them, where nobody says.
pub const HTTP_BODY_BYTES_MAX: usize = 1 << 20;

/// What is listened for, and within which bounds.
#[derive(Debug, Clone)]
pub struct Ingress {
    /// Where; port 0 is whichever is free.
    pub listen: SocketAddr,
    /// Connections at a time.
    pub connections_max: usize,
    /// Largest body of a request.
    pub body_bytes_max: usize,
    /// Which request is which message.
    pub routes: Routes,
}

impl Ingress {
    /// [`HTTP_CONNECTIONS_MAX`], [`HTTP_BODY_BYTES_MAX`], no routes.
    #[must_use]
    pub const fn on(listen: SocketAddr) -> Self {
        Self {
            listen,
            connections_max: HTTP_CONNECTIONS_MAX,
            body_bytes_max: HTTP_BODY_BYTES_MAX,
            routes: Routes::none(),
        }
    }
}

/// What all requests share.
#[derive(Debug)]
struct Shared {
    system: System,
    routes: Routes,
    body_bytes_max: usize,
    /// Names requests that came without a name.
    number: AtomicU64,
}

impl System {
    /// The routes of a service, to be served elsewhere or under another router. Everybody may ask; nothing of the
    /// control API is there.
    pub fn ingress(&self, routes: Routes, body_bytes_max: usize) -> Router {
        let shared = Shared { system: self.clone(), routes, body_bytes_max, number: AtomicU64::new(1) };
        let limit = DefaultBodyLimit::max(body_bytes_max);
        Router::new().fallback(answer).layer(limit).with_state(Arc::new(shared))
    }

    /// Listens for the routes of a service; the listener's `serve` answers with the router.
    ///
    /// A route to a kind or a message that no artifact has is said in the log, and answers 503 until there is one.
    ///
    /// # Errors
    /// [`ListenError`].
    pub async fn listen(&self, ingress: Ingress) -> Result<(HttpListener, Router), ListenError> {
        let Ingress { listen, connections_max, body_bytes_max, routes } = ingress;
        let listener = HttpListener::bind(listen, connections_max).await?;
        let looked = routes.clone();
        let missing = self.blocking("a look", move |inner| Ok(inner.missing(&looked))).await;
        match missing {
            Ok(missing) => {
                for (route, why, hint) in missing {
                    let (code, at) = ("HTTP-ROUTE", route.written_at);
                    let route = format!("{} {}", route.method, route.path);
                    tracing::warn!(code, at, route, hint, "a route leads nowhere: {why}; it answers 503 until it does");
                }
            }
            Err(error) => tracing::warn!(code = error.code(), %error, "the routes were not looked at"),
        }
        Ok((listener, self.ingress(routes, body_bytes_max)))
    }
}

impl crate::system::Inner {
    /// The routes to what no artifact has, why each is one, and what may have been meant.
    fn missing(&self, routes: &Routes) -> Vec<(Route, String, String)> {
        let library = &self.library;
        let kinds = library.kinds().unwrap_or_default();
        let mut missing = Vec::new();
        for route in routes.iter() {
            if !kinds.contains(&route.kind) {
                let hint = nearest::hint(&route.kind, kinds.iter().map(String::as_str));
                missing.push((route.clone(), format!("no artifact of kind {}", route.kind), hint));
                continue;
            }
            let releases = library.releases(&route.kind).unwrap_or_default();
            let manifests = releases.iter().filter_map(|release| release.manifest.as_ref().ok());
            let messages: Vec<&str> =
                manifests.flat_map(|manifest| manifest.messages.iter().map(|known| known.name.as_str())).collect();
            if !messages.contains(&route.message.as_str()) {
                let why = format!("no version of {} has a message {}", route.kind, route.message);
                missing.push((route.clone(), why, nearest::hint(&route.message, messages.iter().copied())));
            }
        }
        missing
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let id = shared.request_id(request.headers());
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = shared.asked(request).await.unwrap_or_else(|error| {
        let (code, status, causes) = (&*error.code, error.status, &error.causes);
        // Quoted: whoever asks writes parts of them, and must not write lines of the log.
        tracing::info!(code, status, %method, ?path, request = ?id, error = ?error.what, ?causes, "a request failed");
        refused::for_strangers(error).into_response()
    });
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

impl Shared {
    fn request_id(&self, headers: &HeaderMap) -> HeaderValue {
        let given = headers.get(REQUEST_ID).filter(|id| id.len() <= REQUEST_ID_BYTES_MAX && !id.is_empty()).cloned();
        given.unwrap_or_else(|| {
            let number = self.number.fetch_add(1, Ordering::Relaxed);
            let text = format!("{:016x}-{number:x}", self.system.runtime().epoch());
            HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("-"))
        })
    }

    async fn asked(&self, request: Request) -> Result<Response<Body>, ApiError> {
        let (parts, method) = (message::parts(request.uri().path())?, request.method());
        // Answered as GET is; what serves leaves the body out.
        let asked = if method == Method::HEAD { &Method::GET } else { method };
        let (route, named) = match self.routes.find(asked.as_str(), &parts) {
            Found::Route(route, named) => (route, named),
            Found::Methods(methods) if method == Method::OPTIONS => return Ok(refused::options(&methods)),
            Found::Methods(methods) => return Ok(refused::method(method.as_str(), &methods)),
            Found::Nothing => return Err(refused::path(request.uri().path())),
        };
        let addr = addr(route, &named, request.headers())?;
        let query = message::query(request.uri().query().unwrap_or_default())?;
        let body = whole(request, &(), self.body_bytes_max).await?;
        let named = [named, query];
        let asking = self.ask(route, &addr, &body, &named);
        match tokio::time::timeout(route.timeout + GRACE, asking).await {
            Ok(done) => done,
            Err(_) => Err(refused::of(SystemError::Ask { addr, source: AskError::Timeout })),
        }
    }

    async fn ask(
        &self,
        route: &Route,
        addr: &Addr,
        body: &[u8],
        named: &[BTreeMap<String, String>],
    ) -> Result<Response<Body>, ApiError> {
        let begun = Instant::now();
        let mut tries = 1;
        loop {
            let actor = self.actor(route, addr).await?;
            let left = route.timeout.saturating_sub(begun.elapsed());
            let (generation, provider) = (actor.info().generation, actor.provider());
            let messages = &provider.manifest().messages;
            let Some(message) = messages.iter().find(|known| known.name == route.message) else {
                let why = format!("version {} has no message {}", provider.version(), route.message);
                return Err(refused::nowhere(route, &why));
            };
            let json = message::merged(&message.shape, body, named)?;
            let done = match message.reply {
                None => {
                    let told = self.system.tell_json(addr, &route.message, &json, left).await;
                    told.map(|()| json_of(StatusCode::ACCEPTED, "{\"accepted\":true}".to_owned()))
                }
                Some(_) => {
                    let reply = self.system.ask_json(addr, &route.message, &json, left).await;
                    reply.map(|reply| json_of(StatusCode::OK, reply))
                }
            };
            match done {
                // By code that came meanwhile, before anybody handled it: written anew, as that code reads it.
                Err(error) if is_of_another_shape(&error) && tries < TRIES && actor.info().generation != generation => {
                    tries += 1;
                }
                // Stopped before anybody handled it: the next one is as good.
                Err(error) if is_gone(&error) && route.start != StartPolicy::Never => {
                    if tries == TRIES {
                        return Err(refused::stopped(addr));
                    }
                    tries += 1;
                }
                done => return done.map_err(refused::of),
            }
        }
    }

    async fn actor(&self, route: &Route, addr: &Addr) -> Result<ActorRef, ApiError> {
        if let Some(running) = self.system.runtime().actor(addr) {
            return Ok(running);
        }
        let StartPolicy::OnFirstUse { args } = &route.start else { return Err(self.nobody(route, addr).await) };
        let launch = Launch { version: None, options: ActorOptions::permanent() };
        let made = self.system.first_use(addr.clone(), launch, Given::Json(args.clone())).await;
        made.map_err(|error| match error {
            SystemError::Json { why, hint, .. } => refused::args(route, &why, &hint),
            error if is_gone(&error) => refused::stopped(addr),
            error => refused::of(error),
        })
    }

    /// Nobody has the name: a slip of whoever asks, or a kind that is not there yet.
    async fn nobody(&self, route: &Route, addr: &Addr) -> ApiError {
        let addr = addr.clone();
        // By its key only: a stranger's slip must not cost a look at all the names there are.
        let system = self.system.clone();
        let looked = self.system.blocking("a look", move |inner| {
            let store = inner.library.store();
            if !store.releases()?.iter().any(|release| release.kind == addr.kind()) {
                return Ok(());
            }
            match store.definition(&addr)? {
                // One that is defined and does not run is another matter.
                Some(_) => Err(system.is_down(addr)),
                None => Err(SystemError::Actor { addr, hint: String::new() }),
            }
        });
        match looked.await {
            Ok(()) => refused::nowhere(route, &format!("no artifact of kind {}", route.kind)),
            Err(error) => refused::of(error),
        }
    }
}

fn addr(route: &Route, named: &BTreeMap<String, String>, headers: &HeaderMap) -> Result<Addr, ApiError> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let key = route.key.of(named, header).ok_or_else(|| refused::key(route))?;
    Addr::new(&format!("{}/{key}", route.kind)).map_err(|error| refused::of(SystemError::Address(error)))
}

/// The actor was there, and is no more.
fn is_gone(error: &SystemError) -> bool {
    matches!(error, SystemError::Actor { .. } | SystemError::Tell { source: TellError::Closed(()), .. })
}

/// Said before anybody handled it.
fn is_of_another_shape(error: &SystemError) -> bool {
    match error {
        SystemError::Json { .. } | SystemError::Message { .. } => true,
        SystemError::Ask { source, .. } => matches!(source, AskError::UnknownShape(_) | AskError::UnknownMessage(_)),
        SystemError::Tell { source, .. } => {
            matches!(source, TellError::UnknownShape { .. } | TellError::UnknownMessage { .. })
        }
        _ => false,
    }
}

fn json_of(status: StatusCode, json: String) -> Response<Body> {
    (status, [(header::CONTENT_TYPE, "application/json")], json).into_response()
}
