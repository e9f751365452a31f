//! `cargo xtask same`: what the folds compute in a debug and in a release build,
//! both with overflow checks, compared line by line.

use std::process::{Command, Stdio};

use crate::cargo_path;

/// Builds to compare, and the cargo command that makes them. Overflow is checked
/// in both.
const BUILDS: [(&str, &str); 2] = [("debug", "test"), ("release", "bench")];

/// Builds and runs the folds both ways.
///
/// # Errors
/// When a build fails, or two of them compute something else.
pub fn run() -> Result<(), String> {
    eprintln!("\n== the folds in debug and in release");
    let mut first: Option<Vec<String>> = None;
    for (profile, command) in BUILDS {
        let lines = lines(command)?;
        let Some(reference) = &first else {
            first = Some(lines);
            continue;
        };
        differ(reference, &lines)
            .map_or(Ok(()), |what| Err(format!("{} and {profile} differ: {what}", BUILDS[0].0)))?;
    }
    let count = first.map_or(0, |lines| lines.len());
    eprintln!("{count} digests are equal in {}", BUILDS.map(|(name, _)| name).join(" and "));
    Ok(())
}

fn lines(command: &str) -> Result<Vec<String>, String> {
    let out = Command::new(cargo_path())
        .args([command, "--quiet", "--locked", "--bench", "folds"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("cargo: {e}"))?;
    if !out.status.success() {
        return Err(format!("cargo {command} --bench folds failed ({})", out.status));
    }
    Ok(String::from_utf8_lossy(&out.stdout).lines().map(str::to_owned).collect())
}

/// The first difference, if any; no digests at all are one, too.
fn differ(one: &[String], other: &[String]) -> Option<String> {
    if one.len() < 100 {
        return Some(format!("only {} digests", one.len()));
    }
    if one.len() != other.len() {
        return Some(format!("{} digests and {}", one.len(), other.len()));
    }
    let (a, b) = one.iter().zip(other).find(|(a, b)| a != b)?;
    Some(format!("{a} and {b}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_that_differs_or_is_missing_is_found() {
        let lines: Vec<String> = (0..200).map(|n| format!("{n} SPX gex v1 ab")).collect();
        assert_eq!(differ(&lines, &lines), None);
        let mut other = lines.clone();
        other[7].push('c');
        assert!(differ(&lines, &other).is_some_and(|what| what.starts_with("7 SPX")));
        assert!(differ(&lines, &lines[1..]).is_some());
        assert!(differ(&[], &[]).is_some());
    }
}
