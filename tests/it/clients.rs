//! Clients that are not ours read what they expect from a live server with a
//! Redis: Node's `eventsource` and `ioredis`, Python's `requests` and `redis`,
//! and a page in Chromium. `cargo xtask setup` installs them.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::live::Live;
use crate::oracle::python;
use crate::support::Orrery;
use crate::support::redis::RedisServer;

fn ran(command: &mut Command) -> String {
    let ran = command.output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{command:?}\n{out}\n{err}");
    out.into_owned()
}

/// Node's packages, or `None` with a line that says so.
fn node() -> Option<PathBuf> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients");
    if packages.join("node_modules/eventsource").is_dir() {
        return Some(packages);
    }
    println!("skipped: {} has no packages; `cargo xtask setup` makes it", packages.display());
    None
}

/// A browser, or `None` with a line that says so.
fn browser() -> Option<&'static str> {
    let found = ["/usr/bin/chromium", "/usr/bin/chromium-browser"];
    let found = found.into_iter().find(|path| Path::new(path).is_file());
    if found.is_none() {
        println!("skipped: there is no Chromium; apt-get install chromium");
    }
    found
}

/// What a page in the browser says that it heard.
fn in_a_browser(browser: &str, page: &Path, url: &str) -> Value {
    let report = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = report.local_addr().expect("an address");
    let profile = tempfile::tempdir().expect("a folder");
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}#{url},http://{address}", page.display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the browser starts");
    let (told, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let (socket, _) = report.accept().expect("a report");
        let mut line = String::new();
        BufReader::new(socket).read_line(&mut line).expect("a request");
        let _ = told.send(line);
    });
    let line = heard.recv_timeout(Duration::from_secs(40));
    child.kill().expect("the browser can be ended");
    child.wait().expect("it ends");
    let line = line.expect("the browser says something in time");
    let query = line.split(['?', ' ']).nth(2).expect("a query");
    serde_json::from_str(&decoded(query)).unwrap_or_else(|e| panic!("{e}: {line}"))
}

/// Percent-decoded.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (hex, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(hex, 16).expect("hex"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn strangers_read_what_they_expect() {
    let (orrery, redis) = (Orrery::new(), RedisServer::start());
    let bus = format!("redis://127.0.0.1:{}", redis.port());
    let live = Live::start(&orrery, &["--feed", "simulate", "--redis", &bus]);
    for path in ["/api/models/heatmap/I:SPX", "/api/dealer-gravity/artifact", "/api/v1/levels/SPX"]
    {
        live.wait_for(path, "success");
    }
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients");
    if let Some(python) = python() {
        let mut command = Command::new(python);
        let out = ran(command.arg(scripts.join("read.py")).args([&live.url, &bus]));
        assert!(out.contains("all as it should be"), "{out}");
    }
    if let Some(packages) = node() {
        // Packages are looked for beside the script.
        let script = packages.join(format!("read-{}.mjs", std::process::id()));
        std::fs::copy(scripts.join("read.mjs"), &script).expect("copied");
        let out = ran(Command::new("node").arg(&script).args([&live.url, &bus]));
        let _ = std::fs::remove_file(&script);
        assert!(out.contains("all as it should be"), "{out}");
    }
    if let Some(browser) = browser() {
        let said = in_a_browser(browser, &scripts.join("read.html"), &live.url);
        let order: Vec<&str> =
            said["order"].as_array().expect("an order").iter().filter_map(Value::as_str).collect();
        assert_eq!(order, ["spot", "gex", "heatmap", "connected", "heatmap_diff"], "{said}");
        assert!(said["id"].as_str().is_some_and(|id| id.contains("heatmap/I:SPX=")), "{said}");
        assert!(said["versions"][0].as_u64() < said["versions"][1].as_u64(), "{said}");
        assert!(said["tiles"].as_u64() > Some(100) && said["spot"].is_f64(), "{said}");
    }
    assert_eq!(live.terminate(), 0);
}

/// Every route that is no stream, with whatever the description allows and with
/// what it does not.
#[test]
fn the_description_holds_whatever_is_asked() {
    let Some(python) = python() else { return };
    let orrery = Orrery::new();
    let live = Live::start(&orrery, &["--feed", "simulate", "--annotations-per-minute", "100000"]);
    for path in [
        "/api/models/heatmap/I:SPX",
        "/api/dealer-gravity/context",
        "/api/models/trade_selector/I:SPX",
        "/api/v1/levels/SPX",
    ] {
        live.wait_for(path, "success");
    }
    let tool = python.with_file_name("schemathesis");
    let folder = tempfile::tempdir().expect("a folder");
    let out = ran(Command::new(python)
        .arg(tool)
        .args(["run", &format!("{}/openapi.json", live.url), "--url", &live.url])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES, "--seed", "1"])
        .args(["--checks", "not_a_server_error,status_code_conformance"])
        .args(["--checks", "content_type_conformance,response_schema_conformance"])
        .args(["--exclude-path-regex", "^/sse/", "--no-color", "--generation-database", "none"])
        .current_dir(folder.path()));
    println!("{out}");
    assert_eq!(live.terminate(), 0);
    orrery.run(&["verify"]).expect(0);
}

/// Questions to each route; the tool's own default is 100.
const EXAMPLES: &str = "15";
