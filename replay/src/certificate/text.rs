//! A certificate's text: one fact a line, in one order, so that equal facts are
//! equal bytes.
//!
//! ```text
//! orrery day certificate 1
//! log NAME                 origin of the log and name of its key
//! day YYYY-MM-DD
//! number N                 from 1; another one only under other definitions
//! events FIRST LAST        seqs
//! time FIRST LAST          recv times of these, RFC 3339 with nanoseconds
//! pages FIRST COUNT        index in the log of the day's first page
//! log-root HEX             RFC 6962 root of the first FIRST + COUNT pages
//! opening HEX              blake3 of the folds' state before the first event
//! closing HEX              and after the last one
//! configuration HEX        hash of every parameter
//! profile NAME             each that made an artifact of the day, ascending
//! artifacts COUNT HEX      RFC 6962 root over their header hashes
//! count KIND N             events by kind, in the order of the kinds' tags
//! gap-time NS              sum over the gaps, nanoseconds
//! refused REASON N         quarantined input, in the order of the reasons' tags
//! binary TEXT              what made it, from here on: these are no facts of
//! libm TEXT                the day, and no reason to certify it again
//! calendar TEXT
//! ```
//! The leaves under `artifacts` are ascending by symbol, family (bytes) and
//! version. The first line has spaces, as no log's name has: nobody can take a
//! certificate for a checkpoint of the same key, or the other way round.

use std::collections::BTreeMap;

use orrery_journal::event::{Kind, RefusalReason};
use orrery_journal::proof::certificates::CertificateId;
use orrery_journal::proof::merkle::TreeHash;
use orrery_journal::units::{Address, RecvTime, Seq, TradingDay};

const FIRST_LINE: &str = "orrery day certificate 1";

/// Lines that a certificate has at most; far more than profiles there are.
const LINES_MAX: usize = 1_000;

/// The certificate of a trading day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Certificate {
    /// Name of the log.
    pub log: String,
    /// Which one of which day.
    pub id: CertificateId,
    /// What is certified.
    pub facts: Facts,
    /// What made it.
    pub maker: Maker,
}

/// What a day comes down to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// First event.
    pub first: Seq,
    /// Last event.
    pub last: Seq,
    /// When the journal took the first event.
    pub first_recv: RecvTime,
    /// When it took the last one.
    pub last_recv: RecvTime,
    /// Index in the log of the first page.
    pub page: u64,
    /// Pages of the day.
    pub pages: u64,
    /// Root of the log up to the day's last page.
    pub root: TreeHash,
    /// blake3 of the state of all folds before the first event.
    pub opening: Address,
    /// blake3 of their state after the last one.
    pub closing: Address,
    /// Hash of every parameter.
    pub configuration: Address,
    /// Profiles that made an artifact of the day, ascending.
    pub profiles: Vec<Box<str>>,
    /// Artifacts of the day.
    pub artifacts: u64,
    /// Root over the hashes of their headers.
    pub artifact_root: TreeHash,
    /// Events by kind, ascending by tag; kinds without events are left out.
    pub kinds: Vec<(Kind, u64)>,
    /// How long feeds were away, summed over the gaps, ns.
    pub gap_ns: u64,
    /// Refused input by reason, ascending by tag.
    pub refused: Vec<(RefusalReason, u64)>,
}

/// The versions of whatever could make another output of the same events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Maker {
    /// The program.
    pub binary: String,
    /// The mathematics.
    pub libm: String,
    /// Trading days and hours.
    pub calendar: String,
}

/// Why a text is no certificate.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum TextError {
    #[error("it is no certificate of a day: it does not begin with `{FIRST_LINE}`")]
    FirstLine,
    #[error("line {line} is not the `{wanted}` that belongs there")]
    Line { line: usize, wanted: &'static str },
    #[error("it says the same as a certificate, but not in the one way in which it is written")]
    NotCanonical,
}

/// A field that differs, and both values.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FieldDifference {
    /// The line's name; with the kind, profile or reason where there are many.
    pub field: String,
    /// What is certified; empty where the line is not there.
    pub certified: String,
    /// What was found.
    pub found: String,
}

