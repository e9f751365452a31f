//! One process per data directory.

use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::OpenError;
use crate::units::RecvTime;

/// A process that another thread is just starting holds whatever is open for a
/// blink, before it becomes another program; and a restart may come while the
/// old process is still being taken down. Neither is another user.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// Holds `LOCK`; the system lets go of it when the process ends, however it
/// ends, so there is never a stale one.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    file: File,
}

/// Begins the line of `LOCK` that says where its holder listens.
const LISTENING: &str = "listening ";

/// Where the process that holds a data directory listens, if it said so. What a
/// process that has ended left behind is not looked at: ask only when the
/// directory is in use.
#[must_use]
pub fn listening(dir: &Path) -> Option<String> {
    let text = std::fs::read_to_string(dir.join("LOCK")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(LISTENING)).map(str::to_owned)
}

impl DirectoryLock {
    /// Takes the lock of a data directory.
    ///
    /// The file says who holds it. It is never deleted: a file that another
    /// process has open already would be locked beside a new one.
    pub(crate) fn take(dir: &Path) -> Result<DirectoryLock, OpenError> {
        let path = dir.join("LOCK");
        let io = |source| OpenError::Io { path: path.clone(), source };
        let mut file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(io)?;
        let mut tries = TRIES;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if tries > 0 => {
                    tries -= 1;
                    std::thread::sleep(PAUSE);
                }
                Err(TryLockError::WouldBlock) => {
                    let holder = holder(&mut file);
                    return Err(OpenError::Locked { path: dir.to_owned(), holder });
                }
                Err(TryLockError::Error(e)) => return Err(io(e)),
            }
        }
        let program = std::env::args_os().next().unwrap_or_default();
        let program = Path::new(&program).file_name().unwrap_or_default().to_string_lossy();
        file.set_len(0).map_err(io)?;
        writeln!(file, "pid {} ({program})", std::process::id()).map_err(io)?;
        Ok(DirectoryLock { file })
    }

    /// Says where the holder listens, for commands that find the directory in
    /// use.
    pub(crate) fn announce(&self, address: &str) -> std::io::Result<()> {
        writeln!(&self.file, "{LISTENING}{address}")
    }
}

/// Whether the text is that of a process that is no more: whoever has the lock
/// now has not come to writing its own.
fn has_ended(who: &str) -> bool {
    let processes = Path::new("/proc");
    let pid = who.strip_prefix("pid ").and_then(|rest| rest.split(' ').next());
    processes.join("self").exists() && pid.is_some_and(|pid| !processes.join(pid).exists())
}

/// Keeps writers away while a data directory is only read; nothing is written.
/// Without a `LOCK` nobody has ever opened it, and nothing is held.
pub(crate) fn share(dir: &Path) -> Result<Option<DirectoryLock>, OpenError> {
    let path = dir.join("LOCK");
    let io = |source| OpenError::Io { path: path.clone(), source };
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io(e)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(Some(DirectoryLock { file })),
        Err(TryLockError::WouldBlock) => {
            let holder = holder(&mut file);
            Err(OpenError::Locked { path: dir.to_owned(), holder })
        }
        Err(TryLockError::Error(e)) => Err(io(e)),
    }
}

/// Who holds the file, and since when, as far as it can be read.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.rewind().and_then(|()| file.read_to_string(&mut text));
    let who = match (read, text.lines().next().unwrap_or_default()) {
        (Ok(_), who) if !who.is_empty() && !has_ended(who) => who,
        _ => "another process",
    };
    let since = file
        .metadata()
        .and_then(|m| m.modified())
        .ok()
        .and_then(|t| t.duration_since(SystemTime::UNIX_EPOCH).ok())
        .map(|d| RecvTime(i64::try_from(d.as_nanos()).unwrap_or_default()));
    match since {
        Some(since) => format!("{who} since {since}"),
        None => who.to_owned(),
    }
}
