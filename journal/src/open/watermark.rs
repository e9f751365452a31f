//! The acknowledged watermark: a witness beside the database.
//!
//! A crash leaves a clean prefix of the journal; so does damage that cut
//! acknowledged events away. `HEAD` tells them apart: it names the last event
//! that was acknowledged and a hash over everything up to it. Two slots of
//! 4 KiB are written in turn, so that a write that is torn by a power cut
//! leaves the other slot good. It is written while the next commit runs and
//! may lag one commit.
//!
//! ```text
//!  0  magic         `ORRYHEAD`
//!  8  version u32, 12 zero u32
//! 16  writer epoch  u64   rises whenever a writer starts
//! 24  count         u64   rises with every write; the higher slot counts
//! 32  seq           u64
//! 40  zeros
//! 64  running hash  32 bytes
//! 96  blake3 of bytes 0..96, 32 bytes
//! 128 zeros up to 4096
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use crate::failpoint::hit;
use crate::files::{Files, How, OpenFile};
use crate::format::canon::{u32_at, u64_at};
use crate::units::{Address, Seq};

const MAGIC: &[u8; 8] = b"ORRYHEAD";
pub(crate) const VERSION: u32 = 1;
pub(crate) const SLOT: usize = 4096;
const BODY: usize = 96;

/// What was acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mark {
    pub epoch: u64,
    pub count: u64,
    pub seq: Seq,
    pub running: Address,
}

impl Mark {
    /// That of an empty journal.
    pub(crate) fn empty(running: Address) -> Mark {
        Mark { epoch: 0, count: 0, seq: Seq::BEFORE_FIRST, running }
    }

    fn encode(&self) -> [u8; SLOT] {
        let mut out = [0; SLOT];
        out[0..8].copy_from_slice(MAGIC);
        out[8..12].copy_from_slice(&VERSION.to_le_bytes());
        out[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        out[24..32].copy_from_slice(&self.count.to_le_bytes());
        out[32..40].copy_from_slice(&self.seq.0.to_le_bytes());
        out[64..96].copy_from_slice(&self.running.0);
        let hash = *blake3::hash(&out[..BODY]).as_bytes();
        out[BODY..BODY + 32].copy_from_slice(&hash);
        out
    }

    /// What a slot says, if it is whole.
    pub(crate) fn decode(slot: &[u8]) -> Option<Mark> {
        let (body, rest) = slot.split_at_checked(BODY)?;
        let hash = rest.get(..32)?;
        if blake3::hash(body).as_bytes() != hash
            || body.get(..8)? != MAGIC
            || u32_at(body, 8)? != VERSION
        {
            return None;
        }
        Some(Mark {
            epoch: u64_at(body, 16)?,
            count: u64_at(body, 24)?,
            seq: Seq(u64_at(body, 32)?),
            running: Address(body.get(64..96)?.try_into().ok()?),
        })
    }
}

/// The version of a slot whose hash holds, whatever else it says.
pub(crate) fn version(slot: &[u8]) -> Option<u32> {
    let (body, rest) = slot.split_at_checked(BODY)?;
    let whole = blake3::hash(body).as_bytes() == rest.get(..32)? && body.get(..8)? == MAGIC;
    u32_at(body, 8).filter(|_| whole)
}

/// Why there is no mark.
#[derive(Debug)]
pub(crate) enum MarkError {
    Missing,
    Damaged(String),
    Io(io::Error),
}

/// Reads the newer of the good slots.
pub(crate) fn read(files: &dyn Files, path: &Path) -> Result<Mark, MarkError> {
    let bytes = match files.read(path, 2 * SLOT) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(MarkError::Missing),
        Err(e) => return Err(MarkError::Io(e)),
    };
    if bytes.len() != 2 * SLOT {
        let len = files.open(path, How::Read).and_then(|file| file.len()).map_err(MarkError::Io)?;
        let why = format!("it has {len} bytes and should have {}", 2 * SLOT);
        return Err(MarkError::Damaged(why));
    }
    bytes
        .chunks(SLOT)
        .filter_map(Mark::decode)
        .max_by_key(|mark| mark.count)
        .ok_or_else(|| MarkError::Damaged("neither of its slots is whole".into()))
}

