//! `JournalService.Append`: what clients may journal, in order, each request
//! answered when its records are durable.
//!
//! A stream has a thread of its own, which hands records to the journal while
//! earlier ones are on their way to the disk; a full journal holds it up, and
//! with it the client, and nobody else.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use orrery_journal::event::RefusalReason;
use orrery_journal::units::{RecvTime, Seq};
use orrery_proto::v1;
use orrery_proto::v1::append_record::Body;
use orrery_proto::v1::correction_record::Instead;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::annotations;
use super::journal::{Sending, Streams};
use super::status::{invalid, status_of};
use super::{Backend, BackendError, convert};

/// Records of one request.
const RECORDS_MAX: usize = 1_024;
/// Bytes of one record.
pub(super) const RECORD_BYTES_MAX: usize = 256 * 1024;
/// Bytes of refused input that quarantine keeps.
pub const QUARANTINE_BYTES_MAX: usize = 64 * 1024;
/// Bytes of a record's id.
const ID_BYTES_MAX: usize = 64;
/// Requests of a stream that are on their way to the disk.
const IN_FLIGHT_MAX: usize = 8;

/// A fact that a client may journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// Structural lines: JSON.
    Annotation {
        /// What they are about.
        symbol: String,
        /// The text.
        text: Bytes,
    },
    /// An earlier event was wrong.
    Correction {
        /// That event.
        corrects: Seq,
        /// What is right, JSON; empty: it never happened.
        right: Bytes,
    },
    /// A news item.
    News {
        /// What it is about.
        symbol: Option<String>,
        /// The text.
        text: Bytes,
    },
    /// A WebSocket frame of the vendor.
    VendorFrame(Bytes),
    /// A feed was away.
    Gap {
        /// Last moment that was seen.
        from: RecvTime,
        /// First moment that is seen again.
        to: RecvTime,
    },
    /// What is no record; it goes to quarantine.
    Refused {
        /// Its bytes.
        text: Bytes,
        /// What is wrong with it.
        refusal: Refusal,
    },
}

/// What is wrong with a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refusal {
    /// For machines, and for the journal's counts.
    pub reason: RefusalReason,
    /// The field, such as `annotation.lines[2].price`.
    pub field: String,
    /// In words.
    pub why: String,
}

impl Refusal {
    pub(super) fn new(reason: RefusalReason, field: &str, why: &str) -> Refusal {
        Refusal { reason, field: field.to_owned(), why: why.to_owned() }
    }
}

/// What became of a record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Taken {
    /// First event, definitions of new names included.
    pub first: Seq,
    /// Last event.
    pub last: Seq,
    /// Facts that were journaled.
    pub facts: u32,
    /// What was refused of it; each lies in quarantine.
    pub refused: Vec<Refusal>,
}

/// Waits until records are durable.
pub type Pending = Box<dyn FnOnce() -> Result<Vec<Taken>, BackendError> + Send>;

/// What clients may write.
pub trait Appending {
    /// What speaks against a record, as the journal stands.
    ///
    /// # Errors
    /// What is wrong with it.
    fn judge(&self, record: &Record) -> Result<(), Refusal>;

    /// Hands records to the journal, in order, each whole; blocks while the
    /// journal is full. `client` names who sends, for the record.
    ///
    /// # Errors
    /// When the journal takes nothing ([`BackendError::Unavailable`]), or there
    /// are too many clients. Then none of them was handed over.
    fn append(&self, client: &str, records: Vec<Record>) -> Result<Pending, BackendError>;
}

/// The name of a client.
pub(super) fn client(said: &str) -> Result<String, Status> {
    match said {
        "" => Ok("unnamed".to_owned()),
        said => convert::name("client", said).map(str::to_owned),
    }
}

/// A record of a message.
pub(super) fn record(said: &v1::AppendRecord) -> Record {
    let refuse = |refusal: Refusal| {
        // Text is kept as text, the rest as it came over the wire.
        let text = match &said.body {
            Some(Body::Annotation(a)) if !a.json.is_empty() => a.json.clone().into(),
            Some(Body::News(news)) => news.json.clone().into(),
            Some(Body::VendorFrame(text)) => text.clone().into(),
            _ => said.encode_to_vec().into(),
        };
        Record::Refused { text, refusal }
    };
    read(said).unwrap_or_else(refuse)
}