impl Facts {
    /// Pages of the log up to the day's last one.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.page.saturating_add(self.pages)
    }

    /// The lines, as name and value; a name is unique.
    fn lines(&self) -> Vec<(String, String)> {
        let line = |name: &str, value: String| (name.to_owned(), value);
        let mut lines = vec![
            line("events", format!("{} {}", self.first, self.last)),
            line(
                "time",
                format!("{} {}", self.first_recv.to_rfc3339(), self.last_recv.to_rfc3339()),
            ),
            line("pages", format!("{} {}", self.page, self.pages)),
            line("log-root", self.root.to_string()),
            line("opening", self.opening.to_string()),
            line("closing", self.closing.to_string()),
            line("configuration", self.configuration.to_string()),
        ];
        lines.extend(self.profiles.iter().map(|p| line(&format!("profile {p}"), String::new())));
        lines.push(line("artifacts", format!("{} {}", self.artifacts, self.artifact_root)));
        let kinds = self.kinds.iter();
        lines.extend(kinds.map(|(k, n)| line(&format!("count {}", k.name()), n.to_string())));
        lines.push(line("gap-time", self.gap_ns.to_string()));
        let refused = self.refused.iter();
        lines.extend(refused.map(|(r, n)| line(&format!("refused {}", r.name()), n.to_string())));
        lines
    }

    /// What differs from what was found, in the order of the lines.
    #[must_use]
    pub fn differing(&self, found: &Facts) -> Vec<FieldDifference> {
        let theirs: BTreeMap<String, String> = found.lines().into_iter().collect();
        let ours: BTreeMap<String, String> = self.lines().into_iter().collect();
        let said = |of: &BTreeMap<String, String>, name: &str| match of.get(name) {
            Some(value) if value.is_empty() => "yes".to_owned(),
            Some(value) => value.clone(),
            None => String::new(),
        };
        let mut names: Vec<String> = self.lines().into_iter().map(|(name, _)| name).collect();
        names.extend(found.lines().into_iter().map(|(n, _)| n).filter(|n| !ours.contains_key(n)));
        names.retain(|name| ours.get(name) != theirs.get(name));
        let difference = |field: String| FieldDifference {
            certified: said(&ours, &field),
            found: said(&theirs, &field),
            field,
        };
        names.into_iter().map(difference).collect()
    }
}

impl Certificate {
    /// The text to sign.
    #[must_use]
    pub fn text(&self) -> String {
        let Certificate { log, id, facts, maker } = self;
        let mut text = format!("{FIRST_LINE}\nlog {log}\nday {}\nnumber {}\n", id.day, id.number);
        for (name, value) in facts.lines() {
            text.push_str(&name);
            if !value.is_empty() {
                text.push(' ');
                text.push_str(&value);
            }
            text.push('\n');
        }
        let Maker { binary, libm, calendar } = maker;
        text + &format!("binary {binary}\nlibm {libm}\ncalendar {calendar}\n")
    }

