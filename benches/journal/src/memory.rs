//! Peak memory of appending and of replaying a long journal, each in a process
//! of its own, so that nothing but the journal and the fold is counted.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use orrery_journal::units::Seq;

use crate::fold::Fold;
use crate::ours;
use crate::workload::Workload;

/// The argument that makes this program such a process.
pub const CHILD: &str = "--child";

/// What such a process tells.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// Ticks a second; of an append the making of the ticks included.
    pub rate: f64,
    /// Peak resident memory, MB of 2^20 bytes.
    pub peak_mb: f64,
}

/// Runs this program again to append or replay `ticks` in `dir`.
///
/// # Errors
/// What the process complained about.
pub fn child(what: &str, dir: &Path, ticks: usize) -> Result<Told, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let done = Command::new(program)
        .args([CHILD, what])
        .arg(dir)
        .arg(ticks.to_string())
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&done.stdout);
    let mut numbers = said.split_whitespace().filter_map(|n| n.parse::<f64>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(rate), Some(peak_mb)) if done.status.success() => Ok(Told { rate, peak_mb }),
        _ => Err(format!("{what}: {}", String::from_utf8_lossy(&done.stderr).trim())),
    }
}

/// The process itself: `--child append|replay DIR TICKS`.
pub fn be_child(args: &[String]) {
    let [_, what, dir, ticks] = args else { return };
    let (dir, ticks) = (Path::new(dir), ticks.parse::<usize>().unwrap());
    let start;
    if what == "append" {
        let (ours, writer) = ours::prepare(dir);
        start = Instant::now();
        ours.append(&writer, Workload::default().take(ticks));
        writer.close().unwrap();
    } else {
        let journal = ours::reopen(dir);
        let mut fold = Fold::default();
        start = Instant::now();
        // What declares the contracts lies before the ticks.
        let first = Seq(journal.head().seq.0 - ticks as u64 + 1);
        assert_eq!(ours::replay(&journal, first, &mut fold), ticks as u64);
        std::hint::black_box(fold.digest());
    }
    println!("{} {}", ticks as f64 / start.elapsed().as_secs_f64(), peak_mb());
}

/// The highest this process has been.
fn peak_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap_or_default();
    let kib = line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}
