//! Exit codes, the same for every command.

use std::process::ExitCode;

use orrery_journal::OpenError;

use crate::control::client::delivery::DeliveryError;
use crate::projector::inspect::InspectError;
use crate::projector::inspect::repair::RepairError;

/// How a command ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: fine.
    Fine,
    /// 1: it ran, and something differs, is damaged or was refused.
    Finding,
    /// 2: it could not run: usage or environment.
    Usage,
    /// 69: what was to be looked at cannot be reached.
    Unreachable,
    /// 65: the journal is damaged, so it was not opened and nothing was written.
    Corrupt,
}

impl Exit {
    /// The code of a command that could not run.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Exit {
        let away = error.downcast_ref::<InspectError>().is_some()
            || matches!(error.downcast_ref(), Some(RepairError::Inspect(_)))
            || matches!(error.downcast_ref(), Some(DeliveryError::Away { .. }));
        if away {
            return Exit::Unreachable;
        }
        match error.downcast_ref::<OpenError>() {
            Some(refused) if refused.is_damage() => Exit::Corrupt,
            _ => Exit::Usage,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Fine => 0,
            Exit::Finding => 1,
            Exit::Usage => 2,
            Exit::Corrupt => 65,
            Exit::Unreachable => 69,
        })
    }
}
