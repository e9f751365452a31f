//! Looking for damage in what is stored, telling all of it, and mending it from a
//! copy.

pub(crate) mod inspect;
pub(crate) mod loss;
pub(crate) mod raw;
pub(crate) mod repair;
pub(crate) mod scrub;
pub(crate) mod swap;
pub(crate) mod verify;
