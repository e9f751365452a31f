//! Opening: from what the store holds to what the handle knows.
//!
//! Nothing is repaired here; what is there is synced. Summaries and definitions give everything about
//! pages, so that no page is decoded; frames are decoded, because they are the
//! growing end; the watermark says what must be there. Whatever does not fit
//! is refused with its place.
//!
//! | meta | events | HEAD | decision |
//! |---|---|---|---|
//! | none | none | any | a new journal: write meta, then HEAD |
//! | none | some | any | damaged |
//! | newer | any | any | refused |
//! | ok | none | missing | crashed while being created: write HEAD |
//! | ok | some | missing | damaged |
//! | ok | any | no whole slot | damaged |
//! | ok | end before HEAD | ok | acknowledged loss |
//! | ok | other hash at HEAD | ok | damaged |
//! | ok | hash agrees at HEAD | ok | open |

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::day::Calendar;
use crate::failpoint::hit;
use crate::format::canon::{Rows, u32_at};
use crate::format::cut::Cut;
use crate::format::definitions::{self, Definition};
use crate::format::page::Decoder;
use crate::format::running::{self, Running};
use crate::format::summary::PageSummary;
use crate::limits::{PAGE_EVENTS, SCAN_PAIRS};
use crate::open::watermark::Mark;
use crate::read::index::Index;
use crate::store::{Batch, Durability, Pair, Store, StoreError, Table};
use crate::units::{Address, Seq};
use crate::write::tail::{self, Tail};
use crate::{OpenError, ReadError, format::frame, keys, read::reader};

/// Newest format of the store as a whole.
pub(crate) const FORMAT: u32 = 2;
const MAGIC: &[u8; 8] = b"ORRYMETA";

/// What opening found.
pub(crate) struct Recovered {
    pub calendar: Calendar,
    /// Format of the store, at most [`FORMAT`].
    pub format: u32,
    pub index: Index,
    pub tail: Tail,
}

/// Reads everything that the handle needs.
pub(crate) fn recover(
    store: &Arc<dyn Store>,
    wanted: Option<Calendar>,
    path: &Path,
) -> Result<Recovered, OpenError> {
    let (calendar, format) = meta(store.as_ref(), wanted, path)?;
    let damaged =
        |what: &'static str, why: String| OpenError::Damaged { path: path.to_owned(), what, why };
    let mut index = Index::new();
    let mut tail = Tail::new(store.clone(), calendar);

    let mut definitions = pairs(store.as_ref(), keys::DEFINITIONS, Seq::BEFORE_FIRST);
    for pair in pairs(store.as_ref(), keys::SUMMARIES, Seq::BEFORE_FIRST) {
        let (key, value) = pair?;
        let why = |why: String| damaged("a page summary", format!("{why} (key {key:02x?})"));
        let (summary, _) = PageSummary::decode(&value).map_err(why)?;
        let expected = tail.last().0.next();
        if Seq::from_key(&key) != Some(summary.first) || summary.first < expected {
            return Err(why("stored under the key of another page".into()));
        }
        if summary.first > expected {
            let to = Seq(summary.first.0 - 1);
            return Err(ReadError::Missing { from: expected, to }.into());
        }
        if summary.first_recv < tail.last().1 || summary.last_recv < summary.first_recv {
            return Err(why("its time runs backwards".into()));
        }
        if summary.tally.definitions() > 0 {
            let list = page_definitions(definitions.next(), &summary)
                .map_err(|why| damaged("a page's definitions", why))?;
            adopt(store.as_ref(), &list, &mut index, &mut tail, path)?;
        }
        tail.adopt_page(&summary);
        index.count_sources(summary.tally.sources().map(|(id, n)| (id.0, n)));
        index.pages.push(Arc::new(summary));
    }
    if definitions.next().is_some() {
        return Err(damaged("a page's definitions", "without a page summary".into()));
    }

    if let Some(record) = store.get(keys::META, keys::CUT_KEY)? {
        let cut =
            Cut::decode(&record).map_err(|why| damaged("the record of a drop", why.into()))?;
        // A copy that was broken off may end before it.
        let beyond = index.pages.last().is_none_or(|p| p.last() < cut.last);
        if !beyond && index.pages.iter().all(|p| p.last() != cut.last) {
            return Err(damaged("the record of a drop", "it names no page's end".into()));
        }
        index.cut = Some(cut);
    }

    for pair in pairs(store.as_ref(), keys::FRAMES, Seq::BEFORE_FIRST) {
        let (key, value) = pair?;
        let why = |why: String| damaged("a frame", format!("{why} (key {key:02x?})"));
        let (label, rows) = frame::decode(&value).map_err(why)?;
        let expected = tail.last().0.next();
        if Seq::from_key(&key) != Some(label.first) || label.first < expected {
            return Err(why("stored under the key of another frame".into()));
        }
        if label.first > expected {
            let to = Seq(label.first.0 - 1);
            return Err(ReadError::Missing { from: expected, to }.into());
        }
        tail.adopt_frame(label, rows).map_err(why)?;
    }
    let open = tail.open_definitions();
    adopt(store.as_ref(), &open, &mut index, &mut tail, path)?;
    index.open = tail.open_summary();
    if let Some(open) = &index.open {
        let counts: Vec<_> = open.summary.tally.sources().map(|(id, n)| (id.0, n)).collect();
        index.count_sources(counts.into_iter());
    }
    // A process that was killed may have written what it did not sync. Whoever
    // reads from now on may tell others of it, so it must stay.
    store.sync()?;
    Ok(Recovered { calendar, format, index, tail })
}

