//! What the tests need besides Rust: Debian packages, a Python with the packages
//! that check our numbers, and clients of Node.

use std::path::Path;
use std::process::Command;

use crate::step;

/// Programs that the tests start, and the Debian package of each.
const PROGRAMS: &[(&str, &str)] = &[
    ("redis-server", "redis-server"),
    ("gcc", "gcc"),
    ("g++", "g++"),
    ("python3", "python3"),
    ("strace", "strace"),
    ("promtool", "prometheus"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("chromium", "chromium"),
];

/// Where the Python of the oracles lives.
const ORACLES: &str = "target/oracles";
/// What it needs.
const REQUIREMENTS: &str = "tests/oracles/requirements.txt";
/// Where the packages of Node lie.
const CLIENTS: &str = "target/clients";
/// Which.
const PACKAGES: &str = "tests/clients/package.json";

/// Installs whatever is missing; says how to do it by hand when it cannot.
pub fn run() -> Result<(), String> {
    packages()?;
    environments()
}

/// The environments of Python and Node, for which [`packages`] must be there.
pub fn environments() -> Result<(), String> {
    oracles()?;
    clients()
}

/// Debian's packages, compilers among them.
pub fn packages() -> Result<(), String> {
    let missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| !installed(program)).map(|(_, p)| *p).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

fn install(missing: &[&str]) -> Result<(), String> {
    let by_hand = format!("install these Debian packages and run again: {}", missing.join(" "));
    if !is_root() || !installed("apt-get") {
        return Err(by_hand);
    }
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    step("package lists", &mut apt(&["update", "-qq"]))?;
    let mut args = vec!["install", "-y", "-qq", "--no-install-recommends"];
    args.extend(missing);
    // Debian starts a freshly installed server; the tests start their own on
    // free ports and leave that one alone.
    step("packages", &mut apt(&args)).map_err(|why| format!("{why}\n{by_hand}"))
}

/// An environment of its own, made anew when the requirements change.
fn oracles() -> Result<(), String> {
    let wanted = std::fs::read_to_string(REQUIREMENTS)
        .map_err(|e| format!("{REQUIREMENTS}: {e}; run this in the root of the repository"))?;
    let stamp = Path::new(ORACLES).join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|has| has == wanted) {
        return Ok(());
    }
    let make = || step("python environment", Command::new("python3").args(["-m", "venv", ORACLES]));
    if make().is_err() {
        // Debian keeps this part of Python in a package of its own.
        install(&["python3-venv"])?;
        make()?;
    }
    // By the interpreter: the script `pip` names the folder that it was made in,
    // which is another one after a move.
    let python = Path::new(ORACLES).join("bin/python");
    step(
        "python packages",
        Command::new(python).args([
            "-m",
            "pip",
            "install",
            "-q",
            "--disable-pip-version-check",
            "-r",
            REQUIREMENTS,
        ]),
    )?;
    std::fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))
}

/// Node's packages, installed anew when the list of them changes.
fn clients() -> Result<(), String> {
    let wanted = std::fs::read_to_string(PACKAGES)
        .map_err(|e| format!("{PACKAGES}: {e}; run this in the root of the repository"))?;
    let list = Path::new(CLIENTS).join("package.json");
    let stamp = Path::new(CLIENTS).join("installed.json");
    if std::fs::read_to_string(&stamp).is_ok_and(|has| has == wanted) {
        return Ok(());
    }
    let told = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    std::fs::create_dir_all(CLIENTS).map_err(|e| told(Path::new(CLIENTS), e))?;
    std::fs::write(&list, &wanted).map_err(|e| told(&list, e))?;
    let quiet = ["install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"];
    step("node packages", Command::new("npm").args(quiet).current_dir(CLIENTS))?;
    std::fs::write(&stamp, wanted).map_err(|e| told(&stamp, e))
}

fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|out| out.stdout.trim_ascii() == b"0")
}
