//! Reading an export of JSON lines: the drafts that make the same journal again.
//!
//! The files of a day are merged by seq. Definitions are not drafts (a journal
//! writes them itself, at the same places); a source's text is handed out, because
//! it has to be known before its first event.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::vec;

use bytes::Bytes;
use orrery_journal::event::{
    Bar, ChainDraft, ChainRow, ChainRowDraft, Draft, DraftBody, ExerciseStyle, Gap, IndexValue,
    InstrumentRef, Kind, OptionRight, Quote, RefusalReason, Trade,
};
use orrery_journal::limits::BLOB_BYTES_MAX;
use orrery_journal::units::{InstrumentId, Price, RecvTime, Seq, SourceId, TradingDay, VendorTime};

use super::events::{right, style, tables};
use super::files::RowForm;
use super::json;
use super::manifest::{FORMAT, MANIFEST, Manifest};
use super::rows::files_of_day;
use super::table::{Cell, Table};

/// Why an export cannot be read.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum ReadBackError {
    #[error("cannot read {path}")]
    Io {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{path} is no list of an export that this orrery understands: {why}")]
    Manifest { path: PathBuf, why: String },
    #[error(
        "{path} is an export as {form:?}; an import needs JSON lines: \
         `orrery export --form jsonl`"
    )]
    Form { path: PathBuf, form: RowForm },
    #[error("{path} is an export of some events only; an import needs all of its days")]
    Partial { path: PathBuf },
    #[error("line {line} of {path} cannot be read: {why}")]
    Row { path: PathBuf, line: u64, why: String },
    #[error("{path} ends before event {seq}, or a file beside it is missing")]
    Missing { path: PathBuf, seq: Seq },
}

/// The list of an export that can be imported.
///
/// # Errors
/// See [`ReadBackError`].
pub fn manifest(folder: &Path) -> Result<Manifest, ReadBackError> {
    let path = folder.join(MANIFEST);
    let text =
        fs::read(&path).map_err(|source| ReadBackError::Io { path: path.clone(), source })?;
    let manifest: Manifest = serde_json::from_slice(&text)
        .map_err(|e| ReadBackError::Manifest { path: path.clone(), why: e.to_string() })?;
    if manifest.format != FORMAT {
        let why = format!("its format is {}, known is {FORMAT}", manifest.format);
        return Err(ReadBackError::Manifest { path, why });
    }
    if manifest.form != RowForm::Jsonl {
        return Err(ReadBackError::Form { path, form: manifest.form });
    }
    match manifest.all_events {
        true => Ok(manifest),
        false => Err(ReadBackError::Partial { path }),
    }
}

/// An event of an export.
#[derive(Debug)]
pub struct Recorded {
    /// Its place.
    pub seq: Seq,
    /// When it was taken.
    pub recv: RecvTime,
    /// Its kind.
    pub kind: Kind,
    /// What to do about it.
    pub what: What,
}

/// What an event of an export is to a new journal.
#[derive(Debug)]
pub enum What {
    /// To be appended; the source is the number in the exported journal.
    Draft(Box<Draft>),
    /// The next source, to be registered ahead of its first event.
    Source(String),
    /// Written by the journal itself, ahead of the next draft.
    Bookkeeping,
}

/// All events of an export, in order.
pub struct Events {
    root: PathBuf,
    manifest: Manifest,
    day: usize,
    lines: Vec<Lines>,
    contracts: Option<Lines>,
    /// The text of what did not fit the next event's columns.
    extension: Option<Bytes>,
    next: Seq,
}

impl Events {
    /// The events of a list that [`manifest`] has read.
    #[must_use]
    pub fn new(root: &Path, manifest: Manifest) -> Events {
        let next = Seq(manifest.first_seq);
        Events {
            root: root.to_path_buf(),
            manifest,
            day: 0,
            lines: Vec::new(),
            contracts: None,
            extension: None,
            next,
        }
    }

