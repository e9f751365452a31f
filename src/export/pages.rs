//! The canonical bytes of sealed pages, each named by its first event, with a
//! list of addresses that `b3sum --check` takes.

use std::io::Write;
use std::path::Path;

use orrery_journal::Journal;
use orrery_journal::units::Seq;

use super::{ExportError, Exported, Folder, Progress};

/// Addresses and names of page files.
pub const SUMS: &str = "B3SUMS";

/// Writes the sealed pages that have an event in `from..=to` into `to_folder`,
/// and [`SUMS`] beside them.
///
/// # Errors
/// When the folder is not empty, a file cannot be written, or a page is damaged.
pub fn pages(
    journal: &Journal,
    (from, to): (Seq, Seq),
    to_folder: &Path,
    progress: Progress<'_>,
) -> Result<Exported, ExportError> {
    let folder = Folder(to_folder);
    folder.begin()?;
    let mut sums = folder.create(SUMS)?;
    let mut exported = Exported::default();
    for page in journal.sealed_pages(from, to) {
        let page = page?;
        let name = format!("{:012}.page", page.first.0);
        folder.put(&name, &page.bytes)?;
        writeln!(sums, "{}  {name}", page.address).map_err(folder.failed(SUMS))?;
        exported.written += 1;
        exported.bytes += page.bytes.len() as u64;
        if progress(page.last).is_break() {
            return Err(ExportError::Stopped(page.last));
        }
    }
    sums.flush().map_err(folder.failed(SUMS))?;
    folder.end()?;
    Ok(exported)
}
