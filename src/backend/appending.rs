//! What clients journal: records become drafts, and what is no fact goes to
//! quarantine with its reason. For gRPC through
//! [`control::append::Appending`](crate::control::append::Appending), and for
//! the command line.

use std::collections::BTreeMap;

use bytes::Bytes;
use orrery_journal::event::{Body, Draft, DraftBody, Event, Gap, InstrumentRef, RefusalReason};
use orrery_journal::units::{RecvTime, Seq, SourceId};
use orrery_journal::{AppendError, Filter, ReadError, Ticket};
use serde::Deserialize;

use super::annotating::{self, TimePasses};
use super::pulse::Framed;
use super::{Archive, answers};
use crate::control::BackendError;
use crate::control::annotations::{Annotating, Annotation, Line, WantedAnnotations};
use crate::control::append::{Appending, Pending, QUARANTINE_BYTES_MAX, Record, Refusal, Taken};
use crate::market::correction;
use crate::market::epoch::Moment;
use crate::market::ticker;
use crate::models::gravity::lines;
use orrery_journal::event::Kind;
use orrery_replay::as_of;

/// What an annotation says beside its lines.
#[derive(Deserialize, Default)]
struct Said {
    symbol: Option<String>,
    author: Option<String>,
    model: Option<String>,
    provenance: Option<String>,
}

/// What is wrong with a text that is no annotation.
fn no_annotation(text: &[u8]) -> Refusal {
    let field = "annotation.json".to_owned();
    let refuse = |reason, why: String| Refusal { reason, field: field.clone(), why };
    let said: Said = match serde_json::from_slice(text) {
        Ok(said) => said,
        Err(error) => return refuse(RefusalReason::Malformed, error.to_string()),
    };
    if said.author.is_none_or(|author| author.is_empty()) {
        return refuse(RefusalReason::MissingField, "has no author".to_owned());
    }
    let why = format!(
        "must be JSON with an author and at most {} lines at prices above 0, as in \
         {{\"author\":\"ann\",\"lines\":[6510]}}",
        lines::LINES_MAX
    );
    refuse(RefusalReason::BadPrice, why)
}

fn unusable(error: AppendError) -> BackendError {
    match error {
        AppendError::DiskFull { .. } => {
            BackendError::Exhausted { reason: "DISK_FULL", told: error.to_string() }
        }
        error => BackendError::Unavailable(error.to_string()),
    }
}

/// An append on its way, and what will be said of it.
struct OnItsWay {
    ticket: Ticket,
    facts: u32,
    refused: Vec<Refusal>,
}

impl Archive {
    /// The event at a seq.
    pub(super) fn event_at(&self, seq: Seq) -> Result<Option<Event>, ReadError> {
        if seq == Seq::BEFORE_FIRST || seq > self.journal().head().seq {
            return Ok(None);
        }
        let stretch = self.journal().read(seq, seq).next().transpose()?;
        Ok(stretch.and_then(|stretch| stretch.events.first().cloned()))
    }

