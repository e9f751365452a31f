//! What each path and each gRPC method asks for. What is not listed asks for
//! the most.

use axum::http::Method;

/// What a token may do. One does not imply another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Scope {
    /// Ask and follow.
    Read,
    /// Write annotations and corrections into the journal.
    Annotate,
    /// Everything that changes or loads the server: backups, certificates, keys,
    /// profiles, replays.
    Control,
}

impl Scope {
    /// As it is written in files and in answers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Annotate => "annotate",
            Scope::Control => "control",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Scope> {
        [Scope::Read, Scope::Annotate, Scope::Control].into_iter().find(|s| s.name() == text)
    }
}

/// What anybody may have: the page's files, which hold no data, and whether the
/// process lives.
const PUBLIC: &[&str] = &[
    "/",
    "/app.js",
    "/style.css",
    "/icon.svg",
    "/healthz",
    "/readyz",
    "/api/health",
    "/openapi.json",
];

/// First words of methods that only ask.
const ASKING: &[&str] = &[
    "Diff",
    "Explain",
    "Get",
    "List",
    "Prove",
    "Read",
    "Report",
    "ServerReflection",
    "Stat",
    "Tail",
    "Verify",
    "Watch",
];

/// What a request asks for; `None` is for everybody.
#[must_use]
pub fn needed(method: &Method, path: &str) -> Option<Scope> {
    if let Some((service, rpc)) = grpc(path) {
        return Some(of_rpc(service, rpc));
    }
    let asks = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    match asks {
        true if PUBLIC.contains(&path) => None,
        true => Some(Scope::Read),
        // A session in a browser reads, and needs no more than that to begin.
        false if path == super::layer::SESSION => Some(Scope::Read),
        false => Some(Scope::Annotate),
    }
}

/// Service and method, where a path is one of gRPC.
#[must_use]
pub fn grpc(path: &str) -> Option<(&str, &str)> {
    let (service, rpc) = path.strip_prefix('/')?.split_once('/')?;
    (service.starts_with("orrery.") || service.starts_with("grpc.")).then_some((service, rpc))
}

fn of_rpc(service: &str, rpc: &str) -> Scope {
    if ASKING.iter().any(|word| rpc.starts_with(word))
        || (service == "grpc.health.v1.Health" && rpc == "Check")
    {
        return Scope::Read;
    }
    match service {
        "orrery.v1.AnnotationService" => Scope::Annotate,
        _ => Scope::Control,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_is_not_known_to_ask_asks_for_the_most() {
        let post = |path: &str| needed(&Method::POST, path);
        for path in ["GetArtifact", "WatchArtifacts", "ListArtifacts"] {
            assert_eq!(post(&format!("/orrery.v1.ArtifactService/{path}")), Some(Scope::Read));
        }
        for path in [
            "/orrery.v1.JournalService/Backup",
            "/orrery.v1.JournalService/Compact",
            "/orrery.v1.CertificateService/Seal",
            "/orrery.v1.CertificateService/RotateKey",
            "/orrery.v1.ProfileService/PromoteShadow",
            "/orrery.v1.ReplayService/StartReplay",
            "/orrery.v1.ReplaySessionService/CreateSession",
            "/orrery.v1.SomethingNew/Wipe",
            "/orrery.v1.ArtifactService/%47etArtifact",
            "/orrery.v1.ArtifactService/",
        ] {
            assert_eq!(post(path), Some(Scope::Control), "{path}");
        }
        assert_eq!(post("/orrery.v1.AnnotationService/Annotate"), Some(Scope::Annotate));
        assert_eq!(post("/grpc.health.v1.Health/Check"), Some(Scope::Read));
        assert_eq!(
            post("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"),
            Some(Scope::Read)
        );
        assert_eq!(post("/api/v1/annotations"), Some(Scope::Annotate));
        assert_eq!(post("/anything"), Some(Scope::Annotate));
        let get = |path: &str| needed(&Method::GET, path);
        assert_eq!([get("/healthz"), get("/")], [None, None]);
        for path in ["/metrics", "/sse/all", "/api/models/spot", "/nowhere", "//", "/%2f"] {
            assert_eq!(get(path), Some(Scope::Read), "{path}");
        }
    }

    #[test]
    fn every_method_of_the_schema_has_a_scope_that_fits_its_verb() {
        let schema = <prost_types::FileDescriptorSet as prost::Message>::decode(
            orrery_proto::FILE_DESCRIPTOR_SET,
        )
        .expect("descriptors");
        let mut seen = 0;
        for file in schema.file.iter().filter(|f| f.package().starts_with("orrery.")) {
            for service in &file.service {
                for rpc in &service.method {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), rpc.name());
                    let scope = needed(&Method::POST, &path).expect("no RPC is public");
                    let changes = [
                        "Create", "Start", "Add", "Remove", "Promote", "Rollback", "Seal",
                        "Rotate", "Backup", "Compact", "Cancel", "Close", "Annotate", "Correct",
                    ];
                    if changes.iter().any(|verb| rpc.name().starts_with(verb)) {
                        assert_ne!(scope, Scope::Read, "{path}");
                    }
                    seen += 1;
                }
            }
        }
        assert!(seen > 40, "{seen} methods");
    }
}
