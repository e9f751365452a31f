//! What strace wrote down, as operations on files.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail};

/// An open file of the process: open files have numbers of ours, because the
/// system gives its own again.
pub type Open = usize;

/// One operation that came to its end without an error.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub enum Step {
    /// Opened; `create` if it may be new, `empty` if it is emptied.
    Open {
        open: Open,
        path: PathBuf,
        create: bool,
        empty: bool,
    },
    Write {
        open: Open,
        at: u64,
        bytes: Vec<u8>,
    },
    SetLen {
        open: Open,
        len: u64,
    },
    /// A sync begins; what is written from now on it need not save.
    SyncBegins {
        open: Open,
        sync: usize,
    },
    SyncEnds {
        sync: usize,
    },
    Folder {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Remove {
        path: PathBuf,
    },
    /// So many facts were acknowledged.
    Acknowledged(u64),
}

/// Where an open file stands.
struct Description {
    open: Option<Open>,
    at: u64,
    append: bool,
    stdout: bool,
}

/// Reads the log of one process and its threads, in the order in which calls
/// ended.
#[derive(Default)]
pub struct Reader {
    descriptors: BTreeMap<i64, usize>,
    descriptions: Vec<Description>,
    lens: BTreeMap<PathBuf, u64>,
    opened: Vec<PathBuf>,
    syncs: usize,
    /// Calls that were begun, by thread, and the sync among them.
    begun: BTreeMap<String, (String, Option<usize>)>,
    steps: Vec<Step>,
}

impl Reader {
    /// Reads a log behind those that were read before; another process, so
    /// nothing is open.
    ///
    /// # Errors
    /// When a line is not understood.
    pub fn read(&mut self, log: &str) -> Result<Vec<Step>> {
        self.descriptors.clear();
        self.begun.clear();
        self.descriptions.push(Description { open: None, at: 0, append: false, stdout: true });
        self.descriptors.insert(1, self.descriptions.len() - 1);
        for line in log.lines() {
            self.line(line).with_context(|| line.chars().take(300).collect::<String>())?;
        }
        Ok(std::mem::take(&mut self.steps))
    }

    fn line(&mut self, line: &str) -> Result<()> {
        let Some((thread, text)) = line.trim_start().split_once(' ') else { return Ok(()) };
        let text = text.trim_start();
        if let Some(begin) = text.strip_suffix("<unfinished ...>") {
            let sync = self.begins(begin);
            if begin.starts_with("writev(") {
                self.acknowledged(begin);
            }
            self.begun.insert(thread.to_owned(), (begin.to_owned(), sync));
            return Ok(());
        }
        let (call, sync) = match text.strip_prefix("<... ") {
            Some(rest) => {
                let Some((_, end)) = rest.split_once(" resumed>") else { return Ok(()) };
                let (begin, sync) = self.begun.remove(thread).unwrap_or_default();
                (begin + end, sync)
            }
            None => {
                let sync = self.begins(text);
                (text.to_owned(), sync)
            }
        };
        let Some((name, rest)) = call.split_once('(') else { return Ok(()) };
        let Some((arguments, result)) = rest.rsplit_once(" = ") else { return Ok(()) };
        let arguments = arguments.trim_end().strip_suffix(')').unwrap_or(arguments);
        let result = result.split([' ', '<']).next().unwrap_or_default();
        let Ok(result) = result.parse::<i64>() else { return Ok(()) };
        if result < 0 {
            return Ok(());
        }
        self.call(name, arguments, result, sync)
    }

    /// A sync saves what was written before it began.
    fn begins(&mut self, call: &str) -> Option<usize> {
        let rest = call.strip_prefix("fsync(").or_else(|| call.strip_prefix("fdatasync("))?;
        let open = self.description(number(rest)?)?.open?;
        self.syncs += 1;
        self.steps.push(Step::SyncBegins { open, sync: self.syncs });
        Some(self.syncs)
    }

    fn description(&self, descriptor: i64) -> Option<&Description> {
        self.descriptions.get(*self.descriptors.get(&descriptor)?)
    }