/// Puts a file in place whose slots say the same, on disk on return.
///
/// It is written under another name first, so that a crash leaves the one
/// before, if any, or a whole one.
pub(crate) fn create(files: &dyn Files, path: &Path, mark: &Mark) -> io::Result<()> {
    let anew = path.with_extension("new");
    let file = files.open(&anew, How::Empty)?;
    for slot in 0..2 {
        file.write_all_at(&mark.encode(), slot * SLOT as u64)?;
        hit("head.creating");
    }
    file.sync()?;
    files.rename(&anew, path)?;
    path.parent().map_or(Ok(()), |folder| files.sync_folder(folder))?;
    hit("head.created");
    Ok(())
}

/// Writes a mark over the older slot; on disk on return.
fn put(file: &dyn OpenFile, mark: &Mark) -> io::Result<()> {
    let (at, slot) = ((mark.count % 2) * SLOT as u64, mark.encode());
    hit("head.begin");
    // A build that can stop here stops amid the slot.
    let torn = if cfg!(feature = "failpoints") { BODY - 32 } else { 0 };
    let (begin, rest) = slot.split_at(torn);
    file.write_all_at(begin, at)?;
    hit("head.torn");
    file.write_all_at(rest, at + torn as u64)?;
    hit("head.written");
    file.sync()?;
    hit("head.synced");
    Ok(())
}

/// Writes marks on a thread of its own, one at a time.
pub(crate) struct Keeper {
    files: Arc<dyn Files>,
    path: PathBuf,
    mark: Mark,
    /// Whether an answer is owed.
    busy: bool,
    marks: Option<SyncSender<Mark>>,
    written: Receiver<io::Result<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Keeper {
    /// Puts the file in place anew for a new writer, with its epoch. Not
    /// written over: after a failed write nobody knows which of the old slots,
    /// and whether the file's name, are on disk.
    pub(crate) fn start(files: &Arc<dyn Files>, path: &Path, last: Mark) -> io::Result<Keeper> {
        let mark = Mark { epoch: last.epoch + 1, count: last.count + 1, ..last };
        create(files.as_ref(), path, &mark)?;
        let file = files.open(path, How::Existing)?;
        let (marks, incoming) = sync_channel::<Mark>(1);
        let (done, written) = sync_channel(1);
        let thread = std::thread::Builder::new().name("journal-head".into()).spawn(move || {
            for mark in incoming {
                if done.send(put(file.as_ref(), &mark)).is_err() {
                    return;
                }
            }
        })?;
        Ok(Keeper {
            files: files.clone(),
            path: path.to_owned(),
            mark,
            busy: false,
            marks: Some(marks),
            written,
            thread: Some(thread),
        })
    }

    /// Begins to write a mark; waits for the one before.
    pub(crate) fn begin(&mut self, seq: Seq, running: Address) -> Result<(), String> {
        self.wait()?;
        self.mark = Mark { count: self.mark.count + 1, seq, running, ..self.mark };
        let sent = self.marks.as_ref().map(|marks| marks.send(self.mark));
        self.busy = matches!(sent, Some(Ok(())));
        if self.busy { Ok(()) } else { Err("writing HEAD: its thread ended".into()) }
    }

    /// Waits until the mark that was begun is on disk.
    pub(crate) fn wait(&mut self) -> Result<(), String> {
        if !std::mem::take(&mut self.busy) {
            return Ok(());
        }
        match self.written.recv() {
            Ok(Ok(())) => Ok(()),
            Ok(Err(e)) => Err(format!("writing HEAD: {e}")),
            Err(_) => Err("writing HEAD: its thread ended".into()),
        }
    }

    /// Where it writes.
    pub(crate) fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    /// The file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The mark written last.
    pub(crate) fn mark(&self) -> Mark {
        self.mark
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.marks.take());
        if let Some(thread) = self.thread.take() {
            // It does nothing that can panic, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}
