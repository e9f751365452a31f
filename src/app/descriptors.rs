//! File descriptors: each connection takes one, and the journal must not be the
//! one that finds none left.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::gateway::Limits;

/// What journal, derived data, Redis and the rest are left with.
const OURS: u64 = 512;

/// Takes as many descriptors as the system gives, and bounds connections by
/// what is left of them.
pub fn raise(limits: &mut Limits) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = limits.connections as u64 + OURS;
    if current.is_some_and(|current| current < wanted) {
        let most = maximum.map_or(wanted, |maximum| maximum.min(wanted));
        if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum }) {
            tracing::warn!(%error, "file descriptors stay as few as they are");
        }
    }
    let Some(have) = getrlimit(Resource::Nofile).current else { return };
    let left = usize::try_from(have.saturating_sub(OURS)).unwrap_or(usize::MAX).max(16);
    if left < limits.connections {
        tracing::warn!(
            connections = left,
            descriptors = have,
            "fewer connections than asked for: raise `ulimit -n`, or LimitNOFILE in the unit"
        );
        limits.connections = left;
    }
}