    /// The next event; `None` behind the last.
    ///
    /// # Errors
    /// See [`ReadBackError`].
    pub fn read_next(&mut self) -> Result<Option<Recorded>, ReadBackError> {
        if self.next > Seq(self.manifest.last_seq) {
            return Ok(None);
        }
        while self.manifest.days.get(self.day).is_some_and(|day| Seq(day.first_seq) <= self.next) {
            self.open_day()?;
        }
        let seq = self.next;
        let Some(lines) = self.lines.iter_mut().find(|lines| lines.seq() == Some(seq)) else {
            return Err(ReadBackError::Missing { path: self.root.clone(), seq });
        };
        let (kind, cells) = lines.take()?;
        let row = Row { cells: cells.into_iter() };
        let wrong = lines.wrong();
        let recorded =
            recorded(kind, row, &mut self.extension, &mut self.contracts).map_err(wrong)??;
        self.next = seq.next();
        Ok(Some(recorded))
    }

    fn open_day(&mut self) -> Result<(), ReadBackError> {
        let Some(day) = self.manifest.days.get(self.day) else { return Ok(()) };
        self.day += 1;
        (self.lines, self.contracts) = (Vec::new(), None);
        for (kind, file) in files_of_day(&self.manifest.files, &day.day) {
            let path = self.root.join(&file.path);
            match kind {
                Some(kind) => self.lines.push(Lines::open(path, Some(kind), tables::of(kind))?),
                None if file.table == tables::CHAIN_CONTRACT.name => {
                    self.contracts = Some(Lines::open(path, None, &tables::CHAIN_CONTRACT)?);
                }
                None => {}
            }
        }
        Ok(())
    }
}

/// A file's rows.
struct Lines {
    path: PathBuf,
    kind: Option<Kind>,
    table: &'static Table,
    file: BufReader<File>,
    number: u64,
    row: Option<Vec<Cell<'static>>>,
}

/// JSON may write a byte as six.
const LINE_BYTES_MAX: u64 = 6 * BLOB_BYTES_MAX as u64;

impl Lines {
    fn open(
        path: PathBuf,
        kind: Option<Kind>,
        table: &'static Table,
    ) -> Result<Lines, ReadBackError> {
        let file =
            File::open(&path).map_err(|source| ReadBackError::Io { path: path.clone(), source })?;
        let file = BufReader::with_capacity(1 << 18, file);
        let mut lines = Lines { path, kind, table, file, number: 0, row: None };
        lines.advance()?;
        Ok(lines)
    }

    fn wrong(&self) -> impl Fn(String) -> ReadBackError + use<> {
        let (path, line) = (self.path.clone(), self.number);
        move |why| ReadBackError::Row { path: path.clone(), line, why }
    }

    fn advance(&mut self) -> Result<(), ReadBackError> {
        let mut line = String::new();
        let read = (&mut self.file).take(LINE_BYTES_MAX).read_line(&mut line);
        let read = read.map_err(|source| ReadBackError::Io { path: self.path.clone(), source })?;
        self.number += 1;
        self.row = match read {
            0 => None,
            _ => Some(json::cells(self.table, &line).map_err(self.wrong())?),
        };
        Ok(())
    }

    /// The seq of the next row.
    fn seq(&self) -> Option<Seq> {
        match self.row.as_deref()?.first()? {
            Cell::U64(seq) => Some(Seq(*seq)),
            _ => None,
        }
    }

    fn take(&mut self) -> Result<(Option<Kind>, Vec<Cell<'static>>), ReadBackError> {
        let row = self.row.take().unwrap_or_default();
        self.advance()?;
        Ok((self.kind, row))
    }
}

/// The cells of a row, one after the other. They are of their columns' types, so
/// a wrong one reads as absent.
struct Row {
    cells: vec::IntoIter<Cell<'static>>,
}

impl Row {
    fn number(&mut self) -> Option<u64> {
        match self.cells.next() {
            Some(Cell::U64(value)) => Some(value),
            _ => None,
        }
    }

    fn small(&mut self) -> Option<u32> {
        self.number().and_then(|n| u32::try_from(n).ok())
    }

    fn exchange(&mut self) -> Result<Option<u16>, String> {
        let number = self.number().map(u16::try_from).transpose();
        number.map_err(|_| "an exchange is larger than any".to_owned())
    }

