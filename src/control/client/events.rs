//! Events and proofs from a server.

use std::ops::ControlFlow;
use std::time::Duration;

use orrery_journal::units::Seq;
use orrery_proto::v1;

use super::{Client, ClientError};
use crate::control::events::{
    self, EventFilter, EventRange, Found, ReadDone, Start, Tailed, filter_message,
};
use crate::control::proving::{self, Given, SignedCheckpoint, Wanted};

impl Client {
    /// Reads a range; `each` may break off, and then there is no account.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn read(
        &mut self,
        range: &EventRange,
        each: &mut dyn FnMut(&[Found]) -> ControlFlow<()>,
    ) -> Result<Option<ReadDone>, ClientError> {
        let asked = self.runtime.block_on(self.calls.read_range(events::range_message(range)));
        let mut stream = asked.map_err(|e| self.refused(&e))?.into_inner();
        loop {
            let said = self.runtime.block_on(stream.message());
            let Some(said) = said.map_err(|e| self.refused(&e))? else {
                return Err(self.unclear());
            };
            let found = self.found(said.events)?;
            if !found.is_empty() && each(&found).is_break() {
                return Ok(None);
            }
            if let Some(done) = said.done {
                return Ok(Some(ReadDone {
                    from: Seq(done.from_seq),
                    to: Seq(done.to_seq),
                    events: done.events,
                    pages_read: done.pages_read,
                    pages_skipped: done.pages_skipped,
                    frames_read: done.frames_read,
                    next: done.next_seq.map(Seq),
                }));
            }
        }
    }

    /// Follows the journal until `each` breaks off or the server ends.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn tail(
        &mut self,
        filter: &EventFilter,
        start: Start,
        heartbeat: Duration,
        each: &mut dyn FnMut(Tailed<'_>) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let (from_seq, last) = match start {
            Start::At(seq) => (seq.0, 0),
            Start::Last(last) => (0, u32::try_from(last).unwrap_or(u32::MAX)),
        };
        let request = v1::TailRequest {
            filter: Some(filter_message(filter)),
            from_seq,
            last,
            canonical: true,
            heartbeat: prost_types::Duration::try_from(heartbeat).ok(),
        };
        let asked = self.runtime.block_on(self.calls.tail(request));
        let mut stream = asked.map_err(|e| self.refused(&e))?.into_inner();
        while let Some(said) = {
            let said = self.runtime.block_on(stream.message());
            said.map_err(|e| self.refused(&e))?
        } {
            let found = self.found(said.events)?;
            let tailed = match found.as_slice() {
                [] => Tailed::Quiet(Seq(said.next_seq)),
                found => Tailed::Events(found),
            };
            if each(tailed).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn found(&self, said: Vec<v1::JournalEvent>) -> Result<Vec<Found>, ClientError> {
        let found: Option<Vec<Found>> = said.into_iter().map(events::found).collect();
        found.ok_or_else(|| self.unclear())
    }

    /// Has the server prove something.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn prove(&mut self, wanted: &Wanted, origin: Option<&str>) -> Result<Given, ClientError> {
        let origin = origin.unwrap_or_default().to_owned();
        let request = v1::ProveRequest { what: Some(proving::what(wanted)), origin };
        let asked = self.runtime.block_on(self.calls.prove(request));
        let mut stream = asked.map_err(|e| self.refused(&e))?.into_inner();
        let (mut bundle, mut key) = (Vec::new(), String::new());
        while let Some(said) = {
            let said = self.runtime.block_on(stream.message());
            said.map_err(|e| self.refused(&e))?
        } {
            bundle.extend_from_slice(&said.bundle);
            if !said.key.is_empty() {
                key = said.key;
            }
        }
        let bundle = String::from_utf8(bundle).map_err(|_| self.unclear())?;
        Ok(Given { bundle, key })
    }

    /// The server's signed checkpoint.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn checkpoint(&mut self, origin: Option<&str>) -> Result<SignedCheckpoint, ClientError> {
        let origin = origin.unwrap_or_default().to_owned();
        let request = v1::GetCheckpointRequest { origin };
        let asked = self.runtime.block_on(self.calls.get_checkpoint(request));
        let v1::GetCheckpointResponse { note, origin, size, root, key } =
            asked.map_err(|e| self.refused(&e))?.into_inner();
        Ok(SignedCheckpoint { origin, size, root, note, key })
    }

    /// The public key of the server's log.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn key(&mut self, origin: Option<&str>) -> Result<String, ClientError> {
        let origin = origin.unwrap_or_default().to_owned();
        let asked = self.runtime.block_on(self.calls.get_key(v1::GetKeyRequest { origin }));
        Ok(asked.map_err(|e| self.refused(&e))?.into_inner().key)
    }
}
