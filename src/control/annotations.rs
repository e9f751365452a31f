//! `AnnotationService`: what a person or an AI drew, journaled as input, and
//! listed with what became of it.

use bytes::Bytes;
use orrery_journal::event::RefusalReason;
use orrery_journal::units::{Address, RecvTime, Seq};
use orrery_proto::v1;
use orrery_proto::v1::annotation_service_server::AnnotationService;
use serde_json::{Map, Value};
use tonic::{Code, Request, Response, Status};

use super::append::{self, RECORD_BYTES_MAX, Record, Refusal};
use super::calls::{Calls, deadline};
use super::page::{self, Page};
use super::status::{invalid, refusal};
use super::{AsOf, BackendError, convert};
use crate::market::epoch::Moment;

/// Bytes of an author's name, a model's, and of the provenance.
const TEXT_MAX: [(&str, usize); 3] = [("author", 64), ("model", 128), ("provenance", 4_096)];
/// Bytes of a colour.
const COLOR_MAX: usize = 64;
/// Lines of one annotation.
pub const LINES_MAX: usize = 1_000;

/// The kinds of lines: number on the wire, name in the text.
const KINDS: [(v1::AnnotationLineKind, &str, &str); 4] = [
    (v1::AnnotationLineKind::Line, "line", "lines"),
    (v1::AnnotationLineKind::VolumeNode, "volume_node", "volume_nodes"),
    (v1::AnnotationLineKind::VolumeWell, "volume_well", "volume_wells"),
    (v1::AnnotationLineKind::Crevasse, "crevasse", "crevasses"),
];

/// A line of an annotation.
#[derive(Clone, PartialEq, Debug)]
pub struct Line {
    /// `line`, `volume_node`, `volume_well` or `crevasse`.
    pub kind: String,
    /// Price, or the lower end of a range.
    pub from: f64,
    /// Upper end; equal to `from` for a line.
    pub to: f64,
    /// As the author wishes it drawn.
    pub color: Option<String>,
    /// As the author wishes it drawn.
    pub weight: Option<f64>,
}

/// A journaled annotation.
#[derive(Clone, PartialEq, Debug)]
pub struct Annotation {
    /// The event that brought it.
    pub seq: Seq,
    /// When the journal took it.
    pub at: RecvTime,
    /// What it is about.
    pub symbol: String,
    /// Who says so; empty when the text is no annotation.
    pub author: String,
    /// With which model.
    pub model: String,
    /// Where it comes from.
    pub provenance: String,
    /// Its lines.
    pub lines: Vec<Line>,
    /// The source's descriptor.
    pub source: String,
    /// The address of its text.
    pub content: Address,
    /// The author's next one about the symbol.
    pub replaced: Option<Seq>,
    /// The last event that corrects it, and whether it says that this one was
    /// never drawn.
    pub corrected: Option<(Seq, bool)>,
}

/// Which annotations are wanted; all conditions hold together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WantedAnnotations {
    /// Only about this symbol.
    pub symbol: Option<String>,
    /// Only by this author.
    pub author: Option<String>,
    /// Only by this model.
    pub model: Option<String>,
    /// Only those that nothing has replaced or cancelled.
    pub in_force: bool,
    /// Only from this event on.
    pub from: Option<Seq>,
    /// As known then.
    pub as_of: AsOf,
}

/// What a backend knows about annotations.
pub trait Annotating {
    /// Annotations, ascending, and the moment on which they stand.
    ///
    /// # Errors
    /// A moment outside of the journal, damage.
    fn annotations(
        &self,
        wanted: &WantedAnnotations,
    ) -> Result<(Moment, Vec<Annotation>), BackendError>;
}

