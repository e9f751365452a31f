//! Who may do what: tokens and scopes over HTTP, event streams and gRPC, TLS
//! with and without certificates of clients, hosts, origins, and how much one
//! client may take.

mod floods;
mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

use orrery::gateway::access::{Access, Tokens};
use orrery::gateway::{Door, LIMITS, Limits};

use crate::served::Served;
use crate::support::Orrery;

const READER: &str = "reader-0123456789abcdef";
const WRITER: &str = "writer-0123456789abcdef";
const CHIEF: &str = "chief-0123456789abcdefg";

/// Three tokens; the last one as its hash.
pub fn tokens() -> Tokens {
    let hash = blake3(CHIEF);
    let text = format!("ann read {READER}\nbob read,annotate {WRITER}\neve read,control {hash}\n");
    Tokens::parse(&text).expect("tokens")
}

fn blake3(token: &str) -> String {
    format!("blake3:{}", orrery_journal::units::Address::of(token.as_bytes()))
}

pub fn with_tokens() -> Served {
    let access = Access { tokens: Some(tokens()), ..Access::default() };
    Served::behind(Door { access, ..Door::default() })
}

/// An answer of any method, with headers.
fn ask(
    served: &Served,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (u16, String, String) {
    let mut socket = TcpStream::connect(served.address).expect("a connection");
    let mut text = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        text.push_str("Host: 127.0.0.1\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = if method == "POST" { "{}" } else { "" };
    text.push_str(&format!("Content-Length: {}\r\n\r\n{body}", body.len()));
    socket.write_all(text.as_bytes()).expect("asked");
    socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).expect("a timeout");
    let mut answer = Vec::new();
    // A stream that was opened would not end: its head is enough.
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&answer).contains("\r\n\r\n") || !path.starts_with("/sse") {
        match socket.read(&mut buffer).expect("an answer") {
            0 => break,
            n => answer.extend_from_slice(&buffer[..n]),
        }
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head.split(' ').nth(1).expect("a status").parse().expect("a number");
    (status, head.to_lowercase(), body.to_owned())
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

#[test]
fn without_a_token_nothing_but_the_pulse_and_the_empty_page() {
    let served = with_tokens();
    served.place_samples(1, 6540.0);
    for path in ["/", "/app.js", "/healthz", "/readyz", "/api/health", "/openapi.json"] {
        assert_eq!(ask(&served, "GET", path, &[]).0, 200, "{path}");
    }
    for path in ["/metrics", "/api/models/spot", "/api/v1/symbols", "/sse/all", "/nowhere", "//"] {
        let (status, head, body) = ask(&served, "GET", path, &[]);
        assert_eq!(status, 401, "{path}");
        assert!(head.contains("www-authenticate: bearer realm=\"orrery\""), "{path}: {head}");
        assert!(body.contains("Not authenticated"), "{path}: {body}");
        assert!(!head.contains("access-control-allow-origin"), "never * with credentials: {head}");
        let wrong = bearer("reader-0123456789abcdeF");
        let (status, head, body) = ask(&served, "GET", path, &[("Authorization", &wrong)]);
        assert!(status == 401 && head.contains("error=\"invalid_token\""), "{path}: {head}");
        assert!(!body.contains("0123456789abcde"), "{body}");
        let (status, ..) = ask(&served, "GET", path, &[("Authorization", &bearer(READER))]);
        assert!([200, 404].contains(&status), "{path}: {status}");
    }
    let (_, problem, _) = ask(&served, "GET", "/api/v1/symbols", &[]);
    assert!(problem.contains("application/"), "{problem}");
    let (_, head, _) = ask(&served, "GET", "/sse/all", &[("Authorization", &bearer(READER))]);
    assert!(head.contains("text/event-stream"), "{head}");
}

#[test]
fn a_token_does_what_its_scopes_say_and_nothing_else() {
    let served = with_tokens();
    let path = "/api/v1/annotations";
    let kind = ("Content-Type", "application/json");
    let (status, head, body) =
        ask(&served, "POST", path, &[("Authorization", &bearer(READER)), kind]);
    assert_eq!(status, 403, "{body}");
    assert!(head.contains("error=\"insufficient_scope\", scope=\"annotate\""), "{head}");
    assert!(body.contains("lacks the scope annotate"), "{body}");
    let (status, ..) = ask(&served, "POST", path, &[("Authorization", &bearer(CHIEF)), kind]);
    assert_eq!(status, 403, "control is not annotate");
    let (status, _, body) = ask(&served, "POST", path, &[("Authorization", &bearer(WRITER)), kind]);
    assert!(status == 400 && body.contains("symbol is missing"), "it came through: {body}");
    let (_, _, metrics) = ask(&served, "GET", "/metrics", &[("Authorization", &bearer(READER))]);
    assert!(metrics.contains("orrery_gateway_forbidden_total 2\n"), "{metrics}");
}

#[test]
fn a_browser_gets_a_cookie_that_reads_and_does_no_more() {
    let served = with_tokens();
    let session = "/api/v1/session";
    assert_eq!(ask(&served, "POST", session, &[]).0, 401);
    let (status, head, _) = ask(&served, "POST", session, &[("Authorization", &bearer(WRITER))]);
    assert_eq!(status, 204, "{head}");
    let cookie = head.lines().find_map(|l| l.strip_prefix("set-cookie: ")).expect("a cookie");
    assert!(cookie.contains("httponly") && cookie.contains("samesite=strict"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let with = [("Cookie", &*format!("other=1; {cookie}"))];
    assert_eq!(ask(&served, "GET", "/sse/all", &with).0, 200);
    assert_eq!(ask(&served, "GET", "/api/v1/symbols", &with).0, 200);
    assert_eq!(ask(&served, "POST", "/api/v1/annotations", &with).0, 401, "not by cookie");
    let (status, head, _) = ask(&served, "DELETE", session, &with);
    assert!(status == 204 && head.contains("max-age=0"), "{head}");
    let open = Served::start();
    assert_eq!(ask(&open, "POST", session, &[]).0, 409, "nothing to log in to");
}

/// The status of a method over gRPC-Web on HTTP/1.1, as a browser calls it.
fn over_grpc_web(served: &Served, path: &str, token: Option<&str>) -> String {
    let agent = served.agent();
    let mut asked = agent
        .post(served.url(path))
        .header("Content-Type", "application/grpc-web+proto")
        .header("X-Grpc-Web", "1");
    if let Some(token) = token {
        asked = asked.header("Authorization", bearer(token));
    }
    let mut response = asked.send(&[0_u8, 0, 0, 0, 0][..]).expect("an answer");
    assert_eq!(response.status(), 200, "{path}: gRPC says it in its own status");
    if let Some(status) = response.headers().get("grpc-status") {
        return status.to_str().expect("text").to_owned();
    }
    let body = response.body_mut().read_to_vec().expect("a body");
    let text = String::from_utf8_lossy(&body).into_owned();
    let at = text.rfind("grpc-status:").unwrap_or_else(|| panic!("{path}: {text:?}"));
    text[at + 12..].split("\r\n").next().expect("a status").trim().to_owned()
}

#[test]
fn every_rpc_refuses_every_wrong_credential() {
    let served = with_tokens();
    let schema = <prost_types::FileDescriptorSet as prost::Message>::decode(
        orrery_proto::FILE_DESCRIPTOR_SET,
    )
    .expect("descriptors");
    let mut paths: Vec<String> = vec![
        "/grpc.health.v1.Health/Check".into(),
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".into(),
    ];
    for file in schema.file.iter().filter(|f| f.package().starts_with("orrery.")) {
        for service in &file.service {
            let methods = service.method.iter().map(|rpc| rpc.name());
            paths.extend(methods.map(|m| format!("/{}.{}/{m}", file.package(), service.name())));
        }
    }
    const UNAUTHENTICATED: &str = "16";
    const PERMISSION_DENIED: &str = "7";
    let mut beyond_reading = 0;
    for path in &paths {
        assert_eq!(over_grpc_web(&served, path, None), UNAUTHENTICATED, "{path}");
        let wrong = over_grpc_web(&served, path, Some("chief-0123456789abcdefG"));
        assert_eq!(wrong, UNAUTHENTICATED, "{path}");
        let asks = [
            "Get",
            "List",
            "Watch",
            "Read",
            "Tail",
            "Stat",
            "Check",
            "Prove",
            "Diff",
            "Explain",
            "Report",
            "Verify",
            "ServerReflection",
        ];
        let name = path.rsplit('/').next().expect("a name");
        if !asks.iter().any(|verb| name.starts_with(verb)) {
            beyond_reading += 1;
            assert_eq!(over_grpc_web(&served, path, Some(READER)), PERMISSION_DENIED, "{path}");
        }
    }
    assert!(paths.len() > 40 && beyond_reading > 10, "{} {beyond_reading}", paths.len());
    let listed = over_grpc_web(&served, "/orrery.v1.ArtifactService/ListArtifacts", Some(READER));
    assert!(![UNAUTHENTICATED, PERMISSION_DENIED].contains(&&*listed), "{listed}");
    let compact = over_grpc_web(&served, "/orrery.v1.JournalService/Compact", Some(CHIEF));
    assert!(![UNAUTHENTICATED, PERMISSION_DENIED].contains(&&*compact), "{compact}");
}

#[test]
fn names_and_origins_of_elsewhere_get_nowhere() {
    let access = Access {
        origins: vec!["https://desk.example".into()],
        hosts: vec!["orrery.example".into()],
        ..Access::default()
    };
    let served = Served::behind(Door { access, ..Door::default() });
    served.place_samples(1, 6540.0);
    for (host, status) in
        [("evil.example", 421), ("orrery.example:80", 200), ("localhost", 200), ("[::1]:1", 200)]
    {
        let (got, _, body) = ask(&served, "GET", "/api/models/spot", &[("Host", host)]);
        assert_eq!(got, status, "{host}: {body}");
    }
    let kind = ("Content-Type", "application/json");
    for (origin, status) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("https://desk.example", 400),
        ("http://127.0.0.1", 400),
    ] {
        let (got, _, body) =
            ask(&served, "POST", "/api/v1/annotations", &[("Origin", origin), kind]);
        assert_eq!(got, status, "{origin}: {body}");
    }
    // Those pages may ask with credentials, and nobody else at all.
    let (_, head, _) =
        ask(&served, "GET", "/api/models/spot", &[("Origin", "https://desk.example")]);
    assert!(head.contains("access-control-allow-origin: https://desk.example"), "{head}");
    assert!(head.contains("access-control-allow-credentials: true"), "{head}");
    let (_, head, _) =
        ask(&served, "GET", "/api/models/spot", &[("Origin", "https://evil.example")]);
    assert!(!head.contains("access-control-allow-origin"), "{head}");
    let preflight = [
        ("Origin", "https://desk.example"),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    let (status, head, _) = ask(&served, "OPTIONS", "/api/v1/annotations", &preflight);
    assert!(status < 300 && head.contains("access-control-allow-headers"), "{head}");
}

#[test]
fn too_many_connections_of_one_client_are_told_to_come_back() {
    let limits = Limits { connections_per_client: 3, ..LIMITS };
    let served = Served::with(limits);
    let held: Vec<TcpStream> =
        (0..3).map(|_| TcpStream::connect(served.address).expect("a connection")).collect();
    std::thread::sleep(std::time::Duration::from_millis(100));
    let mut fourth = TcpStream::connect(served.address).expect("accepted, to be told");
    let mut answer = String::new();
    fourth.read_to_string(&mut answer).expect("an answer without a question");
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("Retry-After"), "{answer}");
    drop(held);
    let since = std::time::Instant::now();
    while ask_quietly(&served) != Some(200) {
        assert!(since.elapsed().as_secs() < 5, "places are given back");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn ask_quietly(served: &Served) -> Option<u16> {
    served.agent().get(served.url("/healthz")).call().ok().map(|r| r.status().as_u16())
}

#[test]
fn a_listener_that_others_reach_asks_for_tokens_unless_told_otherwise() {
    let orrery = Orrery::new();
    let serve = |more: &[&str]| {
        let mut args = vec!["serve", "--feed", "simulate", "--listen", "0.0.0.0:0"];
        args.extend(more);
        orrery.run(&args)
    };
    let refused = serve(&[]).expect(2);
    assert!(
        refused.stderr.contains("--tokens") && refused.stderr.contains("--without-tokens"),
        "{}",
        refused.stderr
    );
    let file = orrery.file("tokens", format!("ann read {READER}\nbob read tooshort\n"));
    let refused = serve(&["--tokens", file.to_str().expect("UTF-8")]).expect(2);
    assert!(refused.stderr.contains("line 2"), "{}", refused.stderr);
    assert!(!refused.stderr.contains(READER) && !refused.stderr.contains("tooshort"));
    let both = serve(&["--tokens", "x", "--without-tokens"]).expect(2);
    assert!(both.stderr.contains("cannot be used"), "{}", both.stderr);
    let days = orrery.run(&["days", "--json"]);
    assert!(days.code == 2 || days.json().as_array().is_some_and(Vec::is_empty), "{days:?}");
}

#[test]
fn a_token_appears_in_no_log_no_answer_and_no_journal() {
    let canary = "canary-3f9c0a77d1b24e58";
    let orrery = Orrery::new();
    let file = orrery.file("tokens", format!("ann read,annotate,control {canary}\n"));
    let args = ["serve", "--feed", "simulate", "--log", "trace", "--tokens"];
    let mut command = orrery.command(&args);
    let log = orrery.file("log", "");
    let out = std::fs::File::options().append(true).open(&log).expect("a file");
    command.arg(&file).args(["--listen", "127.0.0.1:0"]).stderr(out);
    let live = crate::live::Live::of(command);
    let agent: ureq::Agent =
        ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut said = String::new();
    for (path, token) in [
        ("/api/models/spot", canary),
        ("/api/models/spot", "canary-3f9c0a77d1b24e59"),
        ("/metrics", canary),
        ("/api/v1/nothing", canary),
    ] {
        let asked = agent.get(format!("{}{path}", live.url)).header("Authorization", bearer(token));
        let mut response = asked.call().expect("an answer");
        said.push_str(&response.body_mut().read_to_string().expect("text"));
    }
    let since = std::time::Instant::now();
    loop {
        let annotated = agent
            .post(format!("{}/api/v1/annotations", live.url))
            .header("Authorization", bearer(canary))
            .header("Content-Type", "application/json");
        let lines = r#"{"symbol":"SPX","author":"ann","lines":[6510]}"#;
        let mut response = annotated.send(lines).expect("an answer");
        let told = response.body_mut().read_to_string().expect("text");
        if response.status() == 201 {
            break;
        }
        // Until the first artifact nothing is known of the symbol.
        assert!(response.status() == 404 && since.elapsed().as_secs() < 30, "{told}");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(live.terminate(), 0);
    let log = std::fs::read_to_string(log).expect("a log");
    assert!(log.contains("tokens were read") && log.contains("the token is not known"), "{log}");
    let journaled = orrery.run(&["journal", "read", "--kind", "annotation", "--json"]).expect(0);
    assert!(journaled.stdout.contains("annotation"), "{}", journaled.stdout);
    // Whatever lies in the data directory, packed or not.
    let files = Command::new("grep").args(["-rlaF", "canary-3f9c"]).arg(orrery.data()).output();
    assert_eq!(String::from_utf8_lossy(&files.expect("grep").stdout), "");
    for (name, text) in [("log", &log), ("answers", &said), ("journal", &journaled.stdout)] {
        assert!(!text.contains("canary-3f9c"), "the token stands in the {name}");
    }
}
