//! The disk-space guard: input stops before the disk is full.
//!
//! A write that meets a full disk leaves the engine in an unknown state, and
//! the journal has to be opened again. So the committer looks at the free space
//! before each commit and refuses, with a typed error and before anything is
//! staged, what would reach into the reserve. Nothing else stops: reads,
//! exports and answers go on. When there is room again the next append is
//! taken; nobody has to do anything.

use std::io;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::AppendError;

/// Kept free unless the disk is small: what the engine may need to write out
/// what it holds in memory, twice.
pub const RESERVE_BYTES: u64 = 512 << 20;
/// Of a small disk this part is kept free.
const RESERVE_PART: u64 = 10;
/// Input resumes when this part of the reserve is free beyond it, so that it
/// does not stop and resume with every commit.
const RESUME_PART: u64 = 8;

/// Space of a file system, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// What this process may still use.
    pub free: u64,
    /// The whole.
    pub total: u64,
}

/// Looks how much room there is.
pub type Probe = Box<dyn Fn() -> io::Result<Room> + Send + Sync>;

/// What the guard says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GuardState {
    /// Room at this moment; `None` without a disk, or when it cannot be told.
    pub room: Option<Room>,
    /// Bytes that are kept free.
    pub reserve: u64,
    /// Whether the last append was refused.
    pub closed: bool,
    /// How often input was stopped since the opening.
    pub closures: u64,
    /// Drafts refused since the opening.
    pub refused: u64,
}

#[derive(Default)]
struct Held {
    probe: Option<Probe>,
    /// As asked for; `None` takes the default for the disk.
    reserve: Option<u64>,
    closed: bool,
    closures: u64,
    refused: u64,
    blind: bool,
}

/// Decides whether a commit may go to the disk.
#[derive(Default)]
pub(crate) struct Guard {
    held: Mutex<Held>,
}

/// The room of the file system that holds a folder.
///
/// # Errors
/// As statvfs.
pub fn room(folder: &Path) -> io::Result<Room> {
    let said = rustix::fs::statvfs(folder)?;
    let bytes = |blocks: u64| blocks.saturating_mul(said.f_frsize);
    Ok(Room { free: bytes(said.f_bavail), total: bytes(said.f_blocks) })
}

/// The reserve on a disk of this size when none is asked for.
#[must_use]
pub const fn default_reserve(total: u64) -> u64 {
    let part = total / RESERVE_PART;
    if part < RESERVE_BYTES { part } else { RESERVE_BYTES }
}

impl Guard {
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches the disk that holds a folder.
    pub(crate) fn watch(&self, folder: &Path) {
        let folder = folder.to_owned();
        self.probe_with(Box::new(move || room(&folder)));
    }

    pub(crate) fn probe_with(&self, probe: Probe) {
        self.lock().probe = Some(probe);
    }

    pub(crate) fn reserve(&self, bytes: Option<u64>) {
        self.lock().reserve = bytes;
    }

    /// Whether `drafts` may be written now; `bytes` is about what they and
    /// everything that the engine has yet to write out will take.
    pub(crate) fn admit(&self, drafts: usize, bytes: u64) -> Result<(), AppendError> {
        let held = &mut *self.lock();
        let Some(room) = look(held) else { return Ok(()) };
        let reserve = held.reserve.unwrap_or(default_reserve(room.total));
        let beyond = if held.closed { reserve / RESUME_PART } else { 0 };
        let needed = reserve.saturating_add(beyond).saturating_add(bytes);
        if room.free >= needed {
            if std::mem::take(&mut held.closed) {
                tracing::warn!(free = room.free, "there is room again: input resumes");
            }
            return Ok(());
        }
        if !std::mem::replace(&mut held.closed, true) {
            held.closures += 1;
            tracing::error!(free = room.free, reserve, "the disk is nearly full: input stops");
        }
        held.refused += drafts as u64;
        Err(AppendError::DiskFull { free: room.free, reserve })
    }

    pub(crate) fn state(&self) -> GuardState {
        let held = &mut *self.lock();
        let room = look(held);
        let reserve = held.reserve.or(room.map(|r| default_reserve(r.total))).unwrap_or_default();
        let Held { closed, closures, refused, .. } = *held;
        GuardState { room, reserve, closed, closures, refused }
    }
}

/// What the probe says. Not being able to tell is no full disk.
fn look(held: &mut Held) -> Option<Room> {
    match held.probe.as_ref()?() {
        Ok(room) => {
            held.blind = false;
            Some(room)
        }
        Err(e) => {
            if !std::mem::replace(&mut held.blind, true) {
                tracing::warn!(error = %e, "the free disk space cannot be read; input goes on");
            }
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn guarded(total: u64) -> (Guard, Arc<AtomicU64>) {
        let free = Arc::new(AtomicU64::new(0));
        let seen = Arc::clone(&free);
        let guard = Guard::default();
        guard.probe_with(Box::new(move || Ok(Room { free: seen.load(Ordering::Relaxed), total })));
        (guard, free)
    }

    #[test]
    fn input_stops_at_the_reserve_and_resumes_a_little_beyond_it() {
        let (guard, free) = guarded(1 << 40);
        guard.reserve(Some(8_000));
        let taken = |n: u64| {
            free.store(n, Ordering::Relaxed);
            guard.admit(1, 100).is_ok()
        };
        // 8,000 and the commit itself; after stopping an eighth more.
        let expected =
            [(8_100, true), (8_099, false), (9_099, false), (9_100, true), (8_100, true)];
        for (n, taken_then) in expected {
            assert_eq!(taken(n), taken_then, "{n} bytes free");
        }
        let state = guard.state();
        assert_eq!((state.closed, state.closures, state.refused), (false, 1, 2));
    }

    #[test]
    fn small_disks_keep_a_part_and_no_disk_keeps_nothing() {
        assert_eq!(default_reserve(1 << 40), RESERVE_BYTES);
        assert_eq!(default_reserve(100 << 20), 10 << 20);
        assert_eq!(Guard::default().admit(1, u64::MAX), Ok(()));
        let guard = Guard::default();
        guard.probe_with(Box::new(|| Err(io::ErrorKind::PermissionDenied.into())));
        assert_eq!(guard.admit(1, 1), Ok(()), "not knowing is not full");
        assert_eq!(guard.state().room, None);
    }

    #[test]
    fn a_real_folder_has_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let room = room(folder.path()).expect("statvfs");
        assert!(room.total > 0 && room.free <= room.total, "{room:?}");
    }
}
