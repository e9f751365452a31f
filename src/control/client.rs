//! The other side of `JournalService`, `CertificateService` and `ProfileService`: what the command line asks of a server
//! that holds the data directory.

mod certificates;
pub mod delivery;
mod events;
pub mod input;
mod profiles;
pub mod session;
pub mod watch;
pub mod way;

use std::path::Path;
use std::time::Duration;

use orrery_journal::guard::{GuardState, Room};
use orrery_journal::units::Seq;
use orrery_journal::{Calendar, Copied, CopyProgress, Head, Part, Stat};
use orrery_proto::v1;
use orrery_proto::v1::certificate_service_client::CertificateServiceClient;
use orrery_proto::v1::journal_service_client::JournalServiceClient;
use tokio::runtime::Runtime;
use tonic::Status;
use tonic::service::interceptor::InterceptedService;

use self::way::{Link, Way};
use super::{REPLY_BYTES_MAX, convert, journal};

/// How long a server may take to accept a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error("no server answers at {address}")]
    Unreachable {
        /// As given.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It answered, with a refusal.
    #[error("the server at {address} says: {message}")]
    Refused {
        /// As given.
        address: String,
        /// Its sentence.
        message: String,
    },
}

/// A connection to a server.
pub struct Client {
    address: String,
    runtime: Runtime,
    channel: Link,
    calls: JournalServiceClient<Link>,
    certificates: CertificateServiceClient<Link>,
}

impl Client {
    /// Connects to a server.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn connect(way: impl Into<Way>) -> Result<Client, ClientError> {
        let way = way.into();
        let (runtime, channel) = reach(&way)?;
        Ok(Client {
            address: way.address,
            runtime,
            certificates: CertificateServiceClient::new(channel.clone())
                .max_decoding_message_size(REPLY_BYTES_MAX),
            channel: channel.clone(),
            calls: JournalServiceClient::new(channel).max_decoding_message_size(REPLY_BYTES_MAX),
        })
    }

    /// Where the server listens.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The journal in numbers.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn stat(&mut self) -> Result<Stat, ClientError> {
        let asked = self.runtime.block_on(self.calls.stat(v1::StatRequest {}));
        let said = asked.map_err(|e| self.refused(&e))?.into_inner().stat.unwrap_or_default();
        stat(said).ok_or_else(|| self.unclear())
    }

    /// Has the server copy its journal into a folder of its machine.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn backup(
        &mut self,
        dir: &Path,
        progress: &mut dyn FnMut(CopyProgress),
    ) -> Result<Copied, ClientError> {
        let request = v1::BackupRequest { path: dir.to_string_lossy().into_owned() };
        let asked = self.runtime.block_on(self.calls.backup(request));
        let mut stream = asked.map_err(|e| self.refused(&e))?.into_inner();
        loop {
            let said = self.runtime.block_on(stream.message());
            let Some(said) = said.map_err(|e| self.refused(&e))? else {
                return Err(self.unclear());
            };
            progress(CopyProgress { seq: Seq(said.seq), head: Seq(said.head_seq) });
            if let Some(done) = said.done {
                return Ok(Copied {
                    from: Seq(done.from_seq),
                    head: Seq(done.head_seq),
                    pages: done.pages,
                    blobs: done.blobs,
                    frames: done.frames,
                    bytes: done.bytes,
                });
            }
        }
    }

    /// Has the server compact its journal; bytes on disk before and after.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn compact(&mut self) -> Result<(u64, u64), ClientError> {
        let asked = self.runtime.block_on(self.calls.compact(v1::CompactRequest {}));
        let said = asked.map_err(|e| self.refused(&e))?.into_inner();
        Ok((said.bytes_before, said.bytes_after))
    }

    fn refused(&self, status: &Status) -> ClientError {
        refused(&self.address, status)
    }

    fn unclear(&self) -> ClientError {
        let message = "nothing that this orrery understands".to_owned();
        ClientError::Refused { address: self.address.clone(), message }
    }
}

/// A connection, and what drives it.
fn reach(way: &Way) -> Result<(Runtime, Link), ClientError> {
    let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| ClientError::Unreachable {
        address: way.address.clone(),
        source,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| unreachable(e.into()))?;
    let channel = runtime.block_on(async {
        // Timers of the endpoint want a runtime around them.
        let endpoint = way.endpoint()?.connect_timeout(PATIENCE);
        Ok(endpoint.connect().await?)
    });
    let channel = channel.map_err(unreachable)?;
    Ok((runtime, InterceptedService::new(channel, way.bearer())))
}

fn refused(address: &str, status: &Status) -> ClientError {
    let message = match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    };
    ClientError::Refused { address: address.to_owned(), message }
}

fn stat(said: v1::JournalStat) -> Option<Stat> {
    let recv = said.head_recv.map(|t| convert::recv_time("head_recv", t));
    let calendars = [Calendar::NewYork, Calendar::Utc];
    let total = 0;
    Some(Stat {
        head: Head { seq: Seq(said.head_seq), recv: recv.transpose().ok()?.unwrap_or_default() },
        watermark: said.watermark_seq.map(Seq),
        writer_epoch: said.writer_epoch,
        calendar: calendars.into_iter().find(|c| journal::calendar(*c) == said.calendar)?,
        format: said.format,
        days: said.days,
        pages: said.pages,
        page_events: said.page_events,
        frames: said.frames,
        frame_events: said.frame_events,
        blobs: said.blobs,
        instruments: said.instruments,
        conditions: said.conditions,
        sources: said.sources,
        parts: said
            .parts
            .into_iter()
            .map(|p| Part { name: p.name, bytes: p.bytes, entries: p.entries })
            .collect(),
        bytes: said.bytes,
        guard: GuardState {
            room: said.free_bytes.map(|free| Room { free, total }),
            reserve: said.reserve_bytes,
            closed: said.input_stopped,
            closures: 0,
            refused: said.refused,
        },
    })
}
