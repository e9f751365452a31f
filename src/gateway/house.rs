//! What the gateway asks of journal and replay: the past, and a place for what
//! people say. Whoever wires the house implements [`House`].

use bytes::Bytes;
use orrery_journal::units::{RecvTime, Seq};
use orrery_replay::artifact::Header;

/// Which version of a family is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum At {
    /// Exactly this one.
    Version(u64),
    /// The newest that had seen no event beyond this one.
    Seq(Seq),
    /// The newest that had seen nothing received later.
    Time(RecvTime),
}

impl At {
    /// Reads `v12`, `seq:1200` and RFC 3339.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn parse(text: &str) -> Result<At, &'static str> {
        const WRONG: &str =
            "at is a version (v12), an event (seq:1200) or a time (2015-12-24T18:00:00Z)";
        let number = |digits: &str| digits.parse().ok().filter(|n| *n > 0).ok_or(WRONG);
        if let Some(digits) = text.strip_prefix("seq:") {
            return number(digits).map(|seq| At::Seq(Seq(seq)));
        }
        match text.strip_prefix('v') {
            Some(digits) => number(digits).map(At::Version),
            None => RecvTime::parse_rfc3339(text).map(At::Time).ok_or(WRONG),
        }
    }
}

/// An annotation, as somebody brings it.
#[derive(Clone, PartialEq, Debug)]
pub struct Annotation {
    /// What it is about: `SPX`.
    pub symbol: String,
    /// JSON `{author, model?, provenance?, lines?, ...}`.
    pub json: Bytes,
}

/// Why the house has no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HouseError {
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// The request can never be answered.
    #[error("{0}")]
    Invalid(String),
    /// Not now; asking again may help.
    #[error("{0}")]
    Unavailable(String),
    /// Something is wrong in here; the log has it.
    #[error("the question could not be answered")]
    Failed,
}

/// The rest of the house. Methods may block; they are called on threads where
/// that is allowed.
pub trait House: Send + Sync + 'static {
    /// Header and body of an artifact of the past, `None` when there was none.
    ///
    /// # Errors
    /// A moment outside of the journal, damage.
    fn artifact(
        &self,
        symbol: &str,
        family: &str,
        at: At,
    ) -> Result<Option<(Header, Bytes)>, HouseError>;

    /// Journals an annotation; returns its event.
    ///
    /// # Errors
    /// An unknown symbol, no annotation, a journal that takes nothing.
    fn annotate(&self, annotation: &Annotation) -> Result<Seq, HouseError>;
}

/// No house: a gateway of documents alone, without a past and without a pen.
#[derive(Clone, Copy, Debug)]
pub struct NoHouse;

impl House for NoHouse {
    fn artifact(&self, _: &str, _: &str, _: At) -> Result<Option<(Header, Bytes)>, HouseError> {
        Err(HouseError::Unavailable("this server has no journal".to_owned()))
    }

    fn annotate(&self, _: &Annotation) -> Result<Seq, HouseError> {
        Err(HouseError::Unavailable("this server has no journal".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_versions_events_or_times() {
        assert_eq!(At::parse("v12"), Ok(At::Version(12)));
        assert_eq!(At::parse("seq:7"), Ok(At::Seq(Seq(7))));
        assert_eq!(At::parse("1970-01-01T00:00:01Z"), Ok(At::Time(RecvTime(1_000_000_000))));
        for wrong in ["", "v0", "v", "seq:0", "seq:-1", "12", "yesterday", "v99999999999999999999"]
        {
            assert!(At::parse(wrong).is_err(), "{wrong}");
        }
    }
}
