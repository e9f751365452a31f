//! Certifies the trading day that ended last, when the process starts and
//! whenever a day ends while it runs.
//!
//! A thread of its own reads what is recorded, once for each day; it neither
//! folds nor writes to the journal, so neither the feed nor the fold waits for
//! it. A day that cannot be certified is told of in the log; nothing stops.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use orrery_journal::units::TradingDay;

use crate::backend::sealing::{SealingError, seal};
use crate::backend::{Archive, proving};
use crate::telemetry::Metrics;

/// How often it is looked whether a day has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The thread; it ends when this is dropped.
pub struct Sealing {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Sealing {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A panic has been reported by the thread itself.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Makes the log's key if there is none, and says what is wrong with it: a feed
/// is not refused for the sake of a key, but nothing is signed with a bad one.
pub fn look_at_key(archive: &Archive, origin: Option<&str>) {
    if archive.journal().folder().is_none() {
        return;
    }
    match proving::key(archive.journal(), origin) {
        Ok(key) => tracing::info!(%key, "the key of the log"),
        Err(error) => tracing::error!(
            error = &error as &dyn std::error::Error,
            "the key of the log cannot be used: no checkpoint and no certificate is signed"
        ),
    }
}

/// Starts the thread.
///
/// # Errors
/// When there is no thread to be had.
pub fn start(archive: &Arc<Archive>, metrics: &Arc<Metrics>) -> std::io::Result<Sealing> {
    let (stop, stopped) = channel();
    let (archive, metrics) = (Arc::clone(archive), Arc::clone(metrics));
    let thread = std::thread::Builder::new().name("certify".to_owned()).spawn(move || {
        let mut looked = None;
        loop {
            look(&archive, &metrics, &mut looked, &stopped);
            match stopped.recv_timeout(LOOK_EVERY) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    })?;
    Ok(Sealing { stop: Some(stop), thread: Some(thread) })
}

/// Certifies the newest day that is over; `looked` is the open day at which
/// that was settled.
fn look(
    archive: &Archive,
    metrics: &Metrics,
    looked: &mut Option<TradingDay>,
    stopped: &Receiver<()>,
) {
    let journal = archive.journal();
    let open = journal.day_of(journal.head().recv);
    if *looked == Some(open) || journal.folder().is_none() {
        return;
    }
    let days = match journal.days() {
        Ok(days) => days,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, "days cannot be read");
            return;
        }
    };
    if let Some(day) = days.iter().rfind(|d| d.sealed && !d.dropped) {
        // The fold writes the closing state before it goes beyond the day.
        if metrics.fold_seq.get() <= i64::try_from(day.last.0).unwrap_or(i64::MAX) {
            return;
        }
        let mut stop = |_| match stopped.try_recv() {
            Err(TryRecvError::Empty) => ControlFlow::Continue(()),
            Ok(()) | Err(TryRecvError::Disconnected) => ControlFlow::Break(()),
        };
        match seal(archive, day.day, false, None, &mut stop) {
            Ok(sealed) if sealed.made => {
                tracing::info!(certificate = %sealed.kept.id, "a trading day was certified");
            }
            Ok(_) => {}
            // Other definitions than those that it was certified under are no
            // damage; whoever wants a second certificate says so.
            Err(error @ SealingError::Otherwise { .. }) => {
                tracing::info!(%error, "a trading day keeps its certificate");
            }
            Err(error) => tracing::error!(
                day = %day.day,
                error = &error as &dyn std::error::Error,
                "a trading day is not certified"
            ),
        }
    }
    *looked = Some(open);
}
