//! Any artifact by where it stands: a version, a moment, the close of a day,
//! under the definitions in force or under others; and what differs between
//! two of them, with the contracts behind it.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use orrery_journal::units::{RecvTime, Seq, TradingDay};
use orrery_replay::artifact::Header;
use orrery_replay::diff::{self, CellChange};

use super::{AsOf, BackendError};
use crate::market::epoch::Moment;

/// Where a point stands in the life of its family.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum When {
    /// A version.
    Version(u64),
    /// The newest that had seen nothing beyond a moment.
    At(AsOf),
    /// The newest at the last event of a day.
    Close(TradingDay),
}

/// An artifact by where it stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Point {
    /// Symbol: `SPX`.
    pub symbol: Box<str>,
    /// Family: `gex`.
    pub family: Box<str>,
    /// Where.
    pub when: When,
    /// As this profile would have said it, had it been in force from the first
    /// event on; `None`: as recorded.
    pub profile: Option<Box<str>>,
}

/// A text that names no point.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{text:?} names no artifact: {why}; write SYMBOL/FAMILY@WHEN with WHEN one of v12, \
     2015-12-24T18:00:00Z, seq:1200 and day:2015-12-24, and +PROFILE for other definitions"
)]
pub struct PointError {
    /// As given.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Point {
    /// Reads `SYMBOL/FAMILY`, `@WHEN` and `+PROFILE`; without a when the newest.
    ///
    /// # Errors
    /// When the text is none of that.
    pub fn parse(text: &str) -> Result<Point, PointError> {
        let refuse = |why| PointError { text: text.to_owned(), why };
        let (symbol, rest) = text.split_once('/').ok_or_else(|| refuse("there is no family"))?;
        // An offset of a time has a `+`, too, but no letter behind it.
        let profile = rest.split_once('+').filter(|(_, p)| p.contains(char::is_alphabetic));
        let (rest, profile) = match (profile, rest.rsplit_once('+')) {
            (Some(_), Some((rest, profile))) => (rest, Some(profile.into())),
            _ => (rest, None),
        };
        let (family, when) = match rest.split_once('@') {
            None => (rest, When::At(AsOf::Head)),
            Some((family, when)) => (family, When::parse(when).map_err(refuse)?),
        };
        if symbol.is_empty() || family.is_empty() {
            return Err(refuse("symbol and family must be given"));
        }
        Ok(Point { symbol: symbol.into(), family: family.into(), when, profile })
    }
}

impl When {
    fn parse(text: &str) -> Result<When, &'static str> {
        let number = |text: &str, why| match text.parse::<u64>() {
            Ok(n) if n > 0 => Ok(n),
            _ => Err(why),
        };
        if let Some(seq) = text.strip_prefix("seq:") {
            let seq = number(seq, "the seq is no number above 0")?;
            return Ok(When::At(AsOf::Seq(Seq(seq))));
        }
        if let Some(day) = text.strip_prefix("day:") {
            return TradingDay::parse(day).map(When::Close).ok_or("the day is no YYYY-MM-DD");
        }
        if let Some(version) = text.strip_prefix('v') {
            return number(version, "the version is no number above 0").map(When::Version);
        }
        let time = RecvTime::parse_rfc3339(text);
        time.map(|time| When::At(AsOf::Time(time))).ok_or("the moment cannot be read")
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.symbol, self.family)?;
        match self.when {
            When::Version(version) => write!(f, "@v{version}")?,
            When::At(AsOf::Head) => {}
            When::At(AsOf::Seq(seq)) => write!(f, "@seq:{seq}")?,
            When::At(AsOf::Time(time)) => write!(f, "@{}", time.to_rfc3339())?,
            When::Close(day) => write!(f, "@day:{day}")?,
        }
        self.profile.as_ref().map_or(Ok(()), |profile| write!(f, "+{profile}"))
    }
}

/// What stands at a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// Its header; of a what-if, the one that it would have had.
    pub header: Header,
    /// Its body.
    pub body: Bytes,
    /// The moment whose market it was made of.
    pub moment: Moment,
}

