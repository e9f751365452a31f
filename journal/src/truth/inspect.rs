//! A whole data directory looked at without opening it: nothing is written,
//! and what is damaged does not hide what lies behind it.
//!
//! Three looks: at the files and their checksums, at what can be read out of
//! them (`raw`), and at the events that this makes. All findings of all three
//! are told.

pub(crate) mod parts;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use self::parts::Part;
use crate::day::Calendar;
use crate::files::Disk;
use crate::format::canon::Rows;
use crate::format::page::Decoder;
use crate::format::running::{self, Running};
use crate::format::summary::PageSummary;
use crate::limits::PAGE_EVENTS;
use crate::open::preflight::{self, Damage, Verdict};
use crate::open::recover::{self, FORMAT};
use crate::open::watermark::{self, MarkError};
use crate::store::Store;
use crate::truth::loss::{Loss, LossKind};
use crate::truth::raw::{self, RawStore, Scar};
use crate::truth::verify::{Check, DamageKind, Finding, VerifyReport};
use crate::units::{Address, Seq, TradingDay};
use crate::{OpenError, keys, open::lock, open::mend, read::reader, truth::swap};

/// What `HEAD` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HeadState {
    /// Events up to here were acknowledged.
    Acknowledged {
        /// The last of them.
        seq: Seq,
        /// How many writers there have been.
        epoch: u64,
    },
    /// It is not there.
    Missing,
    /// It cannot be read.
    Damaged(String),
}

/// What is being looked at, for a progress bar.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stage {
    /// Checksums of the files; in bytes.
    Files,
    /// What lies in them; in bytes.
    Contents,
    /// The events; in events.
    Events,
}

/// An end that a crash left.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Torn {
    /// The log.
    pub file: PathBuf,
    /// Where the unfinished write begins.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
}

/// What a data directory is like.
#[derive(Clone, Debug)]
pub struct Examination {
    /// Whether there is a journal at all.
    pub exists: bool,
    /// Its calendar, if that can be read.
    pub calendar: Option<Calendar>,
    /// Its format, if that is newer than what is known here.
    pub newer: Option<u32>,
    /// The acknowledged watermark.
    pub head: HeadState,
    /// Why the last writer failed, if it did.
    pub dirty: Option<String>,
    /// An unfinished write at the end, which the next opening cuts off.
    pub torn: Option<Torn>,
    /// Damage that costs nothing, such as that of one of the two slots of HEAD.
    pub harmless: Vec<Damage>,
    /// The last event that anything tells of.
    pub end: Seq,
    /// The days of which anything tells.
    pub days: Vec<TradingDay>,
    /// Stretches that cannot be read; accepted losses left out.
    pub unreadable: Vec<(Seq, Seq)>,
    /// Acknowledged events behind the end: they are gone.
    pub lost: Option<(Seq, Seq)>,
    /// Counts, findings, accepted losses.
    pub report: VerifyReport,
}

impl Examination {
    /// Whether nothing is wrong. An unfinished end and losses that were
    /// accepted are not wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.report.findings.is_empty()
    }
}

/// Looks at the journal in `dir/journal`; at the events of one day only, if one
/// is named. Writers are kept away meanwhile.
///
/// # Errors
/// When a writer has it open, or files cannot be read. Damage is a finding, not
/// an error.
pub fn examine(
    dir: &Path,
    day: Option<TradingDay>,
    progress: &mut dyn FnMut(Stage, u64, u64),
) -> Result<Examination, OpenError> {
    let _lock = lock::share(dir)?;
    examine_folder(&dir.join("journal"), day, progress)
}