    /// Reads a text; there is one for each certificate.
    ///
    /// # Errors
    /// See [`TextError`].
    pub fn parse(text: &str) -> Result<Certificate, TextError> {
        let mut lines = Lines { lines: text.lines().take(LINES_MAX).collect(), at: 0 };
        if lines.next() != Some(FIRST_LINE) {
            return Err(TextError::FirstLine);
        }
        let log = lines.take("log", |v| Some(v.to_owned()))?;
        let day = lines.take("day", TradingDay::parse)?;
        let number = lines.take("number", |v| v.parse().ok())?;
        let (first, last) = lines.take("events", |v| pair(v, seq, seq))?;
        let recv = RecvTime::parse_rfc3339;
        let (first_recv, last_recv) = lines.take("time", |v| pair(v, recv, recv))?;
        let (page, pages) = lines.take("pages", |v| pair(v, number64, number64))?;
        let facts = Facts {
            first,
            last,
            first_recv,
            last_recv,
            page,
            pages,
            root: lines.take("log-root", hash)?,
            opening: lines.take("opening", Address::parse)?,
            closing: lines.take("closing", Address::parse)?,
            configuration: lines.take("configuration", Address::parse)?,
            profiles: lines.all("profile", |v| Some(v.into()))?,
            artifacts: 0,
            artifact_root: TreeHash::default(),
            kinds: Vec::new(),
            gap_ns: 0,
            refused: Vec::new(),
        };
        let (artifacts, artifact_root) = lines.take("artifacts", |v| pair(v, number64, hash))?;
        let kinds = lines.all("count", |v| pair(v, kind, number64))?;
        let gap_ns = lines.take("gap-time", number64)?;
        let refused = lines.all("refused", |v| pair(v, reason, number64))?;
        let facts = Facts { artifacts, artifact_root, kinds, gap_ns, refused, ..facts };
        let text_of = |v: &str| Some(v.to_owned());
        let maker = Maker {
            binary: lines.take("binary", text_of)?,
            libm: lines.take("libm", text_of)?,
            calendar: lines.take("calendar", text_of)?,
        };
        let certificate = Certificate { log, id: CertificateId { day, number }, facts, maker };
        // Whatever was read too kindly above is not what would be written.
        let Facts { profiles, kinds, refused, .. } = &certificate.facts;
        let ascending = profiles.is_sorted_by(|a, b| a < b)
            && kinds.is_sorted_by(|a, b| a.0 < b.0)
            && refused.is_sorted_by(|a, b| a.0 < b.0);
        match ascending && certificate.text() == text {
            true => Ok(certificate),
            false => Err(TextError::NotCanonical),
        }
    }
}

struct Lines<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

