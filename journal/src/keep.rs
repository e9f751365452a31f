//! Running a journal: copies, retention, room on the disk, figures.

pub(crate) mod copy;
pub mod guard;
pub(crate) mod observe;
pub(crate) mod operate;
pub(crate) mod retention;
pub(crate) mod stat;
