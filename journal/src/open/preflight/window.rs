//! Bytes of a file at any place, through one buffer of fixed size: no length
//! that stands in the file decides about memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes that are held at once; also the most that can be asked for.
pub(super) const CHUNK: usize = 1 << 20;

/// Something with bytes at places.
pub(super) trait Source {
    /// As `pread`.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
}

impl Source for File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, at)
    }
}

/// A view that moves over a source.
pub(super) struct Window<S> {
    source: S,
    len: u64,
    base: u64,
    held: Vec<u8>,
    /// Bytes that were read so far.
    pub(super) read: u64,
}

impl<S: Source> Window<S> {
    pub(super) fn new(source: S, len: u64) -> Window<S> {
        Window { source, len, base: 0, held: Vec::new(), read: 0 }
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// `want` bytes at a place; `None` where the source ends before.
    pub(super) fn get(&mut self, at: u64, want: usize) -> io::Result<Option<&[u8]>> {
        let Some(left) = self.len.checked_sub(at) else { return Ok(None) };
        if (want as u64) > left || want > CHUNK {
            return Ok(None);
        }
        if self.held(at).len() < want {
            self.fill(at, left.min(CHUNK as u64) as usize)?;
        }
        Ok(self.held(at).get(..want))
    }

    /// Whatever is at hand from a place on; empty at the end only.
    pub(super) fn peek(&mut self, at: u64) -> io::Result<&[u8]> {
        if self.held(at).is_empty() {
            let left = self.len.saturating_sub(at);
            self.fill(at, left.min(CHUNK as u64) as usize)?;
        }
        Ok(self.held(at))
    }

    fn held(&self, at: u64) -> &[u8] {
        let skip = at.checked_sub(self.base).and_then(|n| usize::try_from(n).ok());
        skip.and_then(|n| self.held.get(n..)).unwrap_or_default()
    }

    fn fill(&mut self, at: u64, len: usize) -> io::Result<()> {
        self.base = at;
        self.held.resize(len, 0);
        let mut done = 0;
        while let Some(rest) = self.held.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.source.read_at(rest, at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.held.truncate(done);
        self.read += done as u64;
        Ok(())
    }
}