impl<'a> Lines<'a> {
    fn next(&mut self) -> Option<&'a str> {
        self.at += 1;
        self.lines.get(self.at - 1).copied()
    }

    /// The value of the next line, which must have this name.
    fn take<T>(
        &mut self,
        wanted: &'static str,
        read: impl FnOnce(&'a str) -> Option<T>,
    ) -> Result<T, TextError> {
        let line = self.at + 1;
        let value = self.next().and_then(|text| text.strip_prefix(wanted)?.strip_prefix(' '));
        value.and_then(read).ok_or(TextError::Line { line, wanted })
    }

    /// The values of all lines of this name that come next.
    fn all<T>(
        &mut self,
        wanted: &'static str,
        read: impl Fn(&'a str) -> Option<T>,
    ) -> Result<Vec<T>, TextError> {
        let mut all = Vec::new();
        while self.lines.get(self.at).is_some_and(|l| l.split(' ').next() == Some(wanted)) {
            all.push(self.take(wanted, &read)?);
        }
        Ok(all)
    }
}

fn pair<'a, A, B>(
    text: &'a str,
    left: impl FnOnce(&'a str) -> Option<A>,
    right: impl FnOnce(&'a str) -> Option<B>,
) -> Option<(A, B)> {
    let (a, b) = text.split_once(' ')?;
    Some((left(a)?, right(b)?))
}

fn number64(text: &str) -> Option<u64> {
    text.parse().ok()
}

fn seq(text: &str) -> Option<Seq> {
    number64(text).map(Seq)
}

fn hash(text: &str) -> Option<TreeHash> {
    Address::parse(text).map(|address| TreeHash(address.0))
}

fn kind(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name)
}

fn reason(name: &str) -> Option<RefusalReason> {
    RefusalReason::ALL.into_iter().find(|reason| reason.name() == name)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn sample() -> Certificate {
        Certificate {
            log: "test.example/log".to_owned(),
            id: CertificateId { day: TradingDay(20_528), number: 1 },
            facts: Facts {
                first: Seq(10),
                last: Seq(9_000),
                first_recv: RecvTime(1_773_671_400_000_000_001),
                last_recv: RecvTime(1_773_694_800_000_000_000),
                page: 2,
                pages: 3,
                root: TreeHash([1; 32]),
                opening: Address([2; 32]),
                closing: Address([3; 32]),
                configuration: Address([4; 32]),
                profiles: vec!["gex/naive-oi@1".into(), "spot/newest@1".into()],
                artifacts: 8,
                artifact_root: TreeHash([5; 32]),
                kinds: vec![(Kind::Quote, 8_000), (Kind::Gap, 2), (Kind::Quarantine, 4)],
                gap_ns: 12_500_000_000,
                refused: vec![(RefusalReason::BadPrice, 3), (RefusalReason::BadSize, 1)],
            },
            maker: Maker {
                binary: "orrery 0.1.0".to_owned(),
                libm: "0.2.16".to_owned(),
                calendar: "new-york 2, tzdb 2025b".to_owned(),
            },
        }
    }

    #[test]
    fn what_is_written_is_read_and_there_is_one_text() {
        let text = sample().text();
        assert_eq!(Certificate::parse(&text), Ok(sample()));
        let mut empty = sample();
        empty.facts.profiles.clear();
        empty.facts.kinds.clear();
        empty.facts.refused.clear();
        assert_eq!(Certificate::parse(&empty.text()), Ok(empty));
        // Another line order, another spelling, lines more or less.
        let lines: Vec<&str> = text.lines().collect();
        for at in 0..lines.len() {
            let mut without = lines.clone();
            without.remove(at);
            let changed = without.join("\n") + "\n";
            let optional =
                ["profile ", "count ", "refused "].iter().any(|o| lines[at].starts_with(o));
            assert_eq!(Certificate::parse(&changed).is_ok(), optional, "without {}", lines[at]);
            let mut twice = lines.clone();
            twice.insert(at, lines[at]);
            let changed = twice.join("\n") + "\n";
            assert!(Certificate::parse(&changed).is_err(), "twice {}", lines[at]);
        }
        for (from, to) in [
            ("number 1", "number 01"),
            ("number 1", "number +1"),
            ("events 10 9000", "events 10  9000"),
            ("000000001Z", "000000001+00:00"),
            ("log-root 0101", "log-root 0x01"),
            ("closing 0303", "closing 030G"),
            ("count quote 8000", "count quotes 8000"),
            ("\n", "\r\n"),
            ("orrery day certificate 1\n", "orrery day certificate 2\n"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            assert!(Certificate::parse(&changed).is_err(), "{to}");
        }
        assert!(Certificate::parse(text.trim_end()).is_err());
        assert!(Certificate::parse(&(text + "more\n")).is_err());
    }

    #[test]
    fn each_fact_that_differs_is_named_with_both_values() {
        type Edit = fn(&mut Facts);
        let edits: [(Edit, &str); 16] = [
            (|f| f.first = Seq(11), "events"),
            (|f| f.last = Seq(11), "events"),
            (|f| f.first_recv = RecvTime(0), "time"),
            (|f| f.last_recv = RecvTime(0), "time"),
            (|f| f.page = 9, "pages"),
            (|f| f.pages = 9, "pages"),
            (|f| f.root = TreeHash([9; 32]), "log-root"),
            (|f| f.opening = Address([9; 32]), "opening"),
            (|f| f.closing = Address([9; 32]), "closing"),
            (|f| f.configuration = Address([9; 32]), "configuration"),
            (|f| drop(f.profiles.pop()), "profile spot/newest@1"),
            (|f| f.artifacts = 9, "artifacts"),
            (|f| f.artifact_root = TreeHash([9; 32]), "artifacts"),
            (|f| f.kinds[1].1 = 3, "count gap"),
            (|f| f.gap_ns = 0, "gap-time"),
            (|f| f.refused.truncate(1), "refused bad_size"),
        ];
        for (edit, field) in edits {
            let mut found = sample().facts;
            edit(&mut found);
            let differing = sample().facts.differing(&found);
            assert_eq!(differing.len(), 1, "{differing:?}");
            assert_eq!(differing[0].field, field);
            assert_ne!(differing[0].certified, differing[0].found);
        }
        assert_eq!(sample().facts.differing(&sample().facts), []);
    }
}