    /// What is wrong with a correction.
    fn judge_correction(&self, corrects: Seq, right: &[u8]) -> Result<(), Refusal> {
        let refuse = |reason, field: &str, why: String| {
            Err(Refusal { reason, field: format!("correction.{field}"), why })
        };
        let journal = self.journal();
        let event = match self.event_at(corrects) {
            Ok(Some(event)) => event,
            Ok(None) => {
                let last = journal.head().seq;
                let why = format!("there is no event {corrects}; the last one is {last}");
                return refuse(RefusalReason::Malformed, "corrects_seq", why);
            }
            Err(error) => {
                return refuse(RefusalReason::Malformed, "corrects_seq", error.to_string());
            }
        };
        let (of, kind) = (event.body.kind(), event.body.kind().name());
        let never = matches!(of, Kind::Control | Kind::ClockBeat | Kind::Correction);
        if never || of.is_bookkeeping() {
            let why = format!("is a {kind}, which cannot be corrected");
            return refuse(RefusalReason::UnknownKind, "corrects_seq", why);
        }
        if right.is_empty() {
            return Ok(());
        }
        match event.body {
            Body::Trade(_) | Body::Bar(_) => {
                let lists = || (1..).map_while(|id| Some((journal.conditions(id)?, id)));
                let ids: BTreeMap<Box<[u32]>, u32> = lists().collect();
                let id = |list: &[u32]| ids.get(list).copied();
                match correction::righted(&event, right, &id) {
                    Some(_) => Ok(()),
                    None => {
                        let why = format!(
                            "says nothing that a {kind} could be: {{price, size}} of a trade, \
                             {{high, low, close, volume, vwap?}} of a bar"
                        );
                        refuse(RefusalReason::Malformed, "right", why)
                    }
                }
            }
            Body::Annotation(was) => {
                let author = |text: &[u8]| lines::parse(text, RecvTime(0), Seq::BEFORE_FIRST);
                let Some((says, _)) = author(right) else {
                    let Refusal { reason, why, .. } = no_annotation(right);
                    return refuse(reason, "right", why);
                };
                let said = journal.blob(was).ok().and_then(|text| author(&text));
                match said.is_some_and(|(said, _)| said == says) {
                    true => Ok(()),
                    false => {
                        let why = "is of another author than the annotation".to_owned();
                        refuse(RefusalReason::Malformed, "right", why)
                    }
                }
            }
            _ => {
                let why = format!("is a {kind}, which can only be cancelled");
                refuse(RefusalReason::UnknownKind, "corrects_seq", why)
            }
        }
    }

    /// The drafts of a record, with how many facts they are and what was
    /// refused.
    fn drafts(
        &self,
        record: Record,
        recv: Option<RecvTime>,
        source: SourceId,
    ) -> (Vec<Draft>, u32, Vec<Refusal>) {
        let draft = |instrument, body| Draft {
            recv,
            vendor_time: None,
            instrument,
            source,
            extension: None,
            body,
        };
        let ticker = |symbol: String| InstrumentRef::Ticker(symbol.into());
        let quarantine = |text: &Bytes, refusal: Refusal| {
            let blob = text.slice(..text.len().min(QUARANTINE_BYTES_MAX));
            let body = DraftBody::Quarantine { reason: refusal.reason, blob };
            (vec![draft(InstrumentRef::None, body)], 0, vec![refusal])
        };
        if let Err(refusal) = self.judge(&record) {
            let text = match &record {
                Record::Annotation { text, .. } | Record::News { text, .. } => text.clone(),
                Record::Correction { right, .. } => right.clone(),
                _ => Bytes::new(),
            };
            return quarantine(&text, refusal);
        }
        let one = |instrument, body| (vec![draft(instrument, body)], 1, Vec::new());
        match record {
            Record::Annotation { symbol, text } => one(ticker(symbol), DraftBody::Annotation(text)),
            Record::Correction { corrects, right } => {
                one(InstrumentRef::None, DraftBody::Correction { corrects, blob: right })
            }
            Record::News { symbol, text } => {
                one(symbol.map_or(InstrumentRef::None, ticker), DraftBody::News(text))
            }
            Record::Gap { from, to } => one(InstrumentRef::None, DraftBody::Gap(Gap { from, to })),
            Record::Refused { text, refusal } => quarantine(&text, refusal),
            Record::VendorFrame(text) => match self.pulse().read_frame(&text) {
                Some(framed) => stamped(framed, recv, source),
                None => {
                    let why = "no frames of a vendor are read here".to_owned();
                    let field = "vendor_frame".to_owned();
                    let reason = RefusalReason::UnknownKind;
                    quarantine(&text, Refusal { reason, field, why })
                }
            },
        }
    }
}

