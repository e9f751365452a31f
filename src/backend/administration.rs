//! What an operator asks of an archive that is served: for gRPC through
//! [`control::admin::Administration`](crate::control::admin::Administration).

use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;

use orrery_journal::event::{Draft, DraftBody, InstrumentRef, Kind};
use orrery_journal::units::{RecvTime, TradingDay};
use orrery_journal::{AppendError, Head};

use super::annotating::TimePasses;
use super::{Archive, answers, sealing};
use crate::clock;
use crate::control::BackendError;
use crate::control::admin::{Administration, ServerStatus, Timekeeper};

impl Archive {
    fn timekeeper(&self) -> Timekeeper {
        match self.time_passes() {
            TimePasses::WithWhatIsSaid => Timekeeper::Nobody,
            TimePasses::ByTheWall => Timekeeper::Wall,
            TimePasses::ByItsSession => Timekeeper::Session,
        }
    }
}

impl Administration for Archive {
    fn status(&self) -> Result<ServerStatus, BackendError> {
        let journal = self.journal();
        let checkpoints = self.derived().checkpoints().map_err(answers::derived)?;
        let days = journal.days().map_err(answers::read)?;
        Ok(ServerStatus {
            head: journal.head(),
            folded: self.pulse().folded(),
            time: self.timekeeper(),
            checkpoint: checkpoints.last().map(|record| record.seq),
            quarantined: journal.count(Kind::Quarantine),
            input_stopped: journal.guard().closed,
            day: days.last().map(|day| day.day),
        })
    }

    fn take_checkpoint(&self, patience: Duration) -> Result<Head, BackendError> {
        let asked = self.pulse().ask_checkpoint();
        let asked = asked.ok_or_else(|| {
            BackendError::Precondition("nothing folds here, so there is no state to keep".into())
        })?;
        match asked.recv_timeout(patience) {
            Ok(Ok(head)) => Ok(head),
            Ok(Err(why)) => Err(BackendError::Unavailable(format!("no checkpoint: {why}"))),
            Err(RecvTimeoutError::Timeout) => {
                Err(BackendError::Unavailable("the folds are busy; ask again".into()))
            }
            Err(RecvTimeoutError::Disconnected) => {
                Err(BackendError::Unavailable("the server is stopping".into()))
            }
        }
    }

    fn close_day(&self, day: TradingDay) -> Result<(), BackendError> {
        let journal = self.journal();
        let days = journal.days().map_err(answers::read)?;
        let Some(last) = days.last().filter(|last| last.day == day && !last.sealed) else {
            return Ok(());
        };
        if self.timekeeper() == Timekeeper::Session {
            let told = "a made-up session runs: it ends the day by itself".to_owned();
            return Err(BackendError::Precondition(told));
        }
        let end: RecvTime = sealing::end_of(journal, day, last.last_recv);
        if clock::now() < end {
            let told = format!("{day} is not over before {end}; nothing was journaled");
            return Err(BackendError::Precondition(told));
        }
        let beat = || {
            let writer = self.writer()?;
            let source = writer.define_source(r#"{"feed":"admin"}"#)?;
            let draft = Draft {
                recv: Some(end),
                vendor_time: None,
                instrument: InstrumentRef::None,
                source,
                extension: None,
                body: DraftBody::ClockBeat,
            };
            writer.append(vec![draft])?.wait()
        };
        beat().map(drop).map_err(|e: AppendError| BackendError::Unavailable(e.to_string()))?;
        // What the day comes down to is known once the folds have gone beyond it.
        let watch = clock::Stopwatch::start();
        while self.pulse().folded() <= last.last && watch.seconds() < 30.0 {
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}