    fn flag(&mut self) -> bool {
        matches!(self.cells.next(), Some(Cell::Bool(true)))
    }

    fn float(&mut self) -> Option<f64> {
        match self.cells.next() {
            Some(Cell::F64(value)) => Some(value),
            _ => None,
        }
    }

    fn price(&mut self) -> Option<Price> {
        match self.cells.next() {
            Some(Cell::Price(units)) => Some(Price(units)),
            _ => None,
        }
    }

    fn time(&mut self) -> Option<i64> {
        match self.cells.next() {
            Some(Cell::Time(nanos)) => Some(nanos),
            _ => None,
        }
    }

    fn date(&mut self) -> TradingDay {
        match self.cells.next() {
            Some(Cell::Date(days)) => TradingDay(days),
            _ => TradingDay::default(),
        }
    }

    fn text(&mut self) -> Option<String> {
        match self.cells.next() {
            Some(Cell::Text(text)) => Some(text.into_owned()),
            _ => None,
        }
    }

    fn list(&mut self) -> Box<[u32]> {
        match self.cells.next() {
            Some(Cell::U32s(list)) => list.into_owned().into(),
            _ => Box::default(),
        }
    }

    /// A text, or bytes where it was none.
    fn blob(&mut self) -> Bytes {
        let text = self.text();
        match (text, self.cells.next()) {
            (Some(text), _) => text.into(),
            (None, Some(Cell::Bytes(bytes))) => bytes.into_owned().into(),
            _ => Bytes::new(),
        }
    }
}

type Outcome = Result<Result<Recorded, ReadBackError>, String>;

/// An event from its row; the outer error is about the row, the inner one about
/// the rows of a chain.
fn recorded(
    kind: Option<Kind>,
    mut row: Row,
    extension: &mut Option<Bytes>,
    contracts: &mut Option<Lines>,
) -> Outcome {
    let kind = kind.ok_or("not the row of an event")?;
    let seq = Seq(row.number().unwrap_or_default());
    let recv = RecvTime(row.time().unwrap_or_default());
    let vendor_time = row.time().map(VendorTime);
    let instrument = match row.text() {
        Some(ticker) => InstrumentRef::Ticker(ticker.into()),
        None => InstrumentRef::None,
    };
    // The number in the exported journal; the new one gives its own.
    row.number();
    let source = row.number().and_then(|id| u16::try_from(id).ok());
    let source = SourceId(source.ok_or("there are fewer sources than this one's number")?);
    let extended = row.flag();
    let done = |what| Ok(Ok(Recorded { seq, recv, kind, what }));
    let body = match kind {
        Kind::Quote => DraftBody::Quote {
            quote: Quote {
                bid: row.price(),
                ask: row.price(),
                bid_size: row.small(),
                ask_size: row.small(),
                vendor_seq: row.number(),
                bid_exchange: row.exchange()?,
                ask_exchange: row.exchange()?,
                conditions: 0,
            },
            conditions: row.list(),
        },
        Kind::Trade => DraftBody::Trade {
            trade: Trade {
                price: row.price().unwrap_or_default(),
                size: row.number().unwrap_or_default(),
                vendor_seq: row.number(),
                exchange: row.exchange()?,
                conditions: 0,
            },
            conditions: row.list(),
        },
        Kind::Bar => DraftBody::Bar(Box::new(Bar {
            start: VendorTime(row.time().unwrap_or_default()),
            end: VendorTime(row.time().unwrap_or_default()),
            open: row.price().unwrap_or_default(),
            high: row.price().unwrap_or_default(),
            low: row.price().unwrap_or_default(),
            close: row.price().unwrap_or_default(),
            volume: row.number(),
            vwap: row.price(),
            trades: row.number(),
            day_volume: row.number(),
            day_open: row.price(),
            day_vwap: row.price(),
            trade_size_mean: row.number(),
        })),
        Kind::IndexValue => {
            DraftBody::IndexValue(IndexValue { value: row.price().unwrap_or_default() })
        }
        Kind::ChainSnapshot => {
            let spot = row.price();
            let count = row.small().unwrap_or_default();
            let refused = row.small().unwrap_or_default();
            let latency_ns = row.number().unwrap_or_default();
            let pages = row.small().unwrap_or_default();
            let raw = row.blob();
            let rows = match chain(seq, count, contracts) {
                Ok(rows) => rows?,
                Err(refused) => return Ok(Err(refused)),
            };
            DraftBody::Chain(Box::new(ChainDraft { raw, spot, refused, latency_ns, pages, rows }))
        }
        Kind::InstrumentDefined | Kind::ConditionsDefined => return done(What::Bookkeeping),
        Kind::SourceDefined => {
            let text = String::from_utf8(row.blob().into());
            return done(What::Source(text.map_err(|_| "a source's text is no UTF-8")?));
        }
        Kind::Extension => {
            *extension = Some(row.blob());
            return done(What::Bookkeeping);
        }
        Kind::Annotation => DraftBody::Annotation(row.blob()),
        Kind::News => DraftBody::News(row.blob()),
        Kind::Control => DraftBody::Control(row.blob()),
        Kind::ClockBeat => DraftBody::ClockBeat,
        Kind::Gap => DraftBody::Gap(Gap {
            from: RecvTime(row.time().unwrap_or_default()),
            to: RecvTime(row.time().unwrap_or_default()),
        }),
        Kind::Correction => DraftBody::Correction {
            corrects: Seq(row.number().unwrap_or_default()),
            blob: row.blob(),
        },
        Kind::Quarantine => {
            let reason = row.text().unwrap_or_default();
            let reason = RefusalReason::ALL.into_iter().find(|r| r.name() == reason);
            let reason = reason.ok_or("no such reason")?;
            DraftBody::Quarantine { reason, blob: row.blob() }
        }
    };
    let extension = if extended { extension.take() } else { None };
    let recv = Some(recv);
    done(What::Draft(Box::new(Draft { recv, vendor_time, instrument, source, extension, body })))
}

