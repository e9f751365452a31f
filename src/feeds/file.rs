//! Captured files: what each is, and its drafts in the file's order.
//!
//! A file is scanned once (format, address of its content, first moment) and
//! then read, line by line or as one document, within bounds. Refused input
//! has the time of what stands before it in the file.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::NaiveDate;
use orrery_journal::event::{Draft, RefusalReason};
use orrery_journal::units::{Address, RecvTime};

use crate::feeds::inflate::{self, Bomb};
use crate::feeds::massive::rest::{self, PageText};
use crate::feeds::massive::wire;
use crate::feeds::recognize::{Content, recognize};
use crate::feeds::spx0dte::BARS_HEADER;
use crate::feeds::{
    DOCUMENT_BYTES_MAX, Decoded, Format, LINE_BYTES_MAX, QUARANTINE_BYTES_MAX, Recv, Refusal, cboe,
    deribit, desk, lean, moment, spx0dte,
};

const START_BYTES: usize = 64 * 1024;
/// Pages of a chain that are read ahead, and the bytes beyond which fewer are.
const AHEAD_PAGES: usize = 8;
const AHEAD_BYTES: usize = 4 * 1024 * 1024;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// What a path turned out to be.
#[derive(Clone, Debug)]
pub enum Scanned {
    /// Input.
    Input(Scan),
    /// Known, and not input.
    Ignored {
        /// Why it is left out.
        why: &'static str,
    },
    /// Not a file that can be taken; nothing of it reaches the journal but,
    /// where `kept` says so, its start in quarantine.
    Refused {
        /// The reason and where.
        refusal: Refusal,
        /// The start of a file that is damaged rather than strange.
        kept: Option<Damaged>,
    },
}

/// A file of a known format that cannot be read to its end.
#[derive(Clone, Debug)]
pub struct Damaged {
    /// What it would have been.
    pub format: Format,
    /// blake3 of the file as it lies on the disk.
    pub address: Address,
    /// Its first readable bytes.
    pub start: Bytes,
}

/// A file that can be read.
#[derive(Clone, Debug)]
pub struct Scan {
    /// Where it lies.
    pub path: PathBuf,
    /// What it holds.
    pub format: Format,
    /// blake3 of the decompressed content.
    pub address: Address,
    /// Decompressed length.
    pub bytes: u64,
    /// Own time of its first draft that has one.
    pub first: Option<RecvTime>,
    shape: Shape,
}

/// How a file is cut into what a decoder takes.
#[derive(Clone, Debug)]
enum Shape {
    Document,
    Lines,
    Bars(NaiveDate),
    Lean(Box<str>, NaiveDate),
}

/// Scans a file; `told` overrides recognition.
///
/// # Errors
/// When the file cannot be opened.
pub fn scan(path: &Path, told: Option<Format>) -> io::Result<Scanned> {
    let mut reader = inflate::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut start = Vec::new();
    let content = (&mut reader).take(START_BYTES as u64).read_to_end(&mut start);
    let seen = recognize(&start);
    let format = match (told, seen) {
        (Some(Format::Spx0dte) | None, Content::Answers(why)) => {
            return Ok(Scanned::Ignored { why });
        }
        (Some(told), _) => told,
        (None, Content::Format(format)) => format,
        (None, _) => {
            let what = match content {
                Err(e) => e.to_string(),
                Ok(0) => "the file is empty".to_owned(),
                Ok(_) => "no known format; name it as FORMAT=PATH".to_owned(),
            };
            let refusal = Refusal { reason: RefusalReason::UnknownKind, what };
            return Ok(Scanned::Refused { refusal, kept: None });
        }
    };
    let shape = match shape(path, format, &start) {
        Ok(shape) => shape,
        Err(refusal) => return Ok(Scanned::Refused { refusal, kept: None }),
    };
    hasher.update(&start);
    let mut bytes = start.len() as u64;
    let rest = content.and_then(|_| {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let got = reader.read(&mut buffer)?;
            if got == 0 {
                return Ok(());
            }
            bytes += got as u64;
            hasher.update(&buffer[..got]);
        }
    });
    if let Err(error) = rest {
        return damaged(path, format, &start, &error);
    }
    let address = Address(*hasher.finalize().as_bytes());
    let mut scan = Scan { path: path.to_path_buf(), format, address, bytes, first: None, shape };
    scan.first = scan.open(RecvTime(0))?.first_own_time()?;
    Ok(Scanned::Input(scan))
}

