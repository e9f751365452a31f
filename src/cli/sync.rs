//! `--sync`: when a command that writes may say that an event is taken.

use clap::{Args, ValueEnum};
use orrery_journal::SyncMode;

/// The option of commands that write.
#[derive(Clone, Copy, Debug, Args)]
pub struct Sync {
    /// When an event counts as taken. Changes no byte of the result.
    #[arg(
        id = "sync",
        long = "sync",
        value_enum,
        default_value_t = Name::Group,
        env = "ORRERY_SYNC",
        value_name = "MODE"
    )]
    name: Name,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Name {
    /// Each append is written and synced on its own.
    Every,
    /// Whatever came in during the last sync is written and synced together.
    Group,
    /// The operating system has it: a power cut can take the last 64 MiB. For
    /// input that can be imported again.
    Os,
}

impl Sync {
    /// What the journal is opened with.
    #[must_use]
    pub const fn mode(self) -> SyncMode {
        match self.name {
            Name::Every => SyncMode::Every,
            Name::Group => SyncMode::Group,
            Name::Os => SyncMode::Os,
        }
    }
}