/// One contract's part in a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct CellPart {
    /// The contract.
    pub ticker: Box<str>,
    /// Expiration date.
    pub expiry: String,
    /// Strike.
    pub strike: f64,
    /// What it adds, in the cell's unit; `None` where that is unknown.
    pub value: Option<f64>,
}

/// One contract's part in a cell before and after.
#[derive(Clone, Debug, PartialEq)]
pub struct PartChange {
    /// The contract.
    pub ticker: Box<str>,
    /// Expiration date.
    pub expiry: String,
    /// Strike.
    pub strike: f64,
    /// What it added; `None` where it added nothing that is known.
    pub before: Option<f64>,
    /// What it adds.
    pub after: Option<f64>,
}

impl PartChange {
    /// After minus before; what is not there counts as nothing here.
    #[must_use]
    pub fn change(&self) -> f64 {
        self.after.unwrap_or(0.0) - self.before.unwrap_or(0.0)
    }
}

/// A cell that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct DiffedCell {
    /// Where, and both values.
    pub change: CellChange,
    /// The contracts behind it, biggest change first; empty where nobody can
    /// say which they are.
    pub parts: Vec<PartChange>,
}

/// Two points side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Diffed {
    /// The one before.
    pub before: Said,
    /// The one after.
    pub after: Said,
    /// Cells that differ.
    pub total: usize,
    /// The first of them, biggest change first.
    pub cells: Vec<DiffedCell>,
}

/// What a backend says of points.
pub trait Points {
    /// What stands at a point, with its body.
    ///
    /// # Errors
    /// When there is nothing, or a profile is unknown; damage.
    fn said(&self, point: &Point) -> Result<Said, BackendError>;

    /// The header that a point names, as recorded.
    ///
    /// # Errors
    /// When there is none; damage.
    fn header_at(&self, point: &Point) -> Result<Header, BackendError>;

    /// The contracts behind some cells of what was said, in the order of the
    /// paths; empty for cells of which nobody can say.
    ///
    /// # Errors
    /// Damage.
    fn behind(&self, said: &Said, paths: &[&str]) -> Result<Vec<Vec<CellPart>>, BackendError>;

    /// Headers of the artifacts that an artifact was made of: those that a view
    /// has read, none for a model.
    ///
    /// # Errors
    /// Damage.
    fn inputs(&self, header: &Header) -> Result<Vec<Header>, BackendError>;
}

/// What differs between two points. At most `cells_max` cells are told, with at
/// most `parts_max` contracts each.
///
/// # Errors
/// See [`Points::said`]; and when a body is no JSON.
pub fn diff_points<P: Points + ?Sized>(
    points: &P,
    before: &Point,
    after: &Point,
    cells_max: usize,
    parts_max: usize,
) -> Result<Diffed, BackendError> {
    let (before, after) = (points.said(before)?, points.said(after)?);
    let mut changes = diff::diff_bodies(&before.body, &after.body)
        .map_err(|e| BackendError::Precondition(format!("{e}: it has no cells to compare")))?;
    let total = changes.len();
    changes.truncate(cells_max);
    let paths: Vec<&str> = match parts_max {
        0 => Vec::new(),
        _ => changes.iter().map(|c| c.path.as_str()).collect(),
    };
    let sides = [points.behind(&before, &paths)?, points.behind(&after, &paths)?];
    let [mut old, mut new] = sides.map(Vec::into_iter);
    let cells = changes
        .into_iter()
        .map(|change| {
            let (old, new) = (old.next().unwrap_or_default(), new.next().unwrap_or_default());
            DiffedCell { change, parts: joined(old, new, parts_max) }
        })
        .collect();
    Ok(Diffed { before, after, total, cells })
}

/// A version on the way back.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Its header; it names the events that it had seen and the version before
    /// had not.
    pub header: Header,
    /// Headers of what it was made of, where it is a view's.
    pub inputs: Vec<Header>,
    /// Whether the version before is the one that it names; `None` where there
    /// is none, or nobody has it any more.
    pub follows: Option<bool>,
}

