//! The seam between the journal and its own files: `HEAD`, `DIRTY`, what is
//! kept in quarantine. (The database has a seam of its own, [`crate::store`].)
//!
//! [`Disk`] is the real one. [`faulty::FaultyFiles`] lives in memory, fails on
//! demand and can show what a power cut leaves; it is why the calls are those
//! of the system, one by one, and not `std::fs::write`.

pub mod faulty;

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// How a file is opened; always for reading and writing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum How {
    /// It must exist.
    Existing,
    /// It must exist and is only read.
    Read,
    /// It is created if it does not exist, and kept as it is if it does.
    Create,
    /// It is created, or emptied.
    Empty,
    /// It must not exist.
    New,
}

/// An open file.
pub trait OpenFile: Send + Sync {
    /// Reads at a position; 0 at the end.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes at a position, perhaps only a part.
    ///
    /// # Errors
    /// As the system says; what was written is unknown.
    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize>;

    /// Cuts or extends the file.
    ///
    /// # Errors
    /// As the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Bytes in the file.
    ///
    /// # Errors
    /// As the system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether there are none.
    ///
    /// # Errors
    /// As the system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Puts the content on disk; the name is its folder's business.
    ///
    /// # Errors
    /// As the system says. After an error nothing that was not synced before
    /// can be trusted, and syncing again proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// Writes everything, however many parts it takes.
    ///
    /// # Errors
    /// As the system says.
    fn write_all_at(&self, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    bytes = bytes.get(n..).unwrap_or_default();
                    at += n as u64;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Fills the buffer from a position on; says how much there was.
    ///
    /// # Errors
    /// As the system says.
    fn read_full_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.read_at(rest, at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }
}

/// Files and folders by path.
pub trait Files: Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// As the system says.
    fn open(&self, path: &Path, how: How) -> io::Result<Box<dyn OpenFile>>;

    /// Whether something has this name.
    ///
    /// # Errors
    /// When it cannot be told.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// What is in a folder, in order.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>>;

    /// Creates a folder and whatever is missing above it, names on disk.
    ///
    /// # Errors
    /// As the system says.
    fn create_folder(&self, folder: &Path) -> io::Result<()>;

    /// Gives a file another name, replacing what has it.
    ///
    /// # Errors
    /// As the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Puts the names of a folder on disk.
    ///
    /// # Errors
    /// As the system says.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// The content of a small file, one byte more than `max` at most.
    ///
    /// # Errors
    /// As the system says.
    fn read(&self, path: &Path, max: usize) -> io::Result<Vec<u8>> {
        let mut content = vec![0; max + 1];
        let len = self.open(path, How::Read)?.read_full_at(&mut content, 0)?;
        content.truncate(len);
        Ok(content)
    }
}

/// The file system.
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl OpenFile for fs::File {
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, at)
    }

    fn write_at(&self, bytes: &[u8], at: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, at)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        fs::File::set_len(self, len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Files for Disk {
    fn open(&self, path: &Path, how: How) -> io::Result<Box<dyn OpenFile>> {
        let mut options = fs::File::options();
        options.read(true);
        match how {
            How::Read => &mut options,
            How::Existing => options.write(true),
            How::Create => options.write(true).create(true).truncate(false),
            How::Empty => options.write(true).create(true).truncate(true),
            How::New => options.write(true).create_new(true),
        };
        Ok(Box::new(options.open(path)?))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        path.try_exists()
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<PathBuf>> {
        let paths = fs::read_dir(folder)?.map(|entry| Ok(entry?.path()));
        let mut paths = paths.collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        Ok(paths)
    }

    fn create_folder(&self, folder: &Path) -> io::Result<()> {
        crate::store::create_folder(folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        crate::store::sync_folder(folder)
    }
}
