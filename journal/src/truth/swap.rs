//! Putting a new database in place of a damaged one, by names.
//!
//! ```text
//! repair/db, repair/HEAD     the new one while it is built
//! repair/READY               it is whole and on disk: the name of the folder in
//!                            quarantine that takes the old one
//! ```
//!
//! Before `READY` an interrupted repair is thrown away; from then on it is
//! finished, by the next repair or the next opening, whichever comes first.
//! Each step is one rename and can be seen to be done.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::store::{create_folder, sync_folder};

fn work(folder: &Path) -> PathBuf {
    folder.join("repair")
}

fn ready(folder: &Path) -> PathBuf {
    work(folder).join("READY")
}

/// An empty folder to build in.
pub(crate) fn fresh(folder: &Path) -> io::Result<PathBuf> {
    let work = work(folder);
    create_folder(&work)?;
    Ok(work)
}

/// Whether a new database is whole and not yet in place.
pub(crate) fn is_pending(folder: &Path) -> io::Result<bool> {
    ready(folder).try_exists()
}

/// Throws away what an interrupted repair has begun to build.
pub(crate) fn roll_back(folder: &Path) -> io::Result<()> {
    let work = work(folder);
    if work.try_exists()? && !is_pending(folder)? {
        fs::remove_dir_all(&work)?;
        sync_folder(folder)?;
    }
    Ok(())
}

/// Declares what was built to be ready and puts it in place; says where the old
/// one is kept. `step` is told of every step before it is done and may fail.
pub(crate) fn put_in_place(
    folder: &Path,
    step: &mut dyn FnMut(&str) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let quarantine = folder.join("quarantine");
    create_folder(&quarantine)?;
    let mut count = 1u32;
    while quarantine.join(format!("damaged-{count}")).try_exists()? {
        count += 1;
    }
    let name = format!("damaged-{count}");
    sync_tree(&work(folder))?;
    step("ready")?;
    // Under another name first: a name without its text would say nothing.
    let anew = work(folder).join("READY.new");
    let file = fs::File::create(&anew)?;
    io::Write::write_all(&mut &file, name.as_bytes())?;
    file.sync_all()?;
    fs::rename(&anew, ready(folder))?;
    sync_folder(&work(folder))?;
    sync_folder(folder)?;
    finish(folder, step)?;
    Ok(quarantine.join(name))
}

/// Finishes a repair whose new database is whole, if there is one.
pub(crate) fn resume(folder: &Path) -> io::Result<()> {
    match is_pending(folder)? {
        true => finish(folder, &mut |_| Ok(())),
        false => Ok(()),
    }
}

fn finish(folder: &Path, step: &mut dyn FnMut(&str) -> io::Result<()>) -> io::Result<()> {
    let name = fs::read_to_string(ready(folder))?;
    let kept = folder.join("quarantine").join(name.trim());
    create_folder(&kept)?;
    for what in ["db", "HEAD"] {
        let (new, here, old) = (work(folder).join(what), folder.join(what), kept.join(what));
        if !new.try_exists()? {
            continue;
        }
        if here.try_exists()? && !old.try_exists()? {
            step("aside")?;
            fs::rename(&here, &old)?;
            sync_folder(&kept)?;
        }
        step("in place")?;
        fs::rename(&new, &here)?;
        sync_folder(folder)?;
    }
    let dirty = folder.join("DIRTY");
    if dirty.try_exists()? {
        step("dirty")?;
        fs::rename(&dirty, kept.join("DIRTY"))?;
    }
    sync_folder(&kept)?;
    sync_folder(folder)?;
    step("done")?;
    fs::remove_file(ready(folder))?;
    fs::remove_dir_all(work(folder))?;
    sync_folder(folder)
}

/// Puts all files below a folder, and their names, on disk.
fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => sync_tree(&path)?,
            false => fs::File::open(&path)?.sync_all()?,
        }
    }
    sync_folder(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Stopped before each of its steps, a repair is undone or finished by the
    /// next opening, and the old database is kept.
    #[test]
    fn an_interrupted_swap_is_undone_or_finished() {
        for stop in 0..8 {
            let dir = tempfile::tempdir().expect("a folder");
            let folder = dir.path();
            for (name, text) in [("db/1", "old"), ("HEAD", "old head"), ("DIRTY", "why")] {
                let path = folder.join(name);
                fs::create_dir_all(path.parent().expect("a folder")).expect("creates");
                fs::write(path, text).expect("writes");
            }
            let work = fresh(folder).expect("creates");
            fs::create_dir_all(work.join("db")).expect("creates");
            fs::write(work.join("db/1"), "new").expect("writes");
            fs::write(work.join("HEAD"), "new head").expect("writes");
            let mut steps = 0;
            let put = put_in_place(folder, &mut |_| {
                steps += 1;
                if steps > stop { Err(io::ErrorKind::Interrupted.into()) } else { Ok(()) }
            });
            assert_eq!(put.is_ok(), stop >= 7, "{stop}: {put:?}");
            let undone = !is_pending(folder).expect("looks") && put.is_err();
            assert_eq!(undone, stop == 0);
            resume(folder).expect("finishes");
            roll_back(folder).expect("undoes");
            let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
            let (db, head) = (read("db/1"), read("HEAD"));
            assert!(!work.exists());
            if undone {
                assert_eq!((db.as_str(), head.as_str()), ("old", "old head"));
                assert_eq!(read("DIRTY"), "why");
                continue;
            }
            assert_eq!((db.as_str(), head.as_str()), ("new", "new head"), "{stop}");
            assert_eq!(read("quarantine/damaged-1/db/1"), "old");
            assert_eq!(read("quarantine/damaged-1/HEAD"), "old head");
            assert_eq!(read("quarantine/damaged-1/DIRTY"), "why");
            assert!(!folder.join("DIRTY").exists());
        }
    }
}