/// The record of a draft; `name` is what the draft is called in its request.
pub(super) fn record(name: &str, draft: &v1::AnnotationDraft) -> Result<Record, Refusal> {
    use RefusalReason::{BadTicker, Malformed, MissingField, TooLarge};
    let refuse =
        |reason, field: &str, why: &str| Err(Refusal::new(reason, &format!("{name}.{field}"), why));
    if let Err(status) = convert::symbol(&draft.symbol) {
        return refuse(BadTicker, "symbol", status.message().trim_start_matches("symbol: "));
    }
    let symbol = draft.symbol.clone();
    if !draft.json.is_empty() {
        let typed = v1::AnnotationDraft { symbol: draft.symbol.clone(), ..Default::default() };
        if (v1::AnnotationDraft { json: String::new(), ..draft.clone() }) != typed {
            return refuse(Malformed, "json", "takes the place of author, model and lines");
        }
        if draft.json.len() > RECORD_BYTES_MAX {
            return refuse(TooLarge, "json", "is longer than 256 KiB");
        }
        return Ok(Record::Annotation { symbol, text: draft.json.clone().into() });
    }
    if draft.author.is_empty() {
        return refuse(MissingField, "author", "must be given");
    }
    let texts = [&draft.author, &draft.model, &draft.provenance];
    for ((field, most), text) in TEXT_MAX.into_iter().zip(texts) {
        if text.len() > most {
            return refuse(TooLarge, field, &format!("is longer than {most} bytes"));
        }
    }
    if draft.lines.len() > LINES_MAX {
        return refuse(TooLarge, "lines", "are more than 1000");
    }
    let mut text = Map::new();
    text.insert("author".into(), draft.author.as_str().into());
    for (key, value) in [("model", &draft.model), ("provenance", &draft.provenance)] {
        if !value.is_empty() {
            text.insert(key.into(), value.as_str().into());
        }
    }
    for (n, line) in draft.lines.iter().enumerate() {
        let (list, line) = item(&format!("{name}.lines[{n}]"), line)?;
        if let Value::Array(items) = text.entry(list).or_insert_with(|| Value::Array(Vec::new())) {
            items.push(line);
        }
    }
    Ok(Record::Annotation { symbol, text: Bytes::from(Value::Object(text).to_string()) })
}

/// A line as an item of its list.
fn item(at: &str, line: &v1::AnnotationLine) -> Result<(&'static str, Value), Refusal> {
    use RefusalReason::{BadPrice, BadSize, TooLarge, UnknownKind};
    let refuse =
        |reason, field: &str, why: &str| Refusal::new(reason, &format!("{at}.{field}"), why);
    let Some((_, _, list)) = KINDS.iter().find(|(kind, _, _)| *kind as i32 == line.kind) else {
        return Err(refuse(UnknownKind, "kind", "is line, volume node, volume well or crevasse"));
    };
    let mut item = Map::new();
    for (field, price) in [("price", Some(line.price)), ("to", line.to)] {
        let Some(price) = price else { continue };
        let number = serde_json::Number::from_f64(price).filter(|_| price > 0.0);
        let number = number
            .ok_or_else(|| refuse(BadPrice, field, "is no price: a finite number above 0"))?;
        item.insert(field.into(), Value::Number(number));
    }
    if line.color.len() > COLOR_MAX {
        return Err(refuse(TooLarge, "color", "is longer than 64 bytes"));
    }
    if !line.color.is_empty() {
        item.insert("color".into(), line.color.as_str().into());
    }
    if let Some(weight) = line.weight {
        let number = serde_json::Number::from_f64(weight);
        let number = number.ok_or_else(|| refuse(BadSize, "weight", "is not finite"))?;
        item.insert("weight".into(), Value::Number(number));
    }
    Ok((list, Value::Object(item)))
}

fn line_message(line: Line) -> v1::AnnotationLine {
    let kind = KINDS.iter().find(|(_, name, _)| *name == line.kind);
    v1::AnnotationLine {
        kind: kind.map_or(0, |(kind, _, _)| *kind as i32),
        price: line.from,
        to: (line.to > line.from).then_some(line.to),
        color: line.color.unwrap_or_default(),
        weight: line.weight,
    }
}

fn message(a: Annotation) -> v1::Annotation {
    v1::Annotation {
        seq: a.seq.0,
        recorded_at: Some(convert::timestamp(a.at)),
        symbol: a.symbol,
        author: a.author,
        model: a.model,
        provenance: a.provenance,
        lines: a.lines.into_iter().map(line_message).collect(),
        source: a.source,
        content: a.content.to_string(),
        replaced_by_seq: a.replaced.map(|seq| seq.0),
        corrected_by_seq: a.corrected.map(|(seq, _)| seq.0),
        cancelled: a.corrected.is_some_and(|(_, cancelled)| cancelled),
    }
}

/// The service.
pub struct AnnotationCalls {
    calls: Calls,
}

impl AnnotationCalls {
    pub(super) const fn new(calls: Calls) -> AnnotationCalls {
        AnnotationCalls { calls }
    }
}