/// Holds what was found against the acknowledged watermark.
pub(crate) fn check(
    mark: &Mark,
    store: &dyn Store,
    found: &Recovered,
    path: &Path,
) -> Result<(), OpenError> {
    let end = found.tail.last().0;
    if mark.seq > end {
        return Err(OpenError::AcknowledgedLoss { from: end.next(), to: mark.seq });
    }
    let open_first = found.index.open.as_ref().map_or(end.next(), |o| o.summary.first);
    // The chain of the pages that were sealed when the mark was made, then the
    // rows behind them up to the mark. A page that a day's end makes short is
    // sealed by the event after it, so at its own last event it was open still.
    let sealed = |p: &PageSummary| {
        p.last() < mark.seq || (p.last() == mark.seq && p.count as usize == PAGE_EVENTS)
    };
    let whole = found.index.pages.partition_point(|p| sealed(p));
    let pages = found.index.pages.get(..whole).unwrap_or_default();
    let chain = pages.iter().fold(Address::default(), |c, p| running::chain(c, p.address));
    let mut at_mark = Running::behind(chain);
    let mut decoder = Decoder::default();
    let (first, rows) = match found.index.pages.get(whole) {
        Some(page) if page.first <= mark.seq => {
            (page.first, reader::page_rows(store, page, &mut decoder)?.1)
        }
        _ => (open_first, found.tail.open_rows()),
    };
    let count = (mark.seq.0 + 1).saturating_sub(first.0) as usize;
    for row in Rows::new(rows).take(count).flatten() {
        at_mark.rows(row.bytes);
    }
    if at_mark.hash() == mark.running {
        return Ok(());
    }
    Err(OpenError::Damaged {
        path: path.to_owned(),
        what: "the journal",
        why: format!(
            "the events up to {} are not those that were acknowledged; restore it from a copy",
            mark.seq
        ),
    })
}

/// Makes an older journal one of the newest format. What is stored already
/// stays as it is, because every older version of it can be read; what is
/// written from now on cannot be read by older readers, and the mark says so
/// before the first of it is there.
pub(crate) fn upgrade(store: &dyn Store, found: &Recovered) -> Result<(), OpenError> {
    if found.format < FORMAT {
        tracing::info!(from = found.format, to = FORMAT, "the journal has the newest format now");
        let mut batch = Batch::default();
        batch.put(keys::META, keys::META_KEY, encode_meta(found.calendar));
        hit("meta.before");
        store.commit(batch, Durability::Disk)?;
        hit("meta.after");
    }
    Ok(())
}

