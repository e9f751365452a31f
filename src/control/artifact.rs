//! `ArtifactService`: the newest artifact, an older one, what changed, what
//! comes.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use orrery_proto::v1;
use orrery_proto::v1::artifact_service_server::ArtifactService;
use orrery_replay::artifact::{Artifact, Header};
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::calls::{Calls, deadline};
use super::page::{self, Page};
use super::status::{invalid, no_artifact, refusal};
use super::{AsOf, BackendError, CorrectedRead, LevelShare, Which, convert};
use crate::shelf::Shelf;

use watch::{Watch, Watched};

mod points;
mod watch;

/// Watchers at the same time, over all clients.
const WATCHERS_MAX: usize = 256;

/// Versions that wait for a slow watcher; older ones stay in the store and are
/// read when their turn comes.
const WAITING_MAX: usize = 2;

/// The service.
pub struct Artifacts {
    calls: Calls,
    shelf: Arc<Shelf>,
    watchers: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Artifacts {
    pub(super) fn new(calls: Calls, shelf: Arc<Shelf>, shutdown: CancellationToken) -> Artifacts {
        Artifacts { calls, shelf, watchers: Arc::new(Semaphore::new(WATCHERS_MAX)), shutdown }
    }
}

impl Artifacts {
    /// The newest artifact at a moment, as corrected.
    async fn corrected(
        &self,
        deadline: Duration,
        asked: v1::GetArtifactRequest,
    ) -> Result<Response<v1::GetArtifactResponse>, Status> {
        let as_of = match asked.which {
            None => AsOf::Head,
            Some(v1::get_artifact_request::Which::AsOf(as_of)) => convert::as_of(Some(as_of))?,
            Some(v1::get_artifact_request::Which::Version(_)) => {
                return Err(invalid("version", "is one of the record; ask as of a moment"));
            }
        };
        let (symbol, family) = (asked.symbol.clone(), asked.family.clone());
        let found = self.calls.ask(deadline, move |b| b.corrected(&symbol, &family, as_of)).await?;
        let CorrectedRead { artifact, known, events, unusable } =
            found.ok_or_else(|| no_artifact(&asked.symbol, &asked.family, "at that moment"))?;
        let Artifact { header, body } = artifact;
        let body = if asked.header_only { bytes::Bytes::new() } else { body };
        Ok(Response::new(v1::GetArtifactResponse {
            artifact: Some(v1::Artifact { header: Some(convert::header(&header)), body }),
            corrected: Some(v1::CorrectedRead { known_seq: known.0, events, unusable }),
        }))
    }
}

#[tonic::async_trait]
impl ArtifactService for Artifacts {
    async fn get_artifact(
        &self,
        request: Request<v1::GetArtifactRequest>,
    ) -> Result<Response<v1::GetArtifactResponse>, Status> {
        let deadline = deadline(&request);
        let asked = request.into_inner();
        let symbol = convert::symbol(&asked.symbol)?.to_owned();
        let family = convert::name("family", &asked.family)?.to_owned();
        if asked.corrected {
            return self.corrected(deadline, asked).await;
        }
        let (which, said) = match asked.which {
            None => (Which::Latest, String::from("yet")),
            Some(v1::get_artifact_request::Which::Version(version)) => {
                (Which::Version(version), format!("version {version}"))
            }
            Some(v1::get_artifact_request::Which::AsOf(as_of)) => {
                (Which::AsOf(convert::as_of(Some(as_of))?), String::from("at that moment"))
            }
        };
        let found = self
            .calls
            .ask(deadline, move |backend| {
                let Some(header) = backend.header(&symbol, &family, which)? else {
                    return Ok(None);
                };
                let body =
                    if asked.header_only { bytes::Bytes::new() } else { backend.body(&header)? };
                Ok(Some(v1::Artifact { header: Some(convert::header(&header)), body }))
            })
            .await?;
        let artifact = found.ok_or_else(|| no_artifact(&asked.symbol, &asked.family, &said))?;
        Ok(Response::new(v1::GetArtifactResponse { artifact: Some(artifact), corrected: None }))
    }

