//! Artifacts of a server, as they come out.

use std::ops::ControlFlow;

use orrery_proto::v1;
use orrery_proto::v1::artifact_service_client::ArtifactServiceClient;
use orrery_proto::v1::watch_artifacts_response::Event;
use orrery_replay::artifact::{Artifact, Header};

use super::{Client, ClientError};
use crate::control::{REPLY_BYTES_MAX, convert};

/// What is watched.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Watching {
    /// Only this symbol.
    pub symbol: Option<String>,
    /// Only this family.
    pub family: Option<String>,
    /// Only versions after this one; needs symbol and family.
    pub after: Option<u64>,
    /// Leave bodies out.
    pub header_only: bool,
    /// Skip to the newest when it goes too fast.
    pub newest_only: bool,
}

/// A version that came out.
#[derive(Clone, PartialEq, Debug)]
pub struct Watched {
    /// Its header, and its body where that was asked for.
    pub artifact: Artifact,
    /// Versions that were skipped right before it.
    pub skipped: u64,
    /// Newer versions that there were when it was sent.
    pub behind: u64,
}

impl Client {
    /// Follows artifacts until `each` breaks off or the server ends.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn watch(
        &self,
        watching: &Watching,
        each: &mut dyn FnMut(Watched) -> ControlFlow<()>,
    ) -> Result<(), ClientError> {
        let mut calls = ArtifactServiceClient::new(self.channel.clone())
            .max_decoding_message_size(REPLY_BYTES_MAX);
        let Watching { symbol, family, after, header_only, newest_only } = watching.clone();
        let selector = v1::ArtifactSelector {
            symbol: symbol.unwrap_or_default(),
            family: family.unwrap_or_default(),
            after_version: after,
        };
        let request = v1::WatchArtifactsRequest {
            selectors: vec![selector],
            header_only,
            newest_only,
            heartbeat: None,
        };
        let asked = self.runtime.block_on(calls.watch_artifacts(request));
        let mut stream = asked.map_err(|e| self.refused(&e))?.into_inner();
        while let Some(said) = {
            let said = self.runtime.block_on(stream.message());
            said.map_err(|e| self.refused(&e))?
        } {
            let Some(Event::Artifact(said)) = said.event else { continue };
            let watched = watched(said).ok_or_else(|| self.unclear())?;
            if each(watched).is_break() {
                break;
            }
        }
        Ok(())
    }
}

fn watched(said: v1::WatchedArtifact) -> Option<Watched> {
    let v1::Artifact { header, body } = said.artifact?;
    let header: Header = convert::header_said(header?).ok()?;
    let artifact = Artifact { header, body };
    Some(Watched { artifact, skipped: said.skipped, behind: said.behind })
}
