//! The layer before routing: host, origin, token, scope, and how many requests
//! are answered at the same time.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use tonic::Status;

use super::Access;
use super::scopes::{Scope, grpc, needed};
use crate::gateway::Gateway;
use crate::gateway::answer::{failure, later};
use crate::gateway::stats::Stats;

/// Where a browser gives its token to get a cookie for it: `EventSource` can
/// send no header.
pub const SESSION: &str = "/api/v1/session";
/// The cookie.
const COOKIE: &str = "orrery_token";
/// Refusals that are remembered as told.
const TOLD_MAX: usize = 1024;

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Who asks: the name on the token, or the address.
#[derive(Clone, Debug)]
pub struct Client(pub Arc<str>);

/// Whose refusals were logged already, so that nobody can fill the log.
#[derive(Debug, Default)]
pub struct Told(Mutex<BTreeSet<(IpAddr, &'static str)>>);

impl Told {
    /// Logs a refusal of an address once for each reason.
    pub fn once(&self, peer: IpAddr, why: &'static str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < TOLD_MAX && told.insert((peer, why)) {
            tracing::warn!(%peer, why, "refused; what follows from there is only counted");
        }
    }
}

/// Why a request goes no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Refusal {
    Host,
    Origin,
    NoToken,
    WrongToken,
    Scope(Scope),
    Busy,
}

impl Refusal {
    const fn why(self) -> &'static str {
        match self {
            Refusal::Host => {
                "this server does not know that host name; serve with --host NAME, or ask for its \
                 address"
            }
            Refusal::Origin => {
                "pages of that origin may only read; serve with --cors-origin ORIGIN"
            }
            Refusal::NoToken => "Not authenticated",
            Refusal::WrongToken => "the token is not known here",
            Refusal::Scope(Scope::Read) => "the token lacks the scope read",
            Refusal::Scope(Scope::Annotate) => "the token lacks the scope annotate",
            Refusal::Scope(Scope::Control) => "the token lacks the scope control",
            Refusal::Busy => "too many requests are being answered",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Refusal::Host => StatusCode::MISDIRECTED_REQUEST,
            Refusal::Origin | Refusal::Scope(_) => StatusCode::FORBIDDEN,
            Refusal::NoToken | Refusal::WrongToken => StatusCode::UNAUTHORIZED,
            Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn count(self, stats: &Stats) {
        match self {
            Refusal::Host | Refusal::Origin => stats.misdirected.add(),
            Refusal::NoToken | Refusal::WrongToken => stats.unauthenticated.add(),
            Refusal::Scope(_) => stats.forbidden.add(),
            Refusal::Busy => stats.overloaded.add(),
        }
    }

    /// In the words of whoever asked.
    fn answer(self, request: &Request) -> Response {
        if grpc(request.uri().path()).is_some() {
            return self.in_grpc(request.headers());
        }
        let mut response = match self {
            Refusal::Busy => later(self.status(), self.why(), 1),
            _ => failure(self.status(), self.why()),
        };
        let told = match self {
            Refusal::NoToken => "Bearer realm=\"orrery\"".to_owned(),
            Refusal::WrongToken => "Bearer realm=\"orrery\", error=\"invalid_token\"".to_owned(),
            Refusal::Scope(scope) => format!(
                "Bearer realm=\"orrery\", error=\"insufficient_scope\", scope=\"{}\"",
                scope.name()
            ),
            _ => return response,
        };
        if let Ok(told) = HeaderValue::try_from(told) {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, told);
        }
        response
    }

    fn in_grpc(self, headers: &HeaderMap) -> Response {
        let status = match self {
            Refusal::NoToken | Refusal::WrongToken => Status::unauthenticated(self.why()),
            Refusal::Busy => Status::unavailable(self.why()),
            _ => Status::permission_denied(self.why()),
        };
        let mut response: Response = status.into_http();
        // gRPC-Web wants its own kind back.
        if let Some(kind) = headers.get(header::CONTENT_TYPE).filter(|kind| is_grpc_web(kind)) {
            response.headers_mut().insert(header::CONTENT_TYPE, kind.clone());
        }
        response
    }
}

fn is_grpc_web(kind: &HeaderValue) -> bool {
    kind.as_bytes().starts_with(b"application/grpc-web")
}

/// Lets a request in, or says why not.
pub(crate) async fn guard(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.0.ip());
    let judged = judge(&gateway.access, &request).and_then(|name| {
        // Streams have bounds of their own.
        let busy = |_| Refusal::Busy;
        Ok((name, Arc::clone(&gateway.answering).try_acquire_owned().map_err(busy)?))
    });
    match judged {
        Ok((name, _answering)) => {
            let client = match (name, peer) {
                (Some(name), _) => name.into(),
                (None, Some(peer)) => peer.to_string().into(),
                (None, None) => "unknown".into(),
            };
            request.extensions_mut().insert(Client(client));
            next.run(request).await
        }
        Err(refusal) => {
            refusal.count(&gateway.stats);
            if let Some(peer) = peer {
                gateway.told.once(peer, refusal.why());
            }
            refusal.answer(&request)
        }
    }
}

/// The name on the token, where there are tokens.
fn judge<'a>(access: &'a Access, request: &Request) -> Result<Option<&'a str>, Refusal> {
    let (method, headers) = (request.method(), request.headers());
    let host = request.uri().authority().map(|authority| authority.as_str());
    let host = host.or_else(|| headers.get(header::HOST).and_then(|host| host.to_str().ok()));
    if access.tokens.is_none() && host.is_some_and(|host| !access.is_host(host)) {
        return Err(Refusal::Host);
    }
    let asks = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    if let Some(origin) = headers.get(header::ORIGIN).filter(|_| !asks)
        && !origin.to_str().is_ok_and(|origin| access.is_origin(origin, host))
    {
        return Err(Refusal::Origin);
    }
    let Some(tokens) = &access.tokens else { return Ok(None) };
    let Some(needed) = needed(method, request.uri().path()) else { return Ok(None) };
    let by_cookie = asks || request.uri().path() == SESSION;
    let token = bearer(headers).or_else(|| if by_cookie { cookie(headers) } else { None });
    let token = token.ok_or(Refusal::NoToken)?;
    let holder = tokens.holder(token).ok_or(Refusal::WrongToken)?;
    match holder.scopes.contains(&needed) {
        true => Ok(Some(&holder.name)),
        false => Err(Refusal::Scope(needed)),
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (kind, token) = value.split_once(' ')?;
    kind.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Only for reading: another page can have a browser send a cookie along.
fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut all = cookies.flat_map(|cookies| cookies.split(';'));
    all.find_map(|cookie| cookie.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

/// Hands a browser its own token back as a cookie that scripts cannot read.
pub(crate) async fn open_session(
    State(gateway): State<Arc<Gateway>>,
    headers: HeaderMap,
) -> Response {
    let token = match &gateway.access.tokens {
        Some(_) => bearer(&headers).unwrap_or_default(),
        None => return failure(StatusCode::CONFLICT, "this server asks for no token"),
    };
    with_cookie(&gateway.access, token, "")
}

/// Takes the cookie back.
pub(crate) async fn close_session(State(gateway): State<Arc<Gateway>>) -> Response {
    with_cookie(&gateway.access, "", "; Max-Age=0")
}

fn with_cookie(access: &Access, token: &str, ends: &str) -> Response {
    let secure = if access.tls { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict{secure}{ends}");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    if let Ok(mut cookie) = HeaderValue::try_from(cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