/// What a frame of the vendor says, as facts of a client. What a connection says
/// of itself is the feed's: as a fact it could pass for an order of the operator.
fn stamped(
    Framed { mut drafts, told }: Framed,
    recv: Option<RecvTime>,
    source: SourceId,
) -> (Vec<Draft>, u32, Vec<Refusal>) {
    let field = || "vendor_frame".to_owned();
    let mut told = told.into_iter();
    let (mut facts, mut refused) = (0, Vec::new());
    for draft in &mut drafts {
        (draft.recv, draft.source) = (recv, source);
        match &draft.body {
            DraftBody::Control(blob) => {
                let reason = RefusalReason::UnknownKind;
                let why = "status messages are the feed's own; they are not taken".to_owned();
                refused.push(Refusal { reason, field: field(), why });
                let blob = blob.slice(..blob.len().min(QUARANTINE_BYTES_MAX));
                draft.body = DraftBody::Quarantine { reason, blob };
            }
            DraftBody::Quarantine { reason, .. } => {
                // The first of them come with words.
                let why = told.next().unwrap_or_else(|| "cannot be read".to_owned());
                refused.push(Refusal { reason: *reason, field: field(), why });
            }
            _ => facts += 1,
        }
    }
    (drafts, facts, refused)
}

impl Appending for Archive {
    fn judge(&self, record: &Record) -> Result<(), Refusal> {
        match record {
            Record::Annotation { text, .. } => {
                if lines::parse(text, RecvTime(0), Seq::BEFORE_FIRST).is_none() {
                    return Err(no_annotation(text));
                }
                let field = || "annotation.json".to_owned();
                let reason = RefusalReason::TooLarge;
                annotating::check(text).map_err(|why| Refusal { reason, field: field(), why })
            }
            Record::Correction { corrects, right } => self.judge_correction(*corrects, right),
            Record::Refused { refusal, .. } => Err(refusal.clone()),
            Record::News { .. } | Record::VendorFrame(_) | Record::Gap { .. } => Ok(()),
        }
    }

    fn append(&self, client: &str, records: Vec<Record>) -> Result<Pending, BackendError> {
        if self.pulse().is_closed() {
            return Err(BackendError::Unavailable("the server is stopping".to_owned()));
        }
        if !self.pulse().knows(client) {
            let told = "this server has journaled for 1000 clients already; use a name again";
            let told = told.to_owned();
            return Err(BackendError::Exhausted { reason: "TOO_MANY_CLIENTS", told });
        }
        let writer = self.writer().map_err(unusable)?;
        let descriptor = serde_json::json!({ "client": client, "feed": "grpc" }).to_string();
        let source = writer.define_source(&descriptor).map_err(unusable)?;
        let mut on_their_way = Vec::with_capacity(records.len());
        for record in records {
            // Beside a session on its own clock the wall clock would stop that one.
            let session = self.time_passes() == TimePasses::ByItsSession;
            let recv = session.then(|| self.journal().head().recv);
            let text = match &record {
                Record::VendorFrame(text) => text.clone(),
                _ => Bytes::new(),
            };
            let (drafts, facts, refused) = self.drafts(record, recv, source);
            let (ticket, facts, refused) = match writer.append(drafts) {
                Ok(ticket) => (ticket, facts, refused),
                // Nothing of it was queued: its columns do not hold a value.
                Err(AppendError::NoPlace { field, value }) => {
                    let why = format!("{field} {value} has no place in a row");
                    let field = "vendor_frame".to_owned();
                    let refusal = Refusal { reason: RefusalReason::Malformed, field, why };
                    let refused = Record::Refused { text, refusal };
                    let (drafts, facts, refused) = self.drafts(refused, recv, source);
                    (writer.append(drafts).map_err(unusable)?, facts, refused)
                }
                Err(error) => return Err(unusable(error)),
            };
            on_their_way.push(OnItsWay { ticket, facts, refused });
        }
        self.pulse().tell_news();
        Ok(Box::new(move || {
            let taken = |OnItsWay { ticket, facts, refused }: OnItsWay| {
                let appended = ticket.wait().map_err(unusable)?;
                Ok(Taken { first: appended.first, last: appended.last, facts, refused })
            };
            on_their_way.into_iter().map(taken).collect()
        }))
    }
}

