//! Opening: who holds the directory, what was acknowledged, what a crash left.

pub(crate) mod lock;
pub(crate) mod mend;
pub mod preflight;
pub(crate) mod recover;
pub(crate) mod rights;
pub(crate) mod watermark;