    fn acknowledged(&mut self, arguments: &str) {
        let open = number(arguments.trim_start_matches("writev("));
        if open.and_then(|open| self.description(open)).is_some_and(|d| d.stdout) {
            for text in strings(arguments) {
                let text = String::from_utf8_lossy(&text).into_owned();
                let facts = text.lines().filter_map(|line| line.strip_prefix("A ")?.parse().ok());
                self.steps.extend(facts.map(Step::Acknowledged));
            }
        }
    }

    fn call(
        &mut self,
        name: &str,
        arguments: &str,
        result: i64,
        sync: Option<usize>,
    ) -> Result<()> {
        let path = |at: usize| -> Result<PathBuf> {
            let bytes = strings(arguments).into_iter().nth(at).context("a path")?;
            let path = PathBuf::from(String::from_utf8(bytes)?);
            anyhow::ensure!(path.is_absolute(), "a path that is not absolute");
            Ok(plain(&path))
        };
        match name {
            "openat" | "open" | "creat" => {
                let has = |flag: &str| arguments.contains(flag);
                let path = path(0)?;
                let open = self.opened.len();
                self.opened.push(path.clone());
                let empty = has("O_TRUNC") || name == "creat";
                let create = has("O_CREAT") || name == "creat";
                if empty || (create && !self.lens.contains_key(&path)) {
                    self.lens.insert(path.clone(), 0);
                }
                let append = has("O_APPEND");
                let one = Description { open: Some(open), at: 0, append, stdout: false };
                self.descriptions.push(one);
                self.descriptors.insert(result, self.descriptions.len() - 1);
                self.steps.push(Step::Open { open, path, create, empty });
            }
            "dup" | "dup2" | "dup3" => self.again(number(arguments), result),
            "fcntl" if arguments.contains("F_DUPFD") => self.again(number(arguments), result),
            "close" => {
                if let Some(descriptor) = number(arguments) {
                    self.descriptors.remove(&descriptor);
                }
            }
            "lseek" => {
                let at = number(arguments).and_then(|d| self.descriptors.get(&d).copied());
                if let Some(one) = at.and_then(|at| self.descriptions.get_mut(at)) {
                    one.at = result as u64;
                }
            }
            "write" | "pwrite64" => self.write(name, arguments, result as u64)?,
            "writev" => {
                let stdout = number(arguments)
                    .and_then(|d| self.description(d))
                    .is_none_or(|d| d.stdout || d.open.is_none());
                anyhow::ensure!(stdout, "writev to a file is not known here");
                self.acknowledged(arguments);
            }
            "ftruncate" => {
                let open = number(arguments).and_then(|d| self.description(d)).and_then(|d| d.open);
                let len = arguments.rsplit(',').next().and_then(|n| n.trim().parse().ok());
                if let (Some(open), Some(len)) = (open, len) {
                    if let Some(path) = self.opened.get(open) {
                        self.lens.insert(path.clone(), len);
                    }
                    self.steps.push(Step::SetLen { open, len });
                }
            }
            "fsync" | "fdatasync" => {
                if let Some(sync) = sync {
                    self.steps.push(Step::SyncEnds { sync });
                }
            }
            "mkdir" | "mkdirat" => self.steps.push(Step::Folder { path: path(0)? }),
            "rename" | "renameat" | "renameat2" => {
                let (from, to) = (path(0)?, path(1)?);
                let moved: Vec<_> = self
                    .lens
                    .iter()
                    .filter_map(|(path, len)| {
                        let rest = path.strip_prefix(&from).ok()?;
                        Some((path.clone(), below(&to, rest), *len))
                    })
                    .collect();
                for (old, new, len) in moved {
                    self.lens.remove(&old);
                    self.lens.insert(new, len);
                }
                for path in &mut self.opened {
                    if let Ok(rest) = path.strip_prefix(&from) {
                        *path = below(&to, rest);
                    }
                }
                self.steps.push(Step::Rename { from, to });
            }
            // A path below an open folder is given by its name only.
            "unlink" | "unlinkat" | "rmdir" => {
                let name = strings(arguments).into_iter().next().context("a path")?;
                let name = PathBuf::from(String::from_utf8(name)?);
                let folder = number(arguments).and_then(|d| self.description(d));
                let folder = folder.and_then(|d| self.opened.get(d.open?));
                let path = match folder {
                    Some(folder) if !name.is_absolute() => folder.join(name),
                    _ => plain(&name),
                };
                self.lens.remove(&path);
                self.steps.push(Step::Remove { path });
            }
            "link" | "linkat" | "fallocate" | "copy_file_range" | "sendfile" | "pwritev" => {
                bail!("{name} is not known here");
            }
            _ => {}
        }
        Ok(())
    }

