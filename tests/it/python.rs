//! The Python client, built and installed as a user does it, against running
//! servers; its own tests are in `clients/python/tests`.

use std::path::Path;
use std::process::Command;

use crate::live::Live;
use crate::oracle::python;
use crate::support::Orrery;

#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let ran = command.output().expect("it starts");
    let (out, err) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{command:?}\n{out}\n{err}");
    format!("{out}{err}")
}

#[test]
fn the_python_client_asks_follows_and_resumes() {
    let Some(python) = python() else { return };
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().expect("a folder");
    // Building writes beside the sources, so it gets a copy of them.
    succeeds(Command::new("cp").arg("-R").arg(root.join("clients/python")).arg(folder.path()));
    let (source, site) = (folder.path().join("python"), folder.path().join("site"));
    let install = ["install", "-q", "--disable-pip-version-check", "--no-deps"];
    succeeds(
        Command::new(&python)
            .args(["-m", "pip"])
            .args(install)
            .args(["--no-build-isolation", "--target"])
            .arg(&site)
            .arg(&source)
            .env("ORRERY_PROTOS", root.join("proto/proto")),
    );
    assert!(site.join("orrery_client/py.typed").is_file(), "typed, and says so");
    succeeds(
        Command::new(&python)
            .args(["-m", "mypy", "--cache-dir"])
            .arg(folder.path().join("types"))
            .arg("src/orrery_client")
            .current_dir(&source)
            .env("MYPYPATH", &site),
    );

    let (recorded, simulated) = (Orrery::new(), Orrery::new());
    recorded.run(&["demo", "--exit", "--minutes", "1", "--json"]).expect(0);
    let still = Live::start(&recorded, &[]);
    let live = Live::start(&simulated, &["--feed", "simulate", "--seed", "5"]);
    live.wait_for("/api/models/heatmap/I:SPX", "tiles");
    let guarded = Orrery::new();
    guarded.run(&["demo", "--exit", "--minutes", "1", "--json"]).expect(0);
    let tokens = guarded.file("tokens", "desk read kV3pT0rQm8sXw2Zy5uAe\n");
    let asks = Live::start(&guarded, &["--tokens", tokens.to_str().expect("UTF-8")]);
    let told = succeeds(
        Command::new(&python)
            .arg(source.join("tests/test_client.py"))
            .env("PYTHONPATH", &site)
            .env("ORRERY_RECORDED", &still.url)
            .env("ORRERY_GUARDED", &asks.url)
            .env("ORRERY_SHOWN", "kV3pT0rQm8sXw2Zy5uAe")
            .env("ORRERY_LIVE", &live.url),
    );
    assert!(told.contains("\nOK"), "{told}");
    assert_eq!((still.terminate(), live.terminate(), asks.terminate()), (0, 0, 0));
}