    async fn list_artifacts(
        &self,
        request: Request<v1::ListArtifactsRequest>,
    ) -> Result<Response<v1::ListArtifactsResponse>, Status> {
        let deadline = deadline(&request);
        let mut asked = request.into_inner();
        let size = page::size(std::mem::take(&mut asked.page_size), 100, 1000)?;
        let token = std::mem::take(&mut asked.page_token);
        let of = page::fingerprint("ListArtifacts", &asked);
        let page = page::parse(of, &token)?;
        for (field, text) in [("symbol", &asked.symbol), ("family", &asked.family)] {
            if !text.is_empty() {
                convert::name(field, text)?;
            }
        }
        let one_family = !asked.symbol.is_empty() && !asked.family.is_empty();
        if asked.from_version > 0 && !one_family {
            return Err(invalid("from_version", "needs symbol and family"));
        }
        let first = if one_family { asked.from_version.max(1) } else { 0 };
        let start = page.map_or(first, |page| page.start);
        let (headers, more) = self
            .calls
            .ask(deadline, move |backend| {
                // One more than fits tells whether another page follows.
                let mut headers = if one_family {
                    backend.headers(&asked.symbol, &asked.family, start, size + 1)?
                } else {
                    newest_of_families(backend, &asked.symbol, &asked.family, start, size + 1)?
                };
                let more = headers.len() > size;
                headers.truncate(size);
                Ok((headers, more))
            })
            .await?;
        let next = if one_family {
            headers.last().map_or(start, |h| h.version.saturating_add(1))
        } else {
            start.saturating_add(headers.len() as u64)
        };
        let next_page_token = if more {
            page::token(of, Page { start: next, seq: Default::default() })
        } else {
            String::new()
        };
        Ok(Response::new(v1::ListArtifactsResponse {
            headers: headers.iter().map(convert::header).collect(),
            next_page_token,
        }))
    }

    async fn diff_artifacts(
        &self,
        request: Request<v1::DiffArtifactsRequest>,
    ) -> Result<Response<v1::DiffArtifactsResponse>, Status> {
        let deadline = deadline(&request);
        points::diff(&self.calls, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn explain_artifact(
        &self,
        request: Request<v1::ExplainArtifactRequest>,
    ) -> Result<Response<v1::ExplainArtifactResponse>, Status> {
        let deadline = deadline(&request);
        points::explain(&self.calls, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn get_lineage(
        &self,
        request: Request<v1::GetLineageRequest>,
    ) -> Result<Response<v1::GetLineageResponse>, Status> {
        let deadline = deadline(&request);
        points::lineage(&self.calls, deadline, request.into_inner()).await.map(Response::new)
    }

    async fn explain_level(
        &self,
        request: Request<v1::ExplainLevelRequest>,
    ) -> Result<Response<v1::ExplainLevelResponse>, Status> {
        let deadline = deadline(&request);
        let asked = request.into_inner();
        let symbol = convert::symbol(&asked.symbol)?.to_owned();
        let level = convert::name("level", &asked.level)?.to_owned();
        let profile = (!asked.profile.is_empty()).then_some(asked.profile);
        let as_of = convert::as_of(asked.as_of)?;
        let most = page::size(asked.max_contracts, 100, 10_000)
            .map_err(|_| invalid("max_contracts", "cannot be negative"))?;
        let found = self
            .calls
            .ask(deadline, move |b| b.explain(&symbol, &level, profile.as_deref(), as_of))
            .await?;
        let share = |share: &LevelShare| v1::LevelShare {
            ticker: share.ticker.to_string(),
            expiration: convert::date(share.expiry),
            strike: share.strike,
            value: share.value,
            share: share.share,
        };
        Ok(Response::new(v1::ExplainLevelResponse {
            moment: Some(convert::moment(found.moment)),
            profile: found.profile,
            level: found.level,
            value: found.value,
            contracts: found.contracts.iter().take(most).map(share).collect(),
            total: found.contracts.len() as u64,
        }))
    }

    type WatchArtifactsStream =
        Pin<Box<dyn Stream<Item = Result<v1::WatchArtifactsResponse, Status>> + Send>>;

    async fn watch_artifacts(
        &self,
        request: Request<v1::WatchArtifactsRequest>,
    ) -> Result<Response<Self::WatchArtifactsStream>, Status> {
        let permit = Arc::clone(&self.watchers).try_acquire_owned().map_err(|_| {
            refusal(
                Code::ResourceExhausted,
                "TOO_MANY_WATCHERS",
                &format!("{WATCHERS_MAX} watchers at most; close one"),
            )
        })?;
        let watched = Watched::of(request.get_ref())?;
        let deadline = deadline(&request);
        watched.check(&self.calls, &self.shelf, deadline).await?;
        let (out, stream) = mpsc::channel(WAITING_MAX);
        let watch = Watch {
            watched,
            calls: self.calls.clone(),
            shelf: Arc::clone(&self.shelf),
            shutdown: self.shutdown.clone(),
            out,
        };
        tokio::spawn(async move {
            watch.run().await;
            drop(permit);
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// The newest header of every family that matches, from the `start`th on.
fn newest_of_families(
    backend: &dyn super::Backend,
    symbol: &str,
    family: &str,
    start: u64,
    limit: usize,
) -> Result<Vec<Header>, BackendError> {
    let matches = |wanted: &str, is: &str| wanted.is_empty() || wanted == is;
    let mut headers = Vec::new();
    let families = backend.families()?;
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    for (of, name) in
        families.iter().filter(|(s, f)| matches(symbol, s) && matches(family, f)).skip(start)
    {
        if headers.len() == limit {
            break;
        }
        headers.extend(backend.header(of, name, Which::Latest)?);
    }
    Ok(headers)
}
