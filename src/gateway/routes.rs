//! The table of routes: what the router serves is what `/openapi.json` says.

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{self, MethodRouter};

use super::{Gateway, access, annotations, health, models, openapi, page, sse};

/// One method of one path.
pub struct Route {
    /// The method.
    #[cfg_attr(not(test), expect(dead_code, reason = "the description is held against it"))]
    pub method: Method,
    /// The path, `{name}` for what varies.
    pub path: &'static str,
    handler: MethodRouter<Arc<Gateway>>,
}

/// A route that only reads.
pub fn get<H, T>(path: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Gateway>>,
    T: 'static,
{
    Route { method: Method::GET, path, handler: routing::get(handler) }
}

/// A route that writes.
pub fn post<H, T>(path: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Gateway>>,
    T: 'static,
{
    Route { method: Method::POST, path, handler: routing::post(handler) }
}

/// A route that takes something back.
pub fn delete<H, T>(path: &'static str, handler: H) -> Route
where
    H: Handler<T, Arc<Gateway>>,
    T: 'static,
{
    Route { method: Method::DELETE, path, handler: routing::delete(handler) }
}

/// Routes that pages of other origins may read.
pub fn open() -> Vec<Route> {
    let mut all = models::routes();
    all.extend(sse::routes());
    all.extend(annotations::routes());
    all.push(get("/api/health", health::health));
    all
}

/// Routes for our own page, for machines that watch, and for tools.
pub fn own() -> Vec<Route> {
    let mut all = page::routes();
    all.extend([
        get("/healthz", health::alive),
        get("/readyz", health::ready),
        get("/metrics", health::metrics),
        get("/openapi.json", openapi::document),
        post(access::layer::SESSION, access::layer::open_session),
        delete(access::layer::SESSION, access::layer::close_session),
    ]);
    all
}

/// A router of routes.
pub fn router(routes: Vec<Route>) -> Router<Arc<Gateway>> {
    let add = |router: Router<Arc<Gateway>>, route: Route| router.route(route.path, route.handler);
    routes.into_iter().fold(Router::new(), add)
}
