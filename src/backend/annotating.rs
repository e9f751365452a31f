//! What a person or an AI says, journaled: one way in for the command line,
//! HTTP and gRPC.

use bytes::Bytes;
use orrery_journal::AppendError;
use orrery_journal::event::{Draft, DraftBody, InstrumentRef};
use orrery_journal::units::{NANOS_PER_SECOND, RecvTime, Seq};
use serde::Deserialize;

use super::{Archive, answers};
use crate::control::BackendError;
use crate::models::gravity::lines;

/// Longest annotation. A thousand lines with colours need a tenth of it; the
/// rest is for what the author says about them.
pub const ANNOTATION_BYTES_MAX: usize = 1024 * 1024;

/// Longest name of an author, a model or a colour: names are repeated on every
/// line that is published.
const NAME_BYTES_MAX: usize = 128;

/// Who lets time pass in the journal while something is said.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TimePasses {
    /// Nobody: what is said brings a beat along, so that its profile comes out.
    #[default]
    WithWhatIsSaid,
    /// A live feed, by the wall clock.
    ByTheWall,
    /// A feed whose session has a clock of its own.
    ByItsSession,
}

impl Archive {
    /// Journals an annotation of a symbol, known at a time; now when none is
    /// named. `descriptor` is the source's, such as `{"feed":"http"}`.
    ///
    /// # Errors
    /// [`BackendError::Invalid`] when it is no annotation, and
    /// [`BackendError::Unavailable`] when the journal takes nothing.
    pub fn annotate(
        &self,
        symbol: &str,
        json: Bytes,
        at: Option<RecvTime>,
        descriptor: &str,
    ) -> Result<Seq, BackendError> {
        check(&json).map_err(|why| BackendError::Invalid { field: "annotation", why })?;
        let instrument = InstrumentRef::Ticker(symbol.into());
        self.remark(instrument, DraftBody::Annotation(json), at, descriptor)
            .map_err(|e| BackendError::Unavailable(format!("the journal takes nothing: {e}")))
    }

    /// Whether anything was ever made of a symbol.
    ///
    /// # Errors
    /// Damage.
    pub fn knows(&self, symbol: &str) -> Result<bool, BackendError> {
        let families = self.families().map_err(answers::derived)?;
        Ok(families.iter().any(|(known, _)| **known == *symbol))
    }

    /// Journals what somebody says, and returns its place once it is durable.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub fn remark(
        &self,
        instrument: InstrumentRef,
        body: DraftBody,
        at: Option<RecvTime>,
        descriptor: &str,
    ) -> Result<Seq, AppendError> {
        let passes = self.time_passes();
        let recv = match passes {
            // The session's moment, and not that of our wall.
            TimePasses::ByItsSession => at.or(Some(self.journal().head().recv)),
            _ => at,
        };
        let writer = self.writer()?;
        let source = writer.define_source(descriptor)?;
        let draft = |body, instrument, recv| Draft {
            recv,
            vendor_time: None,
            instrument,
            source,
            extension: None,
            body,
        };
        let seq = writer.append(vec![draft(body, instrument, recv)])?.wait()?.last;
        if passes == TimePasses::WithWhatIsSaid {
            let due = Some(self.journal().head().recv.plus_nanos(NANOS_PER_SECOND));
            let beat = draft(DraftBody::ClockBeat, InstrumentRef::None, due);
            writer.append(vec![beat])?.wait()?;
        }
        Ok(seq)
    }
}

/// What the fold does not need of an annotation but its readers do.
#[derive(Deserialize)]
struct Names<'a> {
    #[serde(borrow)]
    author: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    model: Option<std::borrow::Cow<'a, str>>,
}

/// Whether a text is an annotation that the folds will take, or why not.
///
/// # Errors
/// A sentence that says what would be right.
pub(super) fn check(json: &[u8]) -> Result<(), String> {
    if json.len() > ANNOTATION_BYTES_MAX {
        return Err(format!("it has {} bytes; {ANNOTATION_BYTES_MAX} may be", json.len()));
    }
    let Some((_, found)) = lines::parse(json, RecvTime(0), Seq::BEFORE_FIRST) else {
        return Err(format!(
            "it must be JSON with an author and at most {} lines at prices above 0, as in \
             {{\"author\":\"ann\",\"lines\":[6510]}}",
            lines::LINES_MAX
        ));
    };
    let names: Names<'_> = serde_json::from_slice(json).map_err(|e| e.to_string())?;
    let colors = found.iter().filter_map(|line| line.color.as_deref());
    let mut all =
        [Some(&*names.author), names.model.as_deref()].into_iter().flatten().chain(colors);
    match all.find(|name| name.len() > NAME_BYTES_MAX) {
        Some(_) => Err(format!("author, model and colours have at most {NAME_BYTES_MAX} bytes")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_every_line_would_repeat_stay_short() {
        let said = |author: &str, model: &str, color: &str| {
            let json = serde_json::json!({"author": author, "model": model,
                "lines": [{"price": 6500, "color": color}], "provenance": "x".repeat(5000)});
            check(json.to_string().as_bytes())
        };
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        assert_eq!(said("ann", "m-1", "#ff0"), Ok(()));
        for wrong in [said(&long, "m", "#ff0"), said("ann", &long, "#ff0"), said("ann", "m", &long)]
        {
            assert!(wrong.is_err_and(|why| why.contains("128 bytes")));
        }
        assert!(check(b"{").is_err_and(|why| why.contains("author")));
        let huge = serde_json::json!({"author": "a", "note": "x".repeat(ANNOTATION_BYTES_MAX)});
        assert!(check(huge.to_string().as_bytes()).is_err());
    }
}