/// As [`examine`], of the folder that holds the database; without lock.
pub(crate) fn examine_folder(
    folder: &Path,
    day: Option<TradingDay>,
    progress: &mut dyn FnMut(Stage, u64, u64),
) -> Result<Examination, OpenError> {
    let folder = folder.to_owned();
    let io = |source| OpenError::Io { path: folder.clone(), source };
    let database = folder.join("db");
    let mut out = Examination {
        exists: folder.try_exists().map_err(io)?,
        calendar: None,
        newer: None,
        head: HeadState::Missing,
        dirty: mend::dirty_why(&folder).map_err(io)?,
        torn: None,
        harmless: Vec::new(),
        end: Seq::BEFORE_FIRST,
        days: Vec::new(),
        unreadable: Vec::new(),
        lost: None,
        report: VerifyReport::default(),
    };
    let mark = match watermark::read(&Disk, &folder.join("HEAD")) {
        Ok(mark) => {
            out.head = HeadState::Acknowledged { seq: mark.seq, epoch: mark.epoch };
            Some(mark)
        }
        Err(MarkError::Missing) => None,
        Err(MarkError::Damaged(why)) => {
            out.head = HeadState::Damaged(why);
            None
        }
        Err(MarkError::Io(source)) => return Err(OpenError::Io { path: folder, source }),
    };
    if swap::is_pending(&folder).map_err(io)? {
        let what = "a repair was interrupted when all was built; the next opening, or `orrery \
                    repair`, puts it in place"
            .to_owned();
        let found = file_finding(DamageKind::File, folder.join("repair/READY"), 0, what);
        out.report.findings.push(found);
        return Ok(out);
    }
    if !database.try_exists().map_err(io)? {
        if let Some(mark) = mark.filter(|mark| mark.seq >= Seq::FIRST) {
            out.lost = Some((Seq::FIRST, mark.seq));
            let what = "the database is missing".to_owned();
            out.report.findings.push(file_finding(DamageKind::File, database, 0, what));
        }
        return Ok(out);
    }
    let before = preflight::inspect(&folder)?;
    let mut contents = |n, of| progress(Stage::Contents, n, of);
    let raw = raw::read(&database, before.end_of_log(), &mut contents).map_err(io)?;
    out.harmless = before.harmless;
    if let Some(value) = raw.get(keys::META, keys::META_KEY)?
        && let Ok((format, _)) = recover::read_meta(&value)
        && format > FORMAT
    {
        out.newer = Some(format);
        return Ok(out);
    }
    let parts = parts::parts(&[&raw]);
    out.end = parts.last().map_or(Seq::BEFORE_FIRST, |part| part.events().1);
    let days: BTreeSet<_> = parts.iter().filter_map(part_day).collect();
    out.days = days.into_iter().collect();

    let mut check = Check::new(&raw, Some(&raw));
    let created = !matches!(out.head, HeadState::Missing) || !parts.is_empty();
    let survey = preflight::survey(&database, &mut |n, of| progress(Stage::Files, n, of));
    let survey = if created { survey.map_err(io)? } else { Vec::new() };
    let files = files(&raw, survey, before.verdict, &parts, &mut out.torn);
    check.report.findings.extend(files);
    calendar(&raw, &mut check, &mut out, created);
    for part in &parts {
        let events = part.events();
        progress(Stage::Events, events.1.0, out.end.0);
        if day.is_some() && part_day(part).is_some_and(|of| Some(of) != day) {
            continue;
        }
        check_part(&raw, &mut check, part)?;
    }
    strangers(&raw, &parts, &mut check);
    check.record();
    let ends: BTreeSet<Seq> = parts.iter().map(|part| part.events().1).collect();
    check.record_fits(out.end, &ends);
    if !matches!(out.head, HeadState::Acknowledged { .. }) && !parts.is_empty() {
        let why = match &out.head {
            HeadState::Damaged(why) => why.clone(),
            _ => "it is missing".to_owned(),
        };
        let what = format!("{why}, so nobody can say whether acknowledged events are missing");
        let found = file_finding(DamageKind::Head, folder.join("HEAD"), 0, what);
        check.report.findings.push(found);
    }
    if let Some(mark) = mark {
        if mark.seq > out.end {
            let (from, to) = (out.end.next(), mark.seq);
            out.lost = Some((from, to));
            let what = "acknowledged, as HEAD says, and nowhere to be found".to_owned();
            check.find(DamageKind::Missing, (from, to), None, what);
        } else if running_at(&raw, &parts, mark.seq).is_some_and(|hash| hash != mark.running) {
            let what =
                format!("the events up to {} are not those that were acknowledged", mark.seq);
            let found = file_finding(DamageKind::Head, folder.join("HEAD"), 0, what);
            check.report.findings.push(Finding { last: mark.seq, ..found });
        }
    }
    out.unreadable = joined(check.unreadable);
    out.report = check.report;
    Ok(out)
}

fn part_day(part: &Part) -> Option<TradingDay> {
    match part {
        Part::Page(page) | Part::Bare(page) => Some(page.day),
        Part::Frame { label, .. } => Some(label.day),
        Part::Nothing { .. } => None,
    }
}

pub(crate) fn file_finding(kind: DamageKind, file: PathBuf, offset: u64, what: String) -> Finding {
    let (first, last) = (Seq::BEFORE_FIRST, Seq::BEFORE_FIRST);
    Finding { kind, file: Some(file), offset, first, last, day: None, what }
}

/// Format mark and calendar.
fn calendar(raw: &RawStore, check: &mut Check<'_>, out: &mut Examination, created: bool) {
    let mut marks = raw.candidates(keys::META, keys::META_KEY).into_iter();
    let mark = marks.next().ok_or("it is missing").and_then(|value| recover::read_meta(&value));
    match mark {
        Ok((_, Some(calendar))) => out.calendar = Some(calendar),
        Err(_) if !created => {}
        other => {
            let why = other.err().unwrap_or("an unknown calendar");
            let nowhere = (Seq::BEFORE_FIRST, Seq::BEFORE_FIRST);
            let at = (keys::META, keys::META_KEY);
            let what = format!("the format mark: {why}");
            check.find_at(DamageKind::Format, nowhere, None, at, what);
        }
    }
}