impl Annotating for Archive {
    fn annotations(
        &self,
        wanted: &WantedAnnotations,
    ) -> Result<(Moment, Vec<Annotation>), BackendError> {
        let at = self.inside(wanted.as_of)?;
        let moment = as_of::resolve(self.journal(), at).map_err(|e| self.error(e, wanted.as_of))?;
        let journal = self.journal();
        let filter = Filter::new().kinds([Kind::Annotation, Kind::Correction]);
        let sources = journal.sources().map_err(answers::read)?;
        let mut found: Vec<Annotation> = Vec::new();
        let mut newest: BTreeMap<(String, String), usize> = BTreeMap::new();
        let first = match wanted.from {
            Some(seq) => seq,
            None => super::reading::kept(journal)?,
        };
        for events in journal.read_matching(first, moment.seq, filter) {
            for at in events.map_err(answers::read)? {
                match at.event.body {
                    Body::Annotation(content) => {
                        let text = journal.blob(content).map_err(answers::read)?;
                        let source = sources.iter().find(|s| s.id == at.event.source);
                        let descriptor = source.map(|s| s.descriptor.clone());
                        let name = journal.ticker(at.event.instrument);
                        let mut annotation = read((at.seq, at.event.recv), name.as_deref(), &text);
                        (annotation.content, annotation.source) =
                            (content, descriptor.unwrap_or_default());
                        if !annotation.author.is_empty() {
                            let of = (annotation.symbol.clone(), annotation.author.clone());
                            let before = newest.insert(of, found.len());
                            if let Some(before) = before.and_then(|n| found.get_mut(n)) {
                                before.replaced = Some(at.seq);
                            }
                        }
                        found.push(annotation);
                    }
                    Body::Correction { corrects, blob } => {
                        let n = found.binary_search_by_key(&corrects, |a| a.seq);
                        if let Some(was) = n.ok().and_then(|n| found.get_mut(n)) {
                            let right = journal.blob(blob).map_err(answers::read)?;
                            put_right(was, at.seq, &right);
                        }
                    }
                    _ => {}
                }
            }
        }
        let is = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
        let symbol = wanted.symbol.as_deref().map(|s| ticker::symbol_of(s).into_string());
        found.retain(|a| {
            let over = a.replaced.is_some() || a.corrected.is_some_and(|(_, never)| never);
            is(&symbol, &a.symbol)
                && is(&wanted.author, &a.author)
                && is(&wanted.model, &a.model)
                && !(wanted.in_force && (over || a.author.is_empty()))
        });
        Ok((Moment { seq: moment.seq, at: moment.time }, found))
    }
}

/// An annotation's text, read.
fn read((seq, at): (Seq, RecvTime), name: Option<&str>, text: &[u8]) -> Annotation {
    let said: Said = serde_json::from_slice(text).unwrap_or_default();
    let symbol = name.map(str::to_owned).or(said.symbol).unwrap_or_default();
    let (author, drawn) = lines::parse(text, at, seq).unwrap_or_default();
    Annotation {
        seq,
        at,
        symbol: ticker::symbol_of(&symbol).into(),
        author,
        model: said.model.unwrap_or_default(),
        provenance: said.provenance.unwrap_or_default(),
        lines: drawn.into_iter().map(line).collect(),
        source: String::new(),
        content: Default::default(),
        replaced: None,
        corrected: None,
    }
}

fn line(l: lines::Line) -> Line {
    Line { kind: l.kind, from: l.from, to: l.to, color: l.color, weight: l.weight }
}

/// What a correction makes of an annotation, as the folds understand it.
fn put_right(was: &mut Annotation, seq: Seq, right: &[u8]) {
    if right.is_empty() {
        was.corrected = Some((seq, true));
        return;
    }
    let now = read((was.seq, was.at), None, right);
    if !now.author.is_empty() && now.author == was.author {
        was.corrected = Some((seq, false));
        (was.lines, was.model, was.provenance) = (now.lines, now.model, now.provenance);
    }
}
