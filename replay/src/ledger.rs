//! Which version a finished body becomes.
//!
//! One ledger per partition, one line per family: the last version and what it
//! was. A body becomes a new version when its bytes, its epoch or its profile
//! differ from the last one's; otherwise nothing happened and nothing is said.

use std::borrow::Cow;
use std::collections::BTreeMap;

use orrery_journal::units::{Address, RecvTime, Seq};

use crate::artifact::{Artifact, BESIDE, Header};
use crate::canonical::{Decoder, Encoder};
use crate::fold::{EpochId, Output, RestoreError};

/// The last version of a family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Its number.
    pub version: u64,
    /// The epoch it belongs to.
    pub epoch: Option<EpochId>,
    /// The definitions that made it.
    pub profile: Box<str>,
    /// blake3 of its body.
    pub content: Address,
    /// Hash of its header.
    pub header: Address,
    /// Last event it had seen.
    pub seq_last: Seq,
}

/// The last version of every family of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    lines: BTreeMap<Box<str>, Line>,
}

/// Where and when a body was finished.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The partition.
    pub symbol: &'a str,
    /// Hash of every parameter.
    pub configuration: Address,
    /// Last event of the partition that was applied.
    pub seq_last: Seq,
    /// The timer's moment or the event's.
    pub created_at: RecvTime,
}

impl Ledger {
    /// The artifact that an output becomes, or `None` when the last version
    /// says the same.
    pub fn enter(&mut self, output: Output, moment: &Moment<'_>) -> Option<Artifact> {
        let content = Address::of(&output.body);
        // What runs beside has families, and so versions, of its own.
        let beside = output.by.as_ref().and_then(|by| by.beside.as_deref());
        let family = match beside {
            None => Cow::Borrowed(output.family),
            Some(beside) => Cow::Owned(format!("{}{BESIDE}{beside}", output.family)),
        };
        let last = self.lines.get(&*family);
        if last.is_some_and(|l| {
            l.content == content && l.epoch == output.epoch && *l.profile == *output.profile
        }) {
            return None;
        }
        let header = Header {
            symbol: moment.symbol.into(),
            family: family.into(),
            version: last.map_or(1, |l| l.version.saturating_add(1)),
            epoch: output.epoch,
            profile: output.profile.into(),
            configuration: output.by.map_or(moment.configuration, |by| by.configuration),
            // Where only time has passed, the last event is the range.
            seq_first: last.map_or(Seq::FIRST, |l| l.seq_last.next()).min(moment.seq_last),
            seq_last: moment.seq_last,
            created_at: moment.created_at,
            content,
            body_len: output.body.len() as u64,
            previous: last.map_or(Address::default(), |l| l.header),
        };
        let line = Line {
            version: header.version,
            epoch: header.epoch,
            profile: header.profile.clone(),
            content,
            header: header.hash(),
            seq_last: header.seq_last,
        };
        self.lines.insert(header.family.clone(), line);
        Some(Artifact { header, body: output.body })
    }

    /// The last version of a family.
    #[must_use]
    pub fn line(&self, family: &str) -> Option<&Line> {
        self.lines.get(family)
    }

    /// Families and their last versions, ascending by name.
    pub fn lines(&self) -> impl Iterator<Item = (&str, &Line)> {
        self.lines.iter().map(|(family, line)| (&**family, line))
    }

    /// Appends canonical bytes.
    pub fn save(&self, e: &mut Encoder<'_>) {
        e.count(self.lines.len());
        for (family, line) in &self.lines {
            e.text(family);
            e.u64(line.version);
            e.option(line.epoch, Encoder::address);
            e.text(&line.profile);
            e.address(line.content);
            e.address(line.header);
            e.seq(line.seq_last);
        }
    }

    /// Reads what [`Ledger::save`] wrote.
    ///
    /// # Errors
    /// When the bytes are not a ledger.
    pub fn load(d: &mut Decoder<'_>) -> Result<Ledger, RestoreError> {
        let mut lines = BTreeMap::new();
        for _ in 0..d.count()? {
            let family: Box<str> = d.text()?.into();
            let line = Line {
                version: d.u64()?,
                epoch: d.option(Decoder::address)?,
                profile: d.text()?.into(),
                content: d.address()?,
                header: d.address()?,
                seq_last: d.seq()?,
            };
            lines.insert(family, line);
        }
        Ok(Ledger { lines })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn output(body: &'static str, epoch: Option<u8>, profile: &'static str) -> Output {
        Output {
            family: "toy",
            profile,
            epoch: epoch.map(|e| Address([e; 32])),
            body: Bytes::from_static(body.as_bytes()),
            by: None,
        }
    }

    fn moment(seq: u64) -> Moment<'static> {
        Moment {
            symbol: "SPX",
            configuration: Address([7; 32]),
            seq_last: Seq(seq),
            created_at: RecvTime(seq as i64),
        }
    }

    #[test]
    fn only_what_differs_becomes_a_version() {
        let mut ledger = Ledger::default();
        let cases = [
            ("{}", None, "toy@1", Some(1)),
            ("{}", None, "toy@1", None),
            ("{1}", None, "toy@1", Some(2)),
            ("{1}", Some(1), "toy@1", Some(3)),
            ("{1}", Some(1), "toy@2", Some(4)),
            ("{1}", Some(1), "toy@2", None),
            ("{}", Some(1), "toy@2", Some(5)),
        ];
        for (i, (body, epoch, profile, expected)) in cases.into_iter().enumerate() {
            let made = ledger.enter(output(body, epoch, profile), &moment(i as u64 + 1));
            assert_eq!(made.map(|a| a.header.version), expected, "case {i}");
        }
    }

    #[test]
    fn each_version_names_the_one_before() {
        let mut ledger = Ledger::default();
        let one = ledger.enter(output("a", None, "toy@1"), &moment(5)).expect("new body").header;
        let two = ledger.enter(output("b", None, "toy@1"), &moment(9)).expect("new body").header;
        assert_eq!((one.seq_first, one.seq_last), (Seq(1), Seq(5)));
        assert_eq!((two.seq_first, two.seq_last), (Seq(6), Seq(9)));
        assert_eq!(one.previous, Address::default());
        assert_eq!(two.previous, one.hash());
        // No event since then, only time: the range is never backwards.
        let three = ledger.enter(output("c", None, "toy@1"), &moment(9)).expect("new body").header;
        assert_eq!((three.seq_first, three.seq_last), (Seq(9), Seq(9)));
    }

    #[test]
    fn a_saved_ledger_goes_on_where_it_was() {
        let mut ledger = Ledger::default();
        ledger.enter(output("a", Some(3), "toy@1"), &moment(5));
        let mut bytes = Vec::new();
        ledger.save(&mut Encoder::new(&mut bytes));
        let mut decoder = Decoder::new(&bytes);
        let mut back = Ledger::load(&mut decoder).expect("own bytes");
        decoder.end().expect("nothing left over");
        assert_eq!(back, ledger);
        let next = output("b", Some(3), "toy@1");
        assert_eq!(back.enter(next.clone(), &moment(6)), ledger.enter(next, &moment(6)));
    }
}