/// The contracts of a chain.
#[allow(clippy::type_complexity)]
fn chain(
    seq: Seq,
    count: u32,
    contracts: &mut Option<Lines>,
) -> Result<Result<Vec<ChainRowDraft>, String>, ReadBackError> {
    let mut rows = Vec::new();
    while let Some(lines) = contracts.as_mut().filter(|lines| lines.seq() == Some(seq)) {
        let wrong = lines.wrong();
        let (_, cells) = lines.take()?;
        rows.push(contract(Row { cells: cells.into_iter() }).map_err(wrong)?);
    }
    if rows.len() as u64 != u64::from(count) {
        return Ok(Err(format!("{count} contracts, and {} are there", rows.len())));
    }
    Ok(Ok(rows))
}

fn contract(mut row: Row) -> Result<ChainRowDraft, String> {
    // Seq, time, underlying and place are the chain's.
    row.cells.by_ref().take(4).for_each(drop);
    let ticker = row.text().unwrap_or_default().into();
    row.number();
    let expiry = row.date();
    let strike = row.price().unwrap_or_default();
    let name = row.text().unwrap_or_default();
    let right = [OptionRight::Call, OptionRight::Put].into_iter().find(|r| right(*r) == name);
    let right = right.ok_or("`right` is neither call nor put")?;
    let styles = [ExerciseStyle::American, ExerciseStyle::European];
    let style = match row.text() {
        None => None,
        Some(name) => {
            let found = styles.into_iter().find(|s| style(*s) == name);
            Some(found.ok_or("`style` is neither american nor european")?)
        }
    };
    Ok(ChainRowDraft {
        ticker,
        row: ChainRow {
            instrument: InstrumentId::NONE,
            expiry,
            strike,
            right,
            style,
            multiplier: row.float(),
            bid: row.float(),
            ask: row.float(),
            bid_size: row.float(),
            ask_size: row.float(),
            last: row.float(),
            updated: row.time().map(VendorTime),
            open_interest: row.float(),
            volume: row.float(),
            implied_volatility: row.float(),
            delta: row.float(),
            gamma: row.float(),
            theta: row.float(),
            vega: row.float(),
        },
    })
}