fn read(said: &v1::AppendRecord) -> Result<Record, Refusal> {
    use RefusalReason::{BadTicker, BadTime, Malformed, MissingField, TooLarge};
    if said.encoded_len() > RECORD_BYTES_MAX {
        return Err(Refusal::new(TooLarge, "", "is longer than 256 KiB"));
    }
    if said.record_id.len() > ID_BYTES_MAX {
        return Err(Refusal::new(TooLarge, "record_id", "is longer than 64 bytes"));
    }
    let nothing = "must be one of annotation, correction, news, vendor_frame and gap";
    match said.body.as_ref().ok_or_else(|| Refusal::new(MissingField, "body", nothing))? {
        Body::Annotation(draft) => annotations::record("annotation", draft),
        Body::Correction(said) => {
            let corrects = Seq(said.corrects_seq);
            if corrects == Seq::BEFORE_FIRST {
                let why = "must name the event that was wrong; the first one is 1";
                return Err(Refusal::new(MissingField, "correction.corrects_seq", why));
            }
            let right = match &said.instead {
                Some(Instead::Cancel(true)) => Bytes::new(),
                Some(Instead::Right(text)) if !text.is_empty() => text.clone().into(),
                _ => {
                    let why = "must say what is right, or cancel: true";
                    return Err(Refusal::new(MissingField, "correction.instead", why));
                }
            };
            Ok(Record::Correction { corrects, right })
        }
        Body::News(said) => {
            let symbol = (!said.symbol.is_empty()).then(|| said.symbol.clone());
            if let Some(symbol) = &symbol {
                convert::name("symbol", symbol)
                    .map_err(|e| Refusal::new(BadTicker, "news.symbol", e.message()))?;
            }
            let json = serde_json::from_str::<serde::de::IgnoredAny>(&said.json);
            json.map_err(|e| Refusal::new(Malformed, "news.json", &e.to_string()))?;
            Ok(Record::News { symbol, text: said.json.clone().into() })
        }
        Body::VendorFrame(text) if text.trim().is_empty() => {
            Err(Refusal::new(MissingField, "vendor_frame", "is empty"))
        }
        Body::VendorFrame(text) => Ok(Record::VendorFrame(text.clone().into())),
        Body::Gap(said) => {
            let time = |field: &str, time: Option<prost_types::Timestamp>| {
                let time =
                    time.ok_or_else(|| Refusal::new(MissingField, field, "must be given"))?;
                convert::recv_time(field, time)
                    .map_err(|e| Refusal::new(BadTime, field, e.message()))
            };
            let (from, to) = (time("gap.from", said.from)?, time("gap.to", said.to)?);
            if to < from {
                return Err(Refusal::new(BadTime, "gap.to", "lies before gap.from"));
            }
            Ok(Record::Gap { from, to })
        }
    }
}

fn result(record_id: String, taken: Taken) -> v1::AppendResult {
    let refused = |r: Refusal| v1::RefusedInput {
        reason: r.reason.name().to_owned(),
        field: r.field,
        message: r.why,
    };
    v1::AppendResult {
        record_id,
        first_seq: taken.first.0,
        last_seq: taken.last.0,
        facts: taken.facts,
        refused: taken.refused.into_iter().map(refused).collect(),
    }
}

/// A request on its way to the disk.
struct InFlight {
    ids: Vec<String>,
    pending: Pending,
}

/// The thread's own: what was handed over and not answered.
struct Appends<'a> {
    backend: &'a dyn Backend,
    to: &'a Sending<v1::AppendResponse>,
    client: Option<String>,
    in_flight: VecDeque<InFlight>,
}

