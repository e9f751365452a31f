//! `/openapi.json`: what the routes are, for tools. Written by hand; tests hold
//! it against the table of routes.

use axum::http::header;
use axum::response::{IntoResponse, Response};

const DOCUMENT: &str = include_str!("openapi.json");

pub async fn document() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/vnd.oai.openapi+json;version=3.1; charset=utf-8"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, DOCUMENT).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::gateway::access::scopes::needed;
    use crate::gateway::routes;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).expect("JSON")
    }

    fn operations(document: &Value) -> Vec<(String, String, Value)> {
        let paths = document["paths"].as_object().expect("paths");
        let mut all = Vec::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().expect("an item") {
                if ["get", "post", "delete", "put", "patch"].contains(&method.as_str()) {
                    all.push((method.to_uppercase(), path.clone(), operation.clone()));
                }
            }
        }
        all
    }

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let document = document();
        let described: BTreeSet<(String, String)> =
            operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
        let served: BTreeSet<(String, String)> = routes::open()
            .iter()
            .chain(&routes::own())
            .map(|route| (route.method.to_string(), route.path.to_owned()))
            .collect();
        assert_eq!(described, served);
    }

    #[test]
    fn security_is_what_the_layer_asks_for_and_references_lead_somewhere() {
        let document = document();
        for (method, path, operation) in operations(&document) {
            let method = method.parse().expect("a method");
            let scope = needed(&method, &path).map(|scope| scope.name());
            let said = operation.get("x-scope").and_then(Value::as_str);
            assert_eq!(said, scope, "{method} {path}");
            assert!(operation["operationId"].is_string(), "{method} {path}");
            assert!(operation["responses"].is_object(), "{method} {path}");
        }
        let text = DOCUMENT;
        let mut seen = 0;
        for (at, _) in text.match_indices("\"$ref\": \"#") {
            let pointer = text[at + 10..].split('"').next().expect("a pointer");
            assert!(document.pointer(pointer).is_some(), "{pointer}");
            seen += 1;
        }
        assert!(seen > 20, "{seen} references");
    }
}
