//! What the backend in memory leaves to the real one, which other tests start.

use std::ops::ControlFlow;
use std::time::Duration;

use bytes::Bytes;
use orrery::control::admin::{Administration, ServerStatus};
use orrery::control::annotations::{Annotating, Annotation, WantedAnnotations};
use orrery::control::append::{Appending, Pending, Record, Refusal};
use orrery::control::certificate::{self, Certifying, Rotated, Sealed, Verified};
use orrery::control::events::{EventFilter, EventRange, Found, ReadDone, Start, Tailed};
use orrery::control::journal::Operations;
use orrery::control::lookup::{Lookup, Placed, WhichEvent, WhichPage};
use orrery::control::profiles::{Definitions, Order, Profiles, Reported, Standing};
use orrery::control::proving::{Given, SignedCheckpoint, Wanted, WantedCertificate};
use orrery::control::session::feed::Watcher;
use orrery::control::session::{BranchOrder, Command, SessionOrder, SessionView, Sessions};
use orrery::control::{AsOf, BackendError};
use orrery::market::epoch::Moment;
use orrery_journal::units::{Address, Seq, TradingDay};
use orrery_journal::{Copied, CopyProgress, DaySummary, Head, SealedPage, Stat};

use super::Fake;

/// `tests/it/journaling.rs` has the real one.
pub fn elsewhere<T>() -> Result<T, BackendError> {
    Err(BackendError::Unavailable("not in this backend".into()))
}

/// A keeper of no sessions; `tests/it/sessions.rs` has a real one.
pub struct NoSessions;

impl Sessions for NoSessions {
    fn create(&self, _: &SessionOrder) -> Result<SessionView, BackendError> {
        elsewhere()
    }

    fn branch(&self, _: &str, _: &BranchOrder) -> Result<SessionView, BackendError> {
        elsewhere()
    }

    fn get(&self, _: &str) -> Result<SessionView, BackendError> {
        elsewhere()
    }

    fn list(&self) -> Vec<SessionView> {
        Vec::new()
    }

    fn command(&self, _: &str, _: Command) -> Result<(SessionView, u32), BackendError> {
        elsewhere()
    }

    fn watch(&self, _: &str, _: Option<u64>, _: bool) -> Result<Watcher, BackendError> {
        elsewhere()
    }

    fn close(&self, _: &str) -> Result<SessionView, BackendError> {
        elsewhere()
    }
}

impl Operations for Fake {
    fn stat(&self) -> Result<Stat, BackendError> {
        elsewhere()
    }

    fn backup(
        &self,
        _: &std::path::Path,
        _: &mut dyn FnMut(CopyProgress) -> ControlFlow<()>,
    ) -> Result<Copied, BackendError> {
        elsewhere()
    }

    fn compact(&self) -> Result<(u64, u64), BackendError> {
        elsewhere()
    }

    fn read(
        &self,
        _: &EventRange,
        _: &mut dyn FnMut(&[Found]) -> ControlFlow<()>,
    ) -> Result<ReadDone, BackendError> {
        elsewhere()
    }

    fn tail(
        &self,
        _: &EventFilter,
        _: Start,
        _: Duration,
        _: &mut dyn FnMut() -> ControlFlow<()>,
        _: &mut dyn FnMut(Tailed<'_>) -> ControlFlow<()>,
    ) -> Result<(), BackendError> {
        elsewhere()
    }

    fn prove(&self, _: &Wanted, _: Option<&str>) -> Result<Given, BackendError> {
        elsewhere()
    }

    fn checkpoint(&self, _: Option<&str>) -> Result<SignedCheckpoint, BackendError> {
        elsewhere()
    }

    fn key(&self, _: Option<&str>) -> Result<String, BackendError> {
        elsewhere()
    }
}

impl Certifying for Fake {
    fn seal(
        &self,
        _: TradingDay,
        _: bool,
        _: Option<&str>,
        _: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Sealed, BackendError> {
        elsewhere()
    }

    fn certificates(&self) -> Result<Vec<certificate::Kept>, BackendError> {
        elsewhere()
    }

    fn certificate(&self, _: WantedCertificate) -> Result<certificate::Kept, BackendError> {
        elsewhere()
    }

    fn verify(
        &self,
        _: WantedCertificate,
        _: bool,
        _: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Verified, BackendError> {
        elsewhere()
    }

    fn rotate(&self) -> Result<Rotated, BackendError> {
        elsewhere()
    }
}

impl Profiles for Fake {
    fn standing(&self, as_of: AsOf) -> Result<Standing, BackendError> {
        Ok(Standing {
            moment: self.moment(as_of)?,
            in_force: Definitions::default(),
            shadows: Vec::new(),
        })
    }

    fn order(&self, _: &Order) -> Result<Seq, BackendError> {
        Err(BackendError::Precondition("nothing changes here".to_owned()))
    }

    fn report(&self, day: TradingDay, _: &str) -> Result<Vec<Reported>, BackendError> {
        Err(BackendError::Unknown { what: "day", name: day.to_string() })
    }
}

impl Lookup for Fake {
    fn days(&self) -> Result<Vec<(DaySummary, Option<u32>)>, BackendError> {
        elsewhere()
    }

    fn event(&self, _: WhichEvent) -> Result<Placed, BackendError> {
        elsewhere()
    }

    fn page(&self, _: WhichPage) -> Result<SealedPage, BackendError> {
        elsewhere()
    }

    fn blob(&self, _: Address) -> Result<Bytes, BackendError> {
        elsewhere()
    }

    fn source(&self, _: u16) -> String {
        String::new()
    }
}

impl Appending for Fake {
    fn judge(&self, _: &Record) -> Result<(), Refusal> {
        Ok(())
    }

    fn append(&self, _: &str, _: Vec<Record>) -> Result<Pending, BackendError> {
        elsewhere()
    }
}

impl Annotating for Fake {
    fn annotations(
        &self,
        _: &WantedAnnotations,
    ) -> Result<(Moment, Vec<Annotation>), BackendError> {
        elsewhere()
    }
}

impl Administration for Fake {
    fn status(&self) -> Result<ServerStatus, BackendError> {
        elsewhere()
    }

    fn take_checkpoint(&self, _: Duration) -> Result<Head, BackendError> {
        elsewhere()
    }

    fn close_day(&self, _: TradingDay) -> Result<(), BackendError> {
        elsewhere()
    }
}