    fn again(&mut self, from: Option<i64>, to: i64) {
        if let Some(description) = from.and_then(|d| self.descriptors.get(&d).copied()) {
            self.descriptors.insert(to, description);
        }
    }

    fn write(&mut self, name: &str, arguments: &str, len: u64) -> Result<()> {
        let Some(at) = number(arguments).and_then(|d| self.descriptors.get(&d).copied()) else {
            return Ok(());
        };
        let Some(one) = self.descriptions.get_mut(at) else { return Ok(()) };
        let Some(open) = one.open else { return Ok(()) };
        let path = self.opened.get(open).cloned().unwrap_or_default();
        let mut bytes = strings(arguments).into_iter().next().context("what was written")?;
        anyhow::ensure!(bytes.len() as u64 >= len, "the log is cut off: raise strace's -s");
        bytes.truncate(len as usize);
        let end = self.lens.entry(path).or_default();
        let at = if name == "pwrite64" {
            arguments.rsplit(',').next().and_then(|n| n.trim().parse().ok()).context("where")?
        } else {
            let at = if one.append { *end } else { one.at };
            one.at = at + len;
            at
        };
        *end = (*end).max(at + len);
        self.steps.push(Step::Write { open, at, bytes });
        Ok(())
    }
}

fn below(folder: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { folder.to_owned() } else { folder.join(rest) }
}

/// Without `.` in it.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|c| *c != Component::CurDir).collect()
}

/// The number at the beginning.
fn number(text: &str) -> Option<i64> {
    let text = text.trim_start();
    text.split(|c: char| !c.is_ascii_digit() && c != '-').next()?.parse().ok()
}

/// Every `"\x41\x42"` of a line.
fn strings(text: &str) -> Vec<Vec<u8>> {
    let digit = |b: u8| (b as char).to_digit(16).unwrap_or_default() as u8;
    text.split('"')
        .skip(1)
        .step_by(2)
        .map(|hex| {
            let (quads, _) = hex.as_bytes().as_chunks::<4>();
            quads.iter().map(|[_, _, high, low]| digit(*high) << 4 | digit(*low)).collect()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_threads_are_put_together() {
        let log = "\
7 openat(AT_FDCWD, \"\\x2f\\x61\", O_RDWR|O_CREAT|O_CLOEXEC, 0666) = 3
7 write(3, \"\\x01\\x02\", 2) = 2
8 fdatasync(3 <unfinished ...>
7 write(3, \"\\x03\", 1) = 1
8 <... fdatasync resumed>) = 0
7 fcntl(1, F_DUPFD_CLOEXEC, 3) = 4
7 writev(4, [{iov_base=\"\\x41\\x20\\x37\\x0a\", iov_len=4}], 1) = 4
7 fsync(3) = -1 EIO (Input/output error) (INJECTED)
7 close(3) = 0
7 write(3, \"\\x04\", 1) = 1
";
        let path = PathBuf::from("/a");
        let expected = [
            Step::Open { open: 0, path, create: true, empty: false },
            Step::Write { open: 0, at: 0, bytes: vec![1, 2] },
            Step::SyncBegins { open: 0, sync: 1 },
            Step::Write { open: 0, at: 2, bytes: vec![3] },
            Step::SyncEnds { sync: 1 },
            Step::Acknowledged(7),
            Step::SyncBegins { open: 0, sync: 2 },
        ];
        assert_eq!(Reader::default().read(log).expect("is understood"), expected);
    }
}
