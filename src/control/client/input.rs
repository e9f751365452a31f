//! What the command line has a server journal, and how the server stands.

use orrery_journal::Head;
use orrery_journal::units::Seq;
use orrery_proto::v1;
use orrery_proto::v1::admin_service_client::AdminServiceClient;
use orrery_proto::v1::annotation_service_client::AnnotationServiceClient;
use orrery_proto::v1::append_record::Body;
use orrery_proto::v1::correction_record::Instead;

use super::{Client, ClientError};
use crate::control::{REPLY_BYTES_MAX, convert};

/// Who journals, in the source's descriptor.
const CLIENT: &str = "command-line";

/// How a server stands, in words for people and scripts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerSays {
    /// The program's version.
    pub version: String,
    /// Why it is not ready; `None` when it is.
    pub not_ready: Option<String>,
    /// The durable end.
    pub head: Head,
    /// The last event that has been folded.
    pub folded: Seq,
    /// `none`, `live` or `session`.
    pub feed: String,
    /// The newest checkpoint.
    pub checkpoint: Option<Seq>,
    /// Inputs in quarantine.
    pub quarantined: u64,
    /// Whether input is refused because the disk is nearly full.
    pub input_stopped: bool,
    /// Replay sessions that are open.
    pub sessions: u32,
}

impl Client {
    fn refuses(&self, message: String) -> ClientError {
        ClientError::Refused { address: self.address.clone(), message }
    }

    /// Has the server journal an annotation, byte for byte; answers with its
    /// event.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn annotate(&self, symbol: &str, json: String) -> Result<Seq, ClientError> {
        let mut calls = AnnotationServiceClient::new(self.channel.clone());
        let draft = v1::AnnotationDraft { symbol: symbol.to_owned(), json, ..Default::default() };
        let request =
            v1::CreateAnnotationRequest { annotation: Some(draft), client: CLIENT.to_owned() };
        let said = self.runtime.block_on(calls.create_annotation(request));
        let said = said.map_err(|e| self.refused(&e))?.into_inner();
        said.annotation.map(|a| Seq(a.seq)).ok_or_else(|| self.unclear())
    }

    /// Has the server journal a correction; nothing right cancels the event.
    /// Answers with its event.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn correct(&mut self, corrects: Seq, right: Option<String>) -> Result<Seq, ClientError> {
        let instead = Some(right.map_or(Instead::Cancel(true), Instead::Right));
        let body = Body::Correction(v1::CorrectionRecord { corrects_seq: corrects.0, instead });
        let record = v1::AppendRecord { record_id: String::new(), body: Some(body) };
        let request = v1::AppendRequest { client: CLIENT.to_owned(), records: vec![record] };
        let calls = &mut self.calls;
        let said = self.runtime.block_on(async {
            calls.append(tokio_stream::iter([request])).await?.into_inner().message().await
        });
        let said = said.map_err(|e| self.refused(&e))?;
        let result = said.and_then(|said| said.results.into_iter().next());
        let result = result.ok_or_else(|| self.unclear())?;
        match result.refused.into_iter().next() {
            None => Ok(Seq(result.last_seq)),
            Some(v1::RefusedInput { field, message, .. }) => Err(self.refuses(format!(
                "{field}: {message}; what was sent is kept in quarantine as event {}",
                result.last_seq
            ))),
        }
    }

    /// How the server stands.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn status(&self) -> Result<ServerSays, ClientError> {
        let mut calls = AdminServiceClient::new(self.channel.clone())
            .max_decoding_message_size(REPLY_BYTES_MAX);
        let said = self.runtime.block_on(calls.get_status(v1::GetStatusRequest {}));
        let said = said.map_err(|e| self.refused(&e))?.into_inner();
        let feed = said.feed().as_str_name().trim_start_matches("FEED_STATE_").to_lowercase();
        let recv = said.head_time.map(|t| convert::recv_time("head_time", t)).transpose();
        let recv = recv.map_err(|e| self.refused(&e))?.unwrap_or_default();
        Ok(ServerSays {
            version: said.version,
            not_ready: (!said.ready).then_some(said.not_ready),
            head: Head { seq: Seq(said.head_seq), recv },
            folded: Seq(said.folded_seq),
            feed,
            checkpoint: (said.checkpoint_seq > 0).then_some(Seq(said.checkpoint_seq)),
            quarantined: said.quarantined,
            input_stopped: said.input_stopped,
            sessions: said.sessions,
        })
    }

    /// Has the server end the newest day, if the calendar has, and certify it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn seal_closing(
        &self,
        day: orrery_journal::units::TradingDay,
        again: bool,
    ) -> Result<crate::control::certificate::Sealed, ClientError> {
        let mut calls = AdminServiceClient::new(self.channel.clone())
            .max_decoding_message_size(REPLY_BYTES_MAX);
        let request = v1::SealDayRequest { day: convert::date(day), close: true, again };
        let said = self.runtime.block_on(calls.seal_day(request));
        let said = said.map_err(|e| self.refused(&e))?.into_inner();
        let kept = said.certificate.and_then(crate::control::certificate::kept);
        let kept = kept.ok_or_else(|| self.unclear())?;
        Ok(crate::control::certificate::Sealed { kept, made: said.made })
    }

    /// Has the server's folds write a checkpoint; says where they stood.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn take_checkpoint(&self) -> Result<Seq, ClientError> {
        let mut calls = AdminServiceClient::new(self.channel.clone());
        let said = self.runtime.block_on(calls.take_checkpoint(v1::TakeCheckpointRequest {}));
        Ok(Seq(said.map_err(|e| self.refused(&e))?.into_inner().seq))
    }
}
