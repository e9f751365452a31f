//! The readers of logs and manifests on bytes in memory, for fuzzing and tests.

use std::io;

use super::log::{self, End, Progress};
use super::window::{Source, Window};
use super::{table, tree};
use crate::units::Seq;

impl Source for &[u8] {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let n = from.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(from) {
            *to = *from;
        }
        Ok(n)
    }
}

/// How a log ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// With its last batch.
    Clean,
    /// With a write that was cut short: where it begins.
    Torn(u64),
    /// With damage: where.
    Corrupt(u64),
}

/// How a log ends and the last event in it.
pub(crate) fn log(bytes: &[u8]) -> (Ending, Option<Seq>) {
    let mut progress = Progress::default();
    let end = log::scan(&mut Window::new(bytes, bytes.len() as u64), &mut progress);
    let ending = match end {
        Ok(End::Clean) => Ending::Clean,
        Ok(End::Torn { offset, bytes: cut, .. }) => {
            assert!(cut > 0 && offset + cut <= bytes.len() as u64);
            Ending::Torn(offset)
        }
        Ok(End::Corrupt { offset, .. }) => {
            assert!(offset < bytes.len() as u64);
            Ending::Corrupt(offset)
        }
        Err(e) => panic!("memory cannot fail: {e}"),
    };
    (ending, progress.event)
}

/// Files that a manifest names.
pub(crate) fn manifest(bytes: &[u8]) -> Option<usize> {
    tree::files(bytes).map(|files| files.len())
}

/// Where a table that does not match its hash is damaged, and what of it is the
/// newest.
pub(crate) fn table(bytes: &[u8]) {
    let window = || Window::new(bytes, bytes.len() as u64);
    match table::locate(&mut window()) {
        Ok(place) => assert!(place.offset <= bytes.len() as u64),
        Err(e) => panic!("memory cannot fail: {e}"),
    }
    assert!(table::newest(&mut window()).is_ok(), "memory cannot fail");
}
