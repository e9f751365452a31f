//! Images of file systems: made, mounted, copied as they are at one moment.

use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

const SIZE: &str = "512M";
/// Copies of an image that keeps changing, before that is an error.
const COPIES_MAX: u32 = 50;
/// Bytes that are looked at together.
const CHUNK: usize = 1 << 20;

/// Runs a program to its end.
pub(super) fn run_program(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("starting {program}"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", arguments.join(" "), why.trim());
    }
    Ok(())
}

/// A mounted image.
pub(super) struct Mounted {
    image: PathBuf,
    at: PathBuf,
}

impl Mounted {
    /// Mounts an image, which replays the file system's own journal.
    pub(super) fn mount(image: PathBuf, at: PathBuf) -> Result<Mounted> {
        std::fs::create_dir_all(&at)?;
        let (from, to) = (image.display().to_string(), at.display().to_string());
        run_program("mount", &["-o", "loop", &from, &to])?;
        Ok(Mounted { image, at })
    }

    /// A new file system.
    pub(super) fn create(base: &Path, number: u64) -> Result<Mounted> {
        let image = base.join(format!("{number}.img"));
        let path = image.display().to_string();
        run_program("truncate", &["-s", SIZE, &path])?;
        run_program("mkfs.ext4", &["-q", "-F", &path])?;
        Mounted::mount(image, base.join(format!("{number}")))
    }

    /// Where it is mounted.
    pub(super) fn at(&self) -> &Path {
        &self.at
    }

    /// The disk as it is at one moment, in a file of its own.
    ///
    /// Even with the child stopped the kernel goes on writing: its journal is
    /// committed and checkpointed by timers. A copy that took blocks of before
    /// and after is a state that no disk was ever in. When a second look finds
    /// every block as it was copied, all of them were so at the moment between
    /// the two.
    pub(super) fn copy(&self, base: &Path, number: u64) -> Result<PathBuf> {
        let image = base.join(format!("{number}.img"));
        for _ in 0..COPIES_MAX {
            let parts = copy(&self.image, &image)?;
            if is_copy(&self.image, &image, &parts)? {
                return Ok(image);
            }
        }
        bail!("{} changed during each of {COPIES_MAX} copies", self.image.display())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let at = self.at.display().to_string();
        for _ in 0..50 {
            if run_program("umount", &[&at]).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        // What cannot be removed stays in a temporary folder.
        let _ = std::fs::remove_dir(&self.at);
        let _ = std::fs::remove_file(&self.image);
    }
}

/// Copies what is written of an image; the parts that are.
fn copy(from: &Path, to: &Path) -> Result<Vec<Range<u64>>> {
    let (from, to) = (File::open(from)?, File::create(to)?);
    to.set_len(from.metadata()?.len())?;
    let parts = written(&from)?;
    let mut buffer = vec![0; CHUNK];
    for (at, len) in chunks(&parts) {
        let chunk = buffer.get_mut(..len).context("a chunk fits")?;
        from.read_exact_at(chunk, at)?;
        to.write_all_at(chunk, at)?;
    }
    Ok(parts)
}

/// Whether an image is still what was copied of it.
fn is_copy(image: &Path, copy: &Path, parts: &[Range<u64>]) -> Result<bool> {
    let (image, copy) = (File::open(image)?, File::open(copy)?);
    if written(&image)? != parts {
        return Ok(false);
    }
    let (mut now, mut then) = (vec![0; CHUNK], vec![0; CHUNK]);
    for (at, len) in chunks(parts) {
        image.read_exact_at(now.get_mut(..len).context("a chunk fits")?, at)?;
        copy.read_exact_at(then.get_mut(..len).context("a chunk fits")?, at)?;
        if now.get(..len) != then.get(..len) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn chunks(parts: &[Range<u64>]) -> impl Iterator<Item = (u64, usize)> + '_ {
    parts.iter().flat_map(|part| {
        let starts = part.clone().step_by(CHUNK);
        starts.map(|at| (at, (part.end - at).min(CHUNK as u64) as usize))
    })
}

/// The parts of a file that are not holes.
fn written(file: &File) -> Result<Vec<Range<u64>>> {
    let (mut parts, mut at) = (Vec::new(), 0);
    loop {
        let begin = match seek(file, SeekFrom::Data(at)) {
            Ok(begin) => begin,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => return Ok(parts),
            Err(e) => return Err(e).context("looking for the written parts of an image"),
        };
        at = seek(file, SeekFrom::Hole(begin)).context("looking for a hole of an image")?;
        parts.push(begin..at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_from_an_image_that_has_changed() {
        let folder = tempfile::tempdir().expect("a folder");
        let (image, copied) = (folder.path().join("a"), folder.path().join("b"));
        let file = File::create(&image).expect("a file");
        file.set_len(64 << 20).expect("sparse");
        for at in [0, 3 << 20, 40 << 20] {
            file.write_all_at(&[7; 9_000], at).expect("writes");
        }
        let parts = copy(&image, &copied).expect("copies");
        assert!(std::fs::read(&image).expect("reads") == std::fs::read(&copied).expect("reads"));
        assert!(is_copy(&image, &copied, &parts).expect("compares"));
        file.write_all_at(&[8], 3 << 20).expect("writes");
        assert!(!is_copy(&image, &copied, &parts).expect("compares"), "a block has changed");
        file.write_all_at(&[7], 3 << 20).expect("writes");
        assert!(is_copy(&image, &copied, &parts).expect("compares"));
        file.write_all_at(&[7], 50 << 20).expect("writes");
        assert!(!is_copy(&image, &copied, &parts).expect("compares"), "a block is new");
    }
}
