//! The page: a few files that are part of the binary.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::routes::{Route, get};

const INDEX: &str = include_str!("../../web/index.html");
const SCRIPT: &str = include_str!("../../web/app.js");
const STYLE: &str = include_str!("../../web/style.css");
const ICON: &str = include_str!("../../web/icon.svg");

/// Nothing from elsewhere is loaded, and nobody else may frame the page.
const POLICY: &str = "default-src 'self'; base-uri 'none'; frame-ancestors 'none'";

pub fn routes() -> Vec<Route> {
    vec![
        get("/", || async { file("text/html; charset=utf-8", INDEX) }),
        get("/app.js", || async { file("text/javascript; charset=utf-8", SCRIPT) }),
        get("/style.css", || async { file("text/css; charset=utf-8", STYLE) }),
        get("/icon.svg", || async { file("image/svg+xml", ICON) }),
    ]
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CACHE_CONTROL, "no-cache"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, text).into_response()
}