fn shape(path: &Path, format: Format, start: &[u8]) -> Result<Shape, Refusal> {
    let named = |what: &str| Refusal { reason: RefusalReason::BadTime, what: what.to_owned() };
    let file = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    Ok(match format {
        Format::LeanTrades | Format::LeanBars => {
            let what = "the name must say symbol and date, as in spy-trades-20131008.csv";
            let (symbol, date) = lean::name(file).ok_or_else(|| named(what))?;
            Shape::Lean(symbol, date)
        }
        Format::Spx0dte if !start.trim_ascii_start().starts_with(b"{") => {
            let what = "bars have no date: none in the name, the folder's name or its levels.csv";
            Shape::Bars(bars_date(path).ok_or_else(|| named(what))?)
        }
        Format::MassiveWs | Format::MassiveChain | Format::Spx0dte => {
            // A first line that is whole JSON means a value a line. A line that
            // is longer than the start is taken for one as well, unless the
            // start already shows a document over several lines.
            let text = start.trim_ascii_start();
            let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
            let cut = line.len() == text.len();
            let whole = serde_json::from_slice::<serde::de::IgnoredAny>(line).is_ok();
            if cut || whole { Shape::Lines } else { document_or_lines(line) }
        }
        _ => Shape::Document,
    })
}

/// A broken first line among lines must not make the file one broken document:
/// pretty-printed JSON starts with a bracket and hardly anything else.
fn document_or_lines(line: &[u8]) -> Shape {
    if line.trim_ascii().len() <= 2 { Shape::Document } else { Shape::Lines }
}

/// The date of bars: in the file's name, in the folder's, or in its levels.
fn bars_date(path: &Path) -> Option<NaiveDate> {
    let name = |p: &Path| p.file_name().and_then(|n| n.to_str()).and_then(moment::date_in);
    let levels = || {
        let text = fs::read_to_string(path.parent()?.join("levels.csv")).ok()?;
        text.lines().nth(1).and_then(moment::date_in)
    };
    let folder = || fs::canonicalize(path).ok()?.parent().and_then(name);
    name(path).or_else(folder).or_else(levels)
}

fn damaged(path: &Path, format: Format, start: &[u8], error: &io::Error) -> io::Result<Scanned> {
    let bomb = error.get_ref().is_some_and(|e| e.is::<Bomb>());
    let reason = if bomb { RefusalReason::TooLarge } else { RefusalReason::Malformed };
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut fs::File::open(path)?, &mut hasher)?;
    let start = Bytes::copy_from_slice(&start[..start.len().min(QUARANTINE_BYTES_MAX)]);
    let address = Address(*hasher.finalize().as_bytes());
    Ok(Scanned::Refused {
        refusal: Refusal { reason, what: error.to_string() },
        kept: Some(Damaged { format, address, start }),
    })
}

/// A draft and its place in time.
#[derive(Debug)]
pub struct Timed {
    /// The fact.
    pub draft: Draft,
    /// When: never before the drafts that stand earlier in the file.
    pub at: RecvTime,
    /// Whether its own time lies before that.
    pub late: bool,
}

/// The drafts of a file.
pub struct Drafts {
    pieces: Pieces,
    format: Format,
    shape: Shape,
    pages: rest::Pages,
    ahead: Ahead,
    /// The piece at hand, counted from 1.
    number: u64,
    queue: VecDeque<Draft>,
    now: RecvTime,
    done: bool,
    /// Decompressed bytes taken so far.
    pub bytes: u64,
    /// Refused input by reason so far.
    pub refused: BTreeMap<RefusalReason, u64>,
    /// The first refusals in words.
    pub told: Vec<Refusal>,
    /// WebSocket messages so far.
    pub messages: u64,
    /// Those of them that the fast reader left to serde_json.
    pub fallbacks: u64,
}