/// Calendar and format of the store; a new store is given them.
fn meta(
    store: &dyn Store,
    wanted: Option<Calendar>,
    path: &Path,
) -> Result<(Calendar, u32), OpenError> {
    let damaged = |why: &str| OpenError::Damaged {
        path: path.to_owned(),
        what: "the format mark",
        why: why.into(),
    };
    let Some(value) = store.get(keys::META, keys::META_KEY)? else {
        for table in keys::ALL {
            if !store.scan(table, &[], &[], false, 1)?.is_empty() {
                return Err(damaged("missing, although there are data"));
            }
        }
        let calendar = wanted.unwrap_or_default();
        let mut batch = Batch::default();
        batch.put(keys::META, keys::META_KEY, encode_meta(calendar));
        hit("meta.before");
        store.commit(batch, Durability::Disk)?;
        hit("meta.after");
        return Ok((calendar, FORMAT));
    };
    let (found, has) = read_meta(&value).map_err(damaged)?;
    if found > FORMAT {
        return Err(OpenError::NewerFormat { path: path.to_owned(), found, known: FORMAT });
    }
    let has = has.ok_or_else(|| damaged("an unknown calendar"))?;
    match wanted {
        Some(wanted) if wanted != has => Err(OpenError::Calendar { has, wanted }),
        _ => Ok((has, found)),
    }
}

/// Format and calendar of a format mark.
pub(crate) fn read_meta(value: &[u8]) -> Result<(u32, Option<Calendar>), &'static str> {
    let (plain, hash) = value.split_at_checked(16).ok_or("too short")?;
    if blake3::hash(plain).as_bytes() != hash || plain.get(..8) != Some(MAGIC) {
        return Err("it does not match its hash");
    }
    let tag = plain.get(12).copied().unwrap_or_default();
    Ok((u32_at(plain, 8).unwrap_or_default(), Calendar::from_tag(tag)))
}

/// 0 magic, 8 format u32, 12 calendar u8, 13 zeros, 16 blake3 of bytes 0..16.
pub(crate) fn encode_meta(calendar: Calendar) -> Vec<u8> {
    let mut out = Vec::with_capacity(48);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&FORMAT.to_le_bytes());
    out.extend_from_slice(&[calendar.tag(), 0, 0, 0]);
    let hash = blake3::hash(&out);
    out.extend_from_slice(hash.as_bytes());
    out
}

/// The definitions that belong to a page, given the next stored ones.
pub(crate) fn page_definitions(
    next: Option<Result<Pair, StoreError>>,
    page: &PageSummary,
) -> Result<Vec<Definition>, String> {
    let first = page.first;
    let missing = || format!("those of the page at seq {first} are missing");
    let (key, value) = next.ok_or_else(missing)?.map_err(|e| e.to_string())?;
    if Seq::from_key(&key) != Some(first) {
        return Err(missing());
    }
    let (label, list) =
        definitions::decode(&value).map_err(|why| format!("{why} (page at seq {first})"))?;
    if label.first != first || label.count != page.tally.definitions() || label.day != page.day {
        return Err(format!("those of the page at seq {first} are another page's"));
    }
    Ok(list)
}

/// Takes names over, in the order of their events.
fn adopt(
    store: &dyn Store,
    list: &[Definition],
    index: &mut Index,
    tail: &mut Tail,
    path: &Path,
) -> Result<(), OpenError> {
    for definition in list {
        let name: Bytes = tail::resolve(store, &definition.name)?;
        let given = index.names(definition.kind).and_then(|names| names.define(&name));
        let adopted = tail.adopt_name(definition.kind, definition.id, &name);
        if given != Some(definition.id) || !adopted {
            return Err(OpenError::Damaged {
                path: path.to_owned(),
                what: "the order of definitions",
                why: format!("{} {} is not the next id", definition.kind.name(), definition.id),
            });
        }
    }
    Ok(())
}

/// All pairs of a table from a seq on, read piece by piece.
pub(crate) fn pairs(
    store: &dyn Store,
    table: Table,
    from: Seq,
) -> impl Iterator<Item = Result<Pair, StoreError>> {
    let mut from = Some(from.to_key().to_vec());
    let mut piece = Vec::new().into_iter();
    std::iter::from_fn(move || {
        if let Some(pair) = piece.next() {
            return Some(Ok(pair));
        }
        let start = from.take()?;
        match store.scan(table, &start, &[], false, SCAN_PAIRS) {
            Err(e) => Some(Err(e)),
            Ok(pairs) => {
                if pairs.len() == SCAN_PAIRS {
                    from = pairs.last().map(|(key, _)| {
                        let mut next: Vec<u8> = key.to_vec();
                        next.push(0);
                        next
                    });
                }
                piece = pairs.into_iter();
                piece.next().map(Ok)
            }
        }
    })
}