#[tonic::async_trait]
impl AnnotationService for AnnotationCalls {
    async fn create_annotation(
        &self,
        request: Request<v1::CreateAnnotationRequest>,
    ) -> Result<Response<v1::CreateAnnotationResponse>, Status> {
        let deadline = deadline(&request);
        let v1::CreateAnnotationRequest { annotation, client } = request.into_inner();
        let client = append::client(&client)?;
        let draft = annotation.ok_or_else(|| invalid("annotation", "must be given"))?;
        // Whoever waits for the answer is told what is wrong with it: nothing is
        // journaled then.
        let record = record("annotation", &draft).map_err(|r| invalid(&r.field, &r.why))?;
        let found = self
            .calls
            .ask(deadline, move |backend| {
                backend
                    .judge(&record)
                    .map_err(|r| BackendError::Field { field: r.field, why: r.why })?;
                let taken = backend.append(&client, vec![record])?()?;
                let seq = taken.first().map(|taken| taken.last).unwrap_or_default();
                let (from, as_of) = (Some(seq), AsOf::Seq(seq));
                let wanted = WantedAnnotations { from, as_of, ..WantedAnnotations::default() };
                let (_, mut all) = backend.annotations(&wanted)?;
                Ok(all.pop().filter(|annotation| annotation.seq == seq))
            })
            .await?;
        let annotation =
            found.ok_or_else(|| refusal(Code::Internal, "INTERNAL", "it is not there"))?;
        Ok(Response::new(v1::CreateAnnotationResponse { annotation: Some(message(annotation)) }))
    }

    async fn list_annotations(
        &self,
        request: Request<v1::ListAnnotationsRequest>,
    ) -> Result<Response<v1::ListAnnotationsResponse>, Status> {
        let deadline = deadline(&request);
        let mut asked = request.into_inner();
        let size = page::size(std::mem::take(&mut asked.page_size), 100, 1000)?;
        let token = std::mem::take(&mut asked.page_token);
        let of = page::fingerprint("ListAnnotations", &asked);
        let page = page::parse(of, &token)?;
        let as_of = match page {
            Some(page) => AsOf::Seq(page.seq),
            None => convert::as_of(asked.as_of)?,
        };
        let given = |text: String| (!text.is_empty()).then_some(text);
        let wanted = WantedAnnotations {
            symbol: given(asked.symbol),
            author: given(asked.author),
            model: given(asked.model),
            in_force: asked.in_force,
            from: None,
            as_of,
        };
        let (moment, found) = self.calls.ask(deadline, move |b| b.annotations(&wanted)).await?;
        let start = page.map_or(0, |page| usize::try_from(page.start).unwrap_or(usize::MAX));
        let (total, end) = (found.len(), start.saturating_add(size));
        let next = Page { start: end as u64, seq: moment.seq };
        Ok(Response::new(v1::ListAnnotationsResponse {
            annotations: found.into_iter().skip(start).take(size).map(message).collect(),
            next_page_token: if total > end { page::token(of, next) } else { String::new() },
            total: total as u64,
            moment: Some(convert::moment(moment)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(line: v1::AnnotationLine) -> v1::AnnotationDraft {
        v1::AnnotationDraft {
            symbol: "SPX".into(),
            author: "ann".into(),
            lines: vec![line],
            ..Default::default()
        }
    }

    fn line(price: f64) -> v1::AnnotationLine {
        let kind = v1::AnnotationLineKind::Crevasse as i32;
        v1::AnnotationLine { kind, price, ..Default::default() }
    }

    #[test]
    fn a_draft_becomes_the_text_that_the_fold_reads() {
        let said = v1::AnnotationDraft {
            model: "m-1".into(),
            provenance: "chart 7".into(),
            ..draft(v1::AnnotationLine { to: Some(6530.0), ..line(6520.5) })
        };
        let Ok(Record::Annotation { symbol, text }) = record("annotation", &said) else {
            panic!("refused")
        };
        assert_eq!(symbol, "SPX");
        assert_eq!(
            &text[..],
            br#"{"author":"ann","crevasses":[{"price":6520.5,"to":6530.0}],"model":"m-1","provenance":"chart 7"}"#
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let fine = draft(line(6500.0));
        let cases = [
            ("a.symbol", v1::AnnotationDraft { symbol: "S X".into(), ..fine.clone() }),
            ("a.author", v1::AnnotationDraft { author: String::new(), ..fine.clone() }),
            ("a.model", v1::AnnotationDraft { model: "m".repeat(129), ..fine.clone() }),
            ("a.lines", v1::AnnotationDraft { lines: vec![line(1.0); 1_001], ..fine.clone() }),
            ("a.json", v1::AnnotationDraft { json: "{}".into(), ..fine.clone() }),
            ("a.lines[0].price", draft(line(-1.0))),
            ("a.lines[0].price", draft(line(f64::NAN))),
            ("a.lines[0].to", draft(v1::AnnotationLine { to: Some(0.0), ..line(1.0) })),
            ("a.lines[0].weight", {
                draft(v1::AnnotationLine { weight: Some(f64::INFINITY), ..line(1.0) })
            }),
            ("a.lines[0].kind", draft(v1::AnnotationLine { kind: 0, ..line(1.0) })),
        ];
        for (field, said) in cases {
            assert_eq!(record("a", &said).expect_err(field).field, field);
        }
    }
}