/// Findings about files, one for each damaged place.
fn files(
    raw: &RawStore,
    survey: Vec<Damage>,
    verdict: Verdict,
    parts: &[Part],
    torn: &mut Option<Torn>,
) -> Vec<Finding> {
    let mut scars = raw.scars.clone();
    match &verdict {
        Verdict::TornTail { file, offset, bytes } => {
            *torn = Some(Torn { file: file.clone(), offset: *offset, bytes: *bytes });
        }
        _ => {
            scars.extend(raw.unfinished.clone().map(|(file, offset, bytes)| Scar {
                offset,
                bytes,
                ..Scar::whole(file, "the log ends with something that no crash leaves")
            }));
        }
    }
    // A place inside of a file says more than the file.
    let whole: Vec<_> = survey
        .into_iter()
        .filter(|damage| !scars.iter().any(|scar| scar.file == damage.file))
        .map(|d| file_finding(DamageKind::File, d.file, d.offset, d.what))
        .collect();
    let mut found: Vec<_> = scars
        .iter()
        .map(|scar| {
            let (first, last) = concerned(scar, parts);
            let kind = DamageKind::Bytes;
            let what = match scar.bytes {
                0 => scar.what.clone(),
                n => format!("{} ({n} bytes)", scar.what),
            };
            let file = file_finding(kind, scar.file.clone(), scar.offset, what);
            Finding { first, last, day: day_of((first, last), parts), ..file }
        })
        .chain(whole)
        .collect();
    if let Verdict::Corrupt { file, offset, what, .. } = verdict
        && !found
            .iter()
            .any(|f| f.file.as_ref() == Some(&file) && (offset == 0 || f.offset == offset))
    {
        found.push(file_finding(DamageKind::Bytes, file, offset, what));
    }
    found
}

/// The one day that events are of: as what is left of them says, else as what is
/// before and behind them says.
fn day_of((first, last): (Seq, Seq), parts: &[Part]) -> Option<TradingDay> {
    if last == Seq::BEFORE_FIRST {
        return None;
    }
    let (before, rest) = parts.split_at(parts.partition_point(|part| part.events().1 < first));
    let (inside, behind) = rest.split_at(rest.partition_point(|part| part.events().0 <= last));
    let mut days: BTreeSet<_> = inside.iter().map(part_day).collect();
    if inside.is_empty() || days.remove(&None) {
        days.extend([before.last().and_then(part_day), behind.first().and_then(part_day)]);
    }
    days.first().copied().flatten().filter(|_| days.len() == 1)
}

/// The events that lie, at most, in a damaged place: those between the keys
/// around it.
fn concerned(scar: &Scar, parts: &[Part]) -> (Seq, Seq) {
    if let Some(events) = scar.events {
        return events;
    }
    let by_seq = [keys::PAGES, keys::SUMMARIES, keys::DEFINITIONS, keys::FRAMES];
    if !scar.table.is_some_and(|table| by_seq.contains(&table)) {
        return (Seq::BEFORE_FIRST, Seq::BEFORE_FIRST);
    }
    let at = |key: &Option<Bytes>| key.as_ref().and_then(|key| Seq::from_key(key));
    let end = |seq: Seq| {
        let part = parts.iter().find(|part| part.events().0 == seq);
        part.map_or(seq, |part| part.events().1)
    };
    let first = at(&scar.between.0).map_or(Seq::FIRST, |seq| end(seq).next());
    let behind = parts.last().map_or(Seq::BEFORE_FIRST, |part| part.events().1);
    let last = at(&scar.between.1).map_or(behind, |seq| Seq(seq.0.saturating_sub(1)));
    (first, last.max(first))
}