/// An artifact and up to `depth - 1` versions before it, newest first.
///
/// # Errors
/// When there is no such artifact, or it is only supposed; damage.
pub fn lineage<P: Points + ?Sized>(
    points: &P,
    point: &Point,
    depth: usize,
) -> Result<Vec<Step>, BackendError> {
    if let Some(profile) = &point.profile {
        let why = format!("what {profile} would have said was never recorded: it has no lineage");
        return Err(BackendError::Precondition(why));
    }
    let mut at = Some(points.header_at(point)?);
    let mut steps = Vec::new();
    while let Some(header) = at.take().filter(|_| steps.len() < depth) {
        let before = When::Version(header.version.saturating_sub(1));
        let before = Point { when: before, ..point.clone() };
        at = match header.version {
            0 | 1 => None,
            _ => match points.header_at(&before) {
                Ok(before) => Some(before),
                // Retention has taken it.
                Err(BackendError::Unknown { .. }) => None,
                Err(error) => return Err(error),
            },
        };
        let follows = at.as_ref().map(|before| before.hash() == header.previous);
        steps.push(Step { inputs: points.inputs(&header)?, header, follows });
    }
    Ok(steps)
}

/// Contracts of both sides, biggest change first; those that add the same on
/// both sides are no reason for a change.
fn joined(before: Vec<CellPart>, after: Vec<CellPart>, max: usize) -> Vec<PartChange> {
    let mut parts: BTreeMap<Box<str>, PartChange> = BTreeMap::new();
    for (is_after, part) in
        before.into_iter().map(|p| (false, p)).chain(after.into_iter().map(|p| (true, p)))
    {
        let CellPart { ticker, expiry, strike, value } = part;
        let change = parts.entry(ticker.clone()).or_insert_with(|| PartChange {
            ticker,
            expiry,
            strike,
            before: None,
            after: None,
        });
        if is_after {
            change.after = value;
        } else {
            change.before = value;
        }
    }
    let mut parts: Vec<PartChange> = parts.into_values().filter(|p| p.before != p.after).collect();
    parts.sort_by(|a, b| b.change().abs().total_cmp(&a.change().abs()));
    parts.truncate(max);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_read_as_they_are_written() {
        for text in [
            "SPX/gex",
            "SPX/gex@v12",
            "SPX/gex@seq:1200",
            "SPX/gex@day:2015-12-24",
            "SPX/gex@2015-12-24T18:00:00.000000000Z",
            "SPX/gex@v3+gex/naive-oi-cumulative@1",
            "SPX/levels@day:2015-12-24+gex/inverse-oi@1",
        ] {
            assert_eq!(Point::parse(text).expect(text).to_string(), text);
        }
        let offset = Point::parse("SPX/gex@2015-12-24T18:00:00+00:00");
        let utc = Point::parse("SPX/gex@2015-12-24T18:00:00Z").expect("a time");
        assert!(offset.is_err() || offset == Ok(utc), "an offset is no profile");
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        for (text, why) in [
            ("SPX", "no family"),
            ("/gex@v1", "must be given"),
            ("SPX/gex@v0", "above 0"),
            ("SPX/gex@vv", "above 0"),
            ("SPX/gex@seq:-1", "the seq"),
            ("SPX/gex@day:yesterday", "YYYY-MM-DD"),
            ("SPX/gex@noon", "the moment cannot be read"),
        ] {
            let told = Point::parse(text).expect_err(text).to_string();
            assert!(told.contains(why) && told.contains("SYMBOL/FAMILY@WHEN"), "{told}");
        }
    }

    #[test]
    fn contracts_are_joined_by_ticker_and_equal_ones_are_no_reason() {
        let part = |ticker: &str, value| CellPart {
            ticker: ticker.into(),
            expiry: "2026-08-19".to_owned(),
            strike: 1.0,
            value,
        };
        let before = vec![part("A", Some(1.0)), part("B", Some(2.0)), part("C", Some(5.0))];
        let after = vec![part("A", Some(1.0)), part("B", Some(-4.0)), part("D", Some(3.0))];
        let found = joined(before, after, 10);
        let told: Vec<_> = found.iter().map(|p| (&*p.ticker, p.before, p.after)).collect();
        assert_eq!(
            told,
            [("B", Some(2.0), Some(-4.0)), ("C", Some(5.0), None), ("D", None, Some(3.0)),]
        );
        assert_eq!(joined(Vec::new(), vec![part("D", Some(3.0)); 1], 0), []);
    }
}
