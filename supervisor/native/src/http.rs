//! `native/http-client`: one request, one answer, within bounds of time and size.
//!
//! A redirect is an answer: where it leads may not be granted. Connections are kept and used again; which certificates
//! count is `tls`'s.

use crate::call::{Call, Refused};
use crate::grants::Grants;
use crate::host::Native;
use crate::line::Order;
use crate::tls::{self, Roots};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use std::error::Error;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use teneral_native_api::http::{BODY_BYTES_MAX, Fetch, Header, Message, Response};

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);

/// Idle connections to one host.
const IDLE_MAX: usize = 16;

/// How long a request may take that was told, so that nobody waits for it.
const TOLD_TIMEOUT: Duration = Duration::from_secs(60);

/// Room for a head beside a body in one message, in bytes.
const HEAD_BYTES: usize = 64 << 10;

/// What the client itself writes: an actor's word there could make one request two.
const OURS: [HeaderName; 6] =
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::UPGRADE, header::TE];

type Plain = Client<HttpConnector, Full<Bytes>>;
type Secure = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

pub(crate) struct HttpClient {
    grants: Arc<Grants>,
    message_bytes_max: usize,
    roots: Roots,
    plain: Plain,
    /// Made when it is first needed: it reads the machine's certificates.
    secure: OnceLock<Result<Secure, String>>,
}

impl HttpClient {
    pub(crate) fn new(grants: Arc<Grants>, message_bytes_max: usize, roots: Roots) -> Self {
        let plain = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(HttpConnector::new());
        Self { grants, message_bytes_max, roots, plain, secure: OnceLock::new() }
    }

    fn secure(&self) -> Result<&Secure, Refused> {
        let made = self.secure.get_or_init(|| {
            let trusting = HttpsConnectorBuilder::new().with_tls_config(self.roots.client()?);
            let connector = trusting.https_only().enable_http1().build();
            Ok(Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE)
                .pool_max_idle_per_host(IDLE_MAX)
                .build(connector))
        });
        made.as_ref().map_err(|why| Refused::failed(format!("this machine has no certificates to trust: {why}")))
    }

    async fn fetch(&self, fetch: Fetch, call: &Call) -> Result<Response, Refused> {
        let asked = usize::try_from(fetch.body_bytes_max.unwrap_or(BODY_BYTES_MAX)).unwrap_or(usize::MAX);
        let body_bytes_max = asked.min(self.message_bytes_max.saturating_sub(HEAD_BYTES));
        let request = request(fetch)?;
        let uri = request.uri();
        let (secure, host) = (uri.scheme_str() == Some("https"), uri.host().unwrap_or_default().to_owned());
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        self.grants.http(call.sender(), &host, port)?;
        let answer = if secure { self.secure()?.request(request).await } else { self.plain.request(request).await };
        let answer = answer.map_err(|error| match tls::why(&error, &host) {
            Some(why) => Refused::failed(why),
            None => Refused::from(error),
        });
        let (head, body) = answer?.into_parts();
        let body = whole(body, body_bytes_max).await?;
        Ok(Response { status: head.status.as_u16(), headers: headers(&head.headers), body: body.to_vec().into() })
    }
}

impl Native for HttpClient {
    type Message = Message;

    /// One that waits for a slow server keeps none from another server.
    fn order(&self, _: &Message) -> Order {
        Order::Begun
    }

    async fn handle(&self, Message::Fetch(fetch): Message, call: &mut Call) -> Result<(), Refused> {
        let asked = fetch.timeout_ms.map_or(TOLD_TIMEOUT, Duration::from_millis);
        let timeout = call.remaining().map_or(asked, |left| asked.min(left));
        let fetched = tokio::time::timeout(timeout, self.fetch(fetch, call)).await;
        let response = fetched.map_err(|_| Refused::failed(format!("no whole answer within {timeout:.0?}")))??;
        call.reply(&response);
        Ok(())
    }
}

async fn whole(body: Incoming, bytes_max: usize) -> Result<Bytes, Refused> {
    let whole = Limited::new(body, if cfg!(feature = "bug-r11") { usize::MAX } else { bytes_max }).collect().await;
    whole.map(http_body_util::Collected::to_bytes).map_err(|error| match error.is::<LengthLimitError>() {
        true => Refused::failed(format!("the answer's body is over the limit of {bytes_max} bytes")),
        false => Refused::from(Boxed(error)),
    })
}

/// An error without a type, as one that has causes.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
struct Boxed(#[source] Box<dyn Error + Send + Sync>);

fn request(fetch: Fetch) -> Result<Request<Full<Bytes>>, Refused> {
    let Fetch { method, url, headers, body, .. } = fetch;
    let method = Method::from_bytes(method.as_bytes())?;
    let is_ours = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    let uri: Option<Uri> = url.parse().ok().filter(is_ours);
    let uri =
        uri.ok_or_else(|| Refused::failed(format!("{url:?} is no URL: write http:// or https://, with a host")))?;
    if method == Method::CONNECT {
        return Err(Refused::failed("CONNECT is no request of this client"));
    }
    let mut request = Request::new(Full::new(Bytes::from(body.0)));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    for Header { name, value } in headers {
        let name = HeaderName::from_bytes(name.as_bytes())?;
        if OURS.contains(&name) {
            return Err(Refused::failed(format!("the header {name} is the client's own to write")));
        }
        request.headers_mut().append(name, HeaderValue::from_str(&value)?);
    }
    Ok(request)
}

fn headers(map: &HeaderMap) -> Vec<Header> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    map.iter().map(|(name, value)| Header { name: name.as_str().to_owned(), value: text(value) }).collect()
}