impl Appends<'_> {
    fn take(&mut self, request: v1::AppendRequest) -> Result<(), Status> {
        if self.client.is_none() {
            self.client = Some(client(&request.client)?);
        }
        let client = self.client.as_deref().unwrap_or_default();
        if request.records.is_empty() || request.records.len() > RECORDS_MAX {
            return Err(invalid("records", "must be 1 to 1024"));
        }
        let records = request.records.iter().map(record).collect();
        let ids = request.records.into_iter().map(|r| r.record_id).collect();
        let pending = self.backend.append(client, records).map_err(|e| status_of(&e))?;
        self.in_flight.push_back(InFlight { ids, pending });
        Ok(())
    }

    /// Answers the oldest; `false` when nobody listens any more.
    fn answer(&mut self) -> Result<bool, Status> {
        let Some(InFlight { ids, pending }) = self.in_flight.pop_front() else { return Ok(true) };
        let taken = pending().map_err(|e| status_of(&e))?;
        let results = ids.into_iter().zip(taken).map(|(id, taken)| result(id, taken)).collect();
        Ok(self.to.send(v1::AppendResponse { results }).is_continue())
    }

    fn serve(&mut self, requests: &mut mpsc::Receiver<v1::AppendRequest>) -> Result<(), Status> {
        loop {
            let next = match self.in_flight.is_empty() {
                true => requests.blocking_recv(),
                false => match requests.try_recv() {
                    Ok(request) => Some(request),
                    Err(mpsc::error::TryRecvError::Empty) => {
                        if !self.answer()? {
                            return Ok(());
                        }
                        continue;
                    }
                    Err(mpsc::error::TryRecvError::Disconnected) => None,
                },
            };
            let Some(request) = next else { break };
            self.take(request)?;
            if self.in_flight.len() >= IN_FLIGHT_MAX && !self.answer()? {
                return Ok(());
            }
        }
        while !self.in_flight.is_empty() {
            if !self.answer()? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What was handed over before something went wrong is answered first.
    fn settle(&mut self) {
        while !self.in_flight.is_empty() {
            if !self.answer().unwrap_or(false) {
                return;
            }
        }
    }
}

/// Journals what a client streams.
pub(super) fn append(
    streams: &Streams,
    backend: Arc<dyn Backend>,
    mut asked: Streaming<v1::AppendRequest>,
) -> Result<ReceiverStream<Result<v1::AppendResponse, Status>>, Status> {
    let (hand_over, mut requests) = mpsc::channel(1);
    let shutdown = streams.shutdown();
    let stream = streams.start(move |to| {
        let mut appends =
            Appends { backend: backend.as_ref(), to, client: None, in_flight: VecDeque::new() };
        if let Err(status) = appends.serve(&mut requests) {
            appends.settle();
            to.refuse(status);
        }
        Ok(())
    })?;
    tokio::spawn(async move {
        loop {
            let next = tokio::select! {
                next = asked.message() => next,
                () = shutdown.cancelled() => return,
                () = hand_over.closed() => return,
            };
            // A client that breaks off has ended its stream: what came is kept.
            let Ok(Some(request)) = next else { return };
            if hand_over.send(request).await.is_err() {
                return;
            }
        }
    });
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: Option<Body>) -> (RefusalReason, String) {
        match record(&v1::AppendRecord { record_id: "r".into(), body }) {
            Record::Refused { refusal, .. } => (refusal.reason, refusal.field),
            other => panic!("{other:?} was taken"),
        }
    }

    #[test]
    fn what_is_no_record_is_refused_with_its_field() {
        use RefusalReason::{BadTicker, BadTime, Malformed, MissingField, TooLarge};
        let gap = |from, to| {
            let at = |seconds| prost_types::Timestamp { seconds, nanos: 0 };
            Body::Gap(v1::GapRecord { from: Some(at(from)), to: Some(at(to)) })
        };
        let news = |symbol: &str, json: &str| {
            Body::News(v1::NewsRecord { symbol: symbol.into(), json: json.into() })
        };
        let correction = |corrects_seq, instead| {
            Body::Correction(v1::CorrectionRecord { corrects_seq, instead })
        };
        for (body, reason, field) in [
            (None, MissingField, "body"),
            (Some(gap(9, 8)), BadTime, "gap.to"),
            (Some(Body::Gap(v1::GapRecord::default())), MissingField, "gap.from"),
            (Some(news("S P", "{}")), BadTicker, "news.symbol"),
            (Some(news("SPX", "{")), Malformed, "news.json"),
            (Some(correction(0, None)), MissingField, "correction.corrects_seq"),
            (Some(correction(7, None)), MissingField, "correction.instead"),
            (Some(correction(7, Some(Instead::Cancel(false)))), MissingField, "correction.instead"),
            (Some(Body::VendorFrame(" ".into())), MissingField, "vendor_frame"),
            (Some(Body::VendorFrame("x".repeat(RECORD_BYTES_MAX))), TooLarge, ""),
        ] {
            assert_eq!(refused(body), (reason, field.to_owned()));
        }
        let fine = v1::AppendRecord { record_id: String::new(), body: Some(gap(8, 8)) };
        assert!(matches!(record(&fine), Record::Gap { .. }));
    }
}
