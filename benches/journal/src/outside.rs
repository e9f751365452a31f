//! Peers that are other programs: a Rust package with their client libraries, a
//! C++ file, two Python scripts. Each gets the rows in a file and prints
//! `append=`, `replay=`, `bytes=`, `digest=`, `ticks=`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::measure::Run;

/// Where the peers' sources lie and where what is built of them goes.
pub struct Places {
    sources: PathBuf,
    target: PathBuf,
}

/// Debian packages that `--install` installs.
const PACKAGES: [&str; 6] =
    ["redis-server", "nats-server", "librocksdb-dev", "g++", "python3", "python3-venv"];
/// What to say of a peer that is not there.
pub const INSTALL: &str = "`cargo bench --bench journal -- --install` installs it";

impl Places {
    /// `tmp` is cargo's folder for temporary files, below the target folder.
    pub fn new(tmp: &Path) -> Places {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../peers");
        let target = tmp.parent().unwrap_or(tmp).to_owned();
        Places { sources, target }
    }

    fn python(&self) -> PathBuf {
        self.target.join("bench-venv/bin/python")
    }

    /// The program with the peers that need Rust libraries; built if it has to
    /// be.
    fn peers(&self) -> Result<PathBuf, String> {
        let target = self.target.join("peers");
        let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "--locked", "--quiet", "--manifest-path"]);
        build.arg(self.sources.join("Cargo.toml")).arg("--target-dir").arg(&target);
        output(&mut build).map_err(|why| format!("its client does not build: {why}"))?;
        Ok(target.join("release/orrery-bench-peers"))
    }

    /// SQLite or, against a server at a port, NATS.
    ///
    /// # Errors
    /// Why it could not run.
    pub fn client(&self, peer: &str, rows: &Path, ticks: usize, at: &str) -> Result<Run, String> {
        let program = self.peers()?;
        run(Command::new(program).arg(peer).arg(rows).arg(ticks.to_string()).arg(at), ticks)
    }

    /// RocksDB; compiled first if its library is there.
    ///
    /// # Errors
    /// Why it could not run.
    pub fn rocksdb(&self, rows: &Path, ticks: usize, dir: &Path) -> Result<Run, String> {
        let source = self.sources.join("rocks.cc");
        let program = self.target.join("peers/rocks");
        let time = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
        if time(&program).is_none() || time(&program) < time(&source) {
            let folder = self.target.join("peers");
            std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
            let mut compile = Command::new("g++");
            compile.args(["-O2", "-std=c++17"]).arg(&source).arg("-o").arg(&program);
            output(compile.arg("-lrocksdb"))
                .map_err(|why| format!("it does not compile: {why}"))?;
        }
        run(Command::new(program).arg(rows).arg(ticks.to_string()).arg(dir), ticks)
    }

    /// A Python script.
    ///
    /// # Errors
    /// Why it could not run.
    pub fn python_peer(&self, script: &str, rows: &Path, ticks: usize) -> Result<Run, String> {
        let python = self.python();
        if !python.exists() {
            return Err("there is no Python environment".into());
        }
        // No compiled files beside the sources.
        let mut command = Command::new(python);
        command.arg("-B").arg(self.sources.join(script)).arg(rows).arg(ticks.to_string());
        run(&mut command, ticks)
    }

    /// Installs every peer, as far as the machine lets us; says what failed.
    pub fn install(&self) -> Vec<String> {
        let mut failed = Vec::new();
        let mut step = |what: &str, command: &mut Command| {
            println!("installing {what}");
            if let Err(why) = output(command) {
                failed.push(format!("{what}: {why}"));
            }
        };
        let apt = |args: &[&str]| {
            let mut command = Command::new("apt-get");
            command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
            command
        };
        step("package lists", &mut apt(&["update", "-qq"]));
        let packages = [&["install", "-y", "-qq", "--no-install-recommends"][..], &PACKAGES];
        step(&format!("Debian's {}", PACKAGES.join(", ")), &mut apt(&packages.concat()));
        if !self.python().exists() {
            let venv = self.target.join("bench-venv");
            // The wheels are for 3.11, which Debian 12 has as python3.
            step("a Python environment", Command::new("python3").args(["-m", "venv"]).arg(venv));
        }
        let mut pip = Command::new(self.python());
        pip.args(["-m", "pip", "install", "--quiet", "--only-binary", ":all:", "-r"]);
        pip.arg(self.sources.join("requirements.txt"));
        step("NautilusTrader and hftbacktest", &mut pip);
        println!("building the clients");
        failed.extend(self.peers().err());
        failed
    }
}

/// Runs a peer and reads what it prints.
fn run(command: &mut Command, ticks: usize) -> Result<Run, String> {
    let mut run = Run { ticks, ..Run::default() };
    for line in output(command)?.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let number = value.parse::<f64>().ok();
        match key {
            "append" => run.append = number,
            "replay" => run.replay = number,
            "bytes" => run.bytes = number,
            "digest" => run.digest = value.parse().ok(),
            "ticks" => run.ticks = value.parse().unwrap_or(ticks),
            _ => {}
        }
    }
    Ok(run)
}

/// What a program prints, or the last line that it complained with.
fn output(command: &mut Command) -> Result<String, String> {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_owned();
    let name = name.to_string_lossy();
    let done =
        command.stdin(Stdio::null()).output().map_err(|e| format!("cannot start {name}: {e}"))?;
    if done.status.success() {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let mut errors = said.lines().filter(|l| l.contains("rror"));
    let last = said.lines().rfind(|l| !l.trim().is_empty());
    let why = errors.next_back().or(last).unwrap_or_default().trim();
    Err(format!("{name} ended with {}: {why}", done.status))
}