fn check_part(raw: &RawStore, check: &mut Check<'_>, part: &Part) -> Result<(), OpenError> {
    let (events, day) = (part.events(), part_day(part));
    let key = events.0.to_key();
    match part {
        Part::Page(page) => {
            let shown = raw.get(keys::SUMMARIES, &key)?;
            let shown = shown.and_then(|value| PageSummary::decode(&value).ok());
            if shown.is_none_or(|(summary, _)| summary != *page) {
                let what = "the page's summary can be read in an older copy only".to_owned();
                check.find_at(DamageKind::Summary, events, day, (keys::SUMMARIES, &key), what);
            }
            page_or_gone(check, page)?;
        }
        Part::Bare(page) => {
            let what = "the page's summary is missing or damaged; the page is whole".to_owned();
            check.find_at(DamageKind::Summary, events, day, (keys::SUMMARIES, &key), what);
            page_or_gone(check, page)?;
        }
        Part::Frame { label, live } => {
            let stored = raw.candidates(keys::FRAMES, key);
            let whole = stored.iter().find(|v| parts::frame_label(v, label.first).is_some());
            if let Some(stored) = whole {
                check.frame(label.first, stored, label.first, label.last());
            }
            if !live {
                let what = "the page is missing; its events are still in a log".to_owned();
                check.find_at(DamageKind::Page, events, day, (keys::FRAMES, &key), what);
            }
        }
        Part::Nothing { first, last } => {
            check.unreadable.push((*first, *last));
            let what = "neither a page, nor a summary, nor a frame of them can be read".to_owned();
            check.find_at(DamageKind::Missing, events, None, (keys::PAGES, &key), what);
        }
    }
    Ok(())
}

fn page_or_gone(check: &mut Check<'_>, page: &PageSummary) -> Result<(), OpenError> {
    match check.is_dropped(page.last()) {
        true => check.gone(page)?,
        false => check.page(page)?,
    }
    Ok(())
}

/// Whole values under keys where no page begins.
fn strangers(raw: &RawStore, parts: &[Part], check: &mut Check<'_>) {
    let begins: BTreeSet<Seq> = parts
        .iter()
        .filter(|part| matches!(part, Part::Page(_) | Part::Bare(_)))
        .map(|part| part.events().0)
        .collect();
    let tables = [
        (keys::PAGES, "a stored page"),
        (keys::SUMMARIES, "a page's summary"),
        (keys::DEFINITIONS, "a page's definitions"),
    ];
    for (table, what) in tables {
        for key in raw.keys(table) {
            let seq = Seq::from_key(&key).unwrap_or_default();
            // In a lost stretch nothing can be said of what is left.
            let lost = |part: &Part| {
                let (first, last) = part.events();
                matches!(part, Part::Nothing { .. }) && first <= seq && seq <= last
            };
            if raw.is_sound(table, &key) && !begins.contains(&seq) && !parts.iter().any(lost) {
                let what = format!("{what} belongs to no page");
                check.find_at(DamageKind::Stranger, (seq, seq), None, (table, &key), what);
            }
        }
    }
}

/// The running hash at a seq; `None` if what it goes over cannot be read.
pub(crate) fn running_at(raw: &RawStore, parts: &[Part], at: Seq) -> Option<Address> {
    let mut chain = Address::default();
    let mut decoder = Decoder::default();
    let mut rest = parts.iter().peekable();
    // As in `recover::check`: a page that the end of its day made short was
    // still open at its own last event.
    let sealed = |part: &Part| match part {
        Part::Page(page) | Part::Bare(page) => {
            page.last() < at || page.last() == at && page.count as usize == PAGE_EVENTS
        }
        _ => false,
    };
    while let Some(Part::Page(page) | Part::Bare(page)) = rest.next_if(|part| sealed(part)) {
        chain = running::chain(chain, page.address);
    }
    let mut at_mark = Running::behind(chain);
    for part in rest.take_while(|part| part.events().0 <= at) {
        let (first, last) = part.events();
        let count = (at.min(last).0 + 1 - first.0) as usize;
        let mut take = |rows: &[u8]| {
            Rows::new(rows).take(count).flatten().for_each(|row| at_mark.rows(row.bytes));
        };
        match part {
            Part::Page(page) | Part::Bare(page) => {
                take(reader::page_rows(raw, page, &mut decoder).ok()?.1);
            }
            Part::Frame { .. } => {
                let stored = raw.candidates(keys::FRAMES, first.to_key());
                take(stored.iter().find_map(|v| reader::frame_rows(v, first, last).ok())?.1);
            }
            Part::Nothing { .. } => return None,
        }
    }
    Some(at_mark.hash())
}

/// Stretches in order, neighbours put together.
pub(crate) fn joined(mut stretches: Vec<(Seq, Seq)>) -> Vec<(Seq, Seq)> {
    stretches.sort_unstable();
    let mut out: Vec<(Seq, Seq)> = Vec::new();
    for (first, last) in stretches {
        match out.last_mut() {
            Some(before) if first <= before.1.next() => before.1 = before.1.max(last),
            _ => out.push((first, last)),
        }
    }
    out
}

/// Accepted losses in the midst.
#[must_use]
pub fn holes(losses: &[Loss]) -> Vec<(Seq, Seq)> {
    let holes = losses.iter().filter(|loss| loss.kind == LossKind::Hole);
    holes.map(|loss| (loss.first, loss.last)).collect()
}