impl Scan {
    /// Opens the file again and reads its drafts; `start` is the time of what
    /// stands before the first time in the file.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(&self, start: RecvTime) -> io::Result<Drafts> {
        let max = match (&self.shape, self.format) {
            (Shape::Document, _) | (_, Format::MassiveChain) => DOCUMENT_BYTES_MAX,
            _ => LINE_BYTES_MAX,
        };
        let whole = matches!(self.shape, Shape::Document);
        let reader = BufReader::with_capacity(256 * 1024, inflate::open(&self.path)?);
        Ok(Drafts {
            pieces: Pieces { reader, whole, max, number: 0 },
            format: self.format,
            shape: self.shape.clone(),
            pages: rest::Pages::default(),
            ahead: Ahead::default(),
            number: 0,
            queue: VecDeque::new(),
            now: start,
            done: false,
            bytes: 0,
            refused: BTreeMap::new(),
            told: Vec::new(),
            messages: 0,
            fallbacks: 0,
        })
    }
}

impl Drafts {
    /// The next draft.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn read_next(&mut self) -> io::Result<Option<Timed>> {
        let Some(mut draft) = self.next_draft()? else { return Ok(None) };
        let own = draft.recv.unwrap_or(self.now);
        let late = own < self.now;
        self.now = self.now.max(own);
        draft.recv = Some(self.now);
        Ok(Some(Timed { draft, at: self.now, late }))
    }

    fn first_own_time(&mut self) -> io::Result<Option<RecvTime>> {
        while let Some(draft) = self.next_draft()? {
            if draft.recv.is_some() {
                return Ok(draft.recv);
            }
        }
        Ok(None)
    }

    fn next_draft(&mut self) -> io::Result<Option<Draft>> {
        loop {
            if let Some(draft) = self.queue.pop_front() {
                return Ok(Some(draft));
            }
            if self.done {
                return Ok(None);
            }
            let mut out = Decoded::default();
            match self.next_piece()? {
                Some((piece, page)) => {
                    self.bytes += piece.bytes;
                    self.number += 1;
                    if piece.cut {
                        let (at, bytes) = (self.number, piece.bytes);
                        let what = format_args!("piece {at} has {bytes} bytes");
                        out.refuse(RefusalReason::TooLarge, None, &piece.text, what);
                    } else {
                        self.decode(&piece.text, page, &mut out);
                    }
                }
                None => {
                    self.done = true;
                    self.pages.finish(Recv::Own, &mut out);
                }
            }
            self.take(out);
        }
    }

    /// The next piece; pages of chains come read already, several at a time.
    fn next_piece(&mut self) -> io::Result<Option<(Piece, Option<PageText>)>> {
        if self.format != Format::MassiveChain {
            return Ok(self.pieces.next()?.map(|piece| (piece, None)));
        }
        if self.ahead.ready.is_empty() {
            self.ahead.fill(&mut self.pieces)?;
        }
        Ok(self.ahead.ready.pop_front().map(|(piece, page)| (piece, Some(page))))
    }

    fn take(&mut self, out: Decoded) {
        for (reason, count) in out.refused {
            *self.refused.entry(reason).or_insert(0) += count;
        }
        for mut refusal in out.told {
            if self.told.len() < crate::feeds::REFUSALS_TOLD_MAX {
                if !matches!(self.shape, Shape::Document) {
                    refusal.what = format!("line {}: {}", self.number, refusal.what);
                }
                self.told.push(refusal);
            }
        }
        self.messages += out.messages;
        self.fallbacks += out.fallbacks;
        self.queue.extend(out.drafts);
    }

    fn decode(&mut self, text: &Bytes, page: Option<PageText>, out: &mut Decoded) {
        let recv = Recv::Own;
        match (self.format, &self.shape) {
            (Format::MassiveChain, _) => {
                let page = page.unwrap_or_else(|| PageText::read(text));
                self.pages.take(page, recv, out);
            }
            (Format::MassiveWs, Shape::Document) => *out = wire::decode(text, recv),
            (Format::MassiveWs, _) => wire::frame(text, recv, out),
            (Format::CboeDelayed, _) => *out = cboe::delayed(text, recv),
            (Format::CboeQuotetable, _) => *out = cboe::quotetable(text, recv),
            (Format::OptionsDesk, _) => *out = desk::decode(text, recv),
            (Format::DeribitOptions, _) => *out = deribit::decode(text, recv),
            (format, shape) => {
                let Ok(line) = std::str::from_utf8(text) else {
                    return out.refuse(RefusalReason::Malformed, None, text, "not UTF-8");
                };
                match (format, shape) {
                    (_, Shape::Bars(date)) => spx0dte::bar(line, *date, recv, out),
                    (Format::LeanTrades, Shape::Lean(symbol, date)) => {
                        lean::trade(line, symbol, *date, recv, out);
                    }
                    (_, Shape::Lean(symbol, date)) => lean::bar(line, symbol, *date, recv, out),
                    _ if line.trim().is_empty() || line.trim() == BARS_HEADER => {}
                    _ => spx0dte::snapshot(text, recv, out),
                }
            }
        }
    }
}

