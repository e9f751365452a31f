//! Where no feed runs, nothing lets time pass: after clients have journaled
//! something, some clock beats follow, so that whatever is due comes out.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use orrery_journal::AppendError;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef};
use orrery_journal::units::SourceId;

use crate::backend::Archive;

/// Time between two beats: the fastest cadence of a model.
const EVERY: Duration = Duration::from_millis(250);
/// Beats after the last fact: longer than the slowest cadence of a model.
const BEATS: u32 = 12;

/// The thread; it ends when this is dropped.
pub struct Beats {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Beats {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic has been reported by the thread itself.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Starts the thread.
///
/// # Errors
/// When there is no thread to be had.
pub fn start(archive: &Arc<Archive>) -> std::io::Result<Beats> {
    let (stop, stopped) = channel();
    let archive = Arc::clone(archive);
    let thread = std::thread::Builder::new().name("beats".to_owned()).spawn(move || {
        let mut left = 0u32;
        while stopped.recv_timeout(EVERY) == Err(RecvTimeoutError::Timeout) {
            if archive.pulse().take_news() {
                left = BEATS;
            }
            let Some(fewer) = left.checked_sub(1) else { continue };
            left = fewer;
            // Whoever journals hears of it; here it is only time that stands.
            if let Err(error) = beat(&archive) {
                tracing::warn!(error = &error as &dyn std::error::Error, "no clock beat");
                left = 0;
            }
        }
    })?;
    Ok(Beats { stop: Some(stop), thread: Some(thread) })
}

fn beat(archive: &Archive) -> Result<(), AppendError> {
    let draft = Draft {
        recv: None,
        vendor_time: None,
        instrument: InstrumentRef::None,
        source: SourceId::JOURNAL,
        extension: None,
        body: DraftBody::ClockBeat,
    };
    archive.writer()?.append(vec![draft])?.wait().map(drop)
}