/// A line, or a whole document; `cut` when it is longer than allowed and only
/// its start is here.
struct Piece {
    text: Bytes,
    bytes: u64,
    cut: bool,
}

/// Pages that were read ahead, so that two are read at a time.
#[derive(Default)]
struct Ahead {
    ready: VecDeque<(Piece, PageText)>,
    /// What ended the reading behind them.
    failed: Option<io::Error>,
}

impl Ahead {
    fn fill(&mut self, pieces: &mut Pieces) -> io::Result<()> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let (mut read, mut bytes) = (Vec::new(), 0);
        while read.len() < AHEAD_PAGES && bytes < AHEAD_BYTES {
            match pieces.next() {
                Ok(Some(piece)) => {
                    bytes += piece.text.len();
                    read.push(piece);
                }
                Ok(None) => break,
                Err(error) if read.is_empty() => return Err(error),
                Err(error) => {
                    self.failed = Some(error);
                    break;
                }
            }
        }
        let texts: Vec<Bytes> = read.iter().map(|piece| piece.text.clone()).collect();
        self.ready = read.into_iter().zip(PageText::read_all(&texts)).collect();
        Ok(())
    }
}

struct Pieces {
    reader: BufReader<Box<dyn Read + Send>>,
    whole: bool,
    max: usize,
    number: u64,
}

impl Pieces {
    /// Reads on to the next line's end; never holds more than `max` bytes.
    fn next(&mut self) -> io::Result<Option<Piece>> {
        let (mut text, mut bytes, mut ended) = (Vec::new(), 0u64, false);
        while !ended {
            let buffer = self.reader.fill_buf()?;
            if buffer.is_empty() {
                break;
            }
            let end = if self.whole { None } else { buffer.iter().position(|b| *b == b'\n') };
            ended = end.is_some();
            let used = end.map_or(buffer.len(), |at| at + 1);
            bytes += used as u64;
            // One byte beyond the bound tells a long line from a full one.
            let room = (self.max + 1).saturating_sub(text.len());
            text.extend_from_slice(&buffer[..used.min(room)]);
            self.reader.consume(used);
        }
        if bytes == 0 {
            return Ok(None);
        }
        self.number += 1;
        if self.number == 1 && text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len());
        }
        if ended && bytes <= self.max as u64 + 1 {
            text.pop();
        }
        let cut = text.len() > self.max;
        if cut {
            text.truncate(QUARANTINE_BYTES_MAX);
        }
        Ok(Some(Piece { text: text.into(), bytes, cut }))
    }
}

/// All files under `path`, sorted by name, folders walked into; a file is
/// itself.
///
/// # Errors
/// When a folder cannot be listed.
pub fn walk(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_path_buf()]);
    }
    let mut entries = fs::read_dir(path)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<io::Result<Vec<PathBuf>>>()?;
    entries.sort();
    let mut files = Vec::new();
    for entry in entries {
        // A link to a folder could lead round in circles.
        let link = fs::symlink_metadata(&entry)?.is_symlink();
        if !(link && fs::metadata(&entry).is_ok_and(|m| m.is_dir())) {
            files.extend(walk(&entry)?);
        }
    }
    Ok(files)
}
