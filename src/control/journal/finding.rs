//! The lists and look-ups of `JournalService`.

use std::ops::ControlFlow;

use bytes::Bytes;
use orrery_journal::event::{Body, Kind};
use orrery_proto::v1;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::Journals;
use crate::control::calls::deadline;
use crate::control::events::EventFilter;
use crate::control::lookup::{self, BLOB_PIECE, Bounds, Part};
use crate::control::page::{self, Page};

fn of_kind(kind: Kind) -> EventFilter {
    EventFilter { kinds: vec![kind], ..EventFilter::default() }
}

pub(super) async fn days(
    journals: &Journals,
    request: Request<v1::ListDaysRequest>,
) -> Result<Response<v1::ListDaysResponse>, Status> {
    let deadline = deadline(&request);
    let v1::ListDaysRequest { page_size, page_token, with_pages } = request.into_inner();
    // A day of 50 million events has 12,000 pages.
    let most = if with_pages { 50 } else { 1000 };
    let size = page::size(page_size, 50, most)?;
    let asked = v1::ListDaysRequest { with_pages, ..Default::default() };
    let of = page::fingerprint("ListDays", &asked);
    let start = page::parse(of, &page_token)?.map_or(0, |page| page.start);
    let start = usize::try_from(start).unwrap_or(usize::MAX);
    let days = journals.calls.ask(deadline, |b| b.days()).await?;
    let end = start.saturating_add(size);
    let next = Page { start: end as u64, seq: Default::default() };
    let next_page_token = if days.len() > end { page::token(of, next) } else { String::new() };
    let days = days.into_iter().skip(start).take(size).map(|d| lookup::day(d, with_pages));
    let days = days.collect();
    Ok(Response::new(v1::ListDaysResponse { days, next_page_token }))
}

pub(super) async fn gaps(
    journals: &Journals,
    request: Request<v1::ListGapsRequest>,
) -> Result<Response<v1::ListGapsResponse>, Status> {
    let deadline = deadline(&request);
    let mut asked = request.into_inner();
    let size = page::size(std::mem::take(&mut asked.page_size), 100, 1000)?;
    let token = std::mem::take(&mut asked.page_token);
    let of = page::fingerprint("ListGaps", &asked);
    let bounds = Bounds { day: asked.day, from: asked.from, to: asked.to };
    let part = Part::new(bounds, of_kind(Kind::Gap), size, of, &token)?;
    let found = journals.calls.ask(deadline, move |backend| {
        let found = part.read(backend, &mut |_| true)?;
        let gaps = found.events.iter().filter_map(|found| lookup::gap(backend, found));
        Ok(v1::ListGapsResponse { gaps: gaps.collect(), next_page_token: found.next })
    });
    found.await.map(Response::new)
}

pub(super) async fn quarantine(
    journals: &Journals,
    request: Request<v1::ListQuarantineRequest>,
) -> Result<Response<v1::ListQuarantineResponse>, Status> {
    let deadline = deadline(&request);
    let mut asked = request.into_inner();
    let size = page::size(std::mem::take(&mut asked.page_size), 100, 500)?;
    let token = std::mem::take(&mut asked.page_token);
    let of = page::fingerprint("ListQuarantine", &asked);
    let reason = lookup::reason(&asked.reason)?;
    let with_input = !asked.without_input;
    let bounds = Bounds { day: asked.day, from: asked.from, to: asked.to };
    let part = Part::new(bounds, of_kind(Kind::Quarantine), size, of, &token)?;
    let found = journals.calls.ask(deadline, move |backend| {
        let found = part.read(backend, &mut |found| match &found.at.event.body {
            Body::Quarantine(kept) => reason.is_none_or(|reason| reason == kept.reason),
            _ => false,
        })?;
        let inputs = found.events.iter();
        let inputs = inputs
            .map(|found| lookup::quarantined(backend, found, with_input))
            .collect::<Result<Vec<_>, _>>()?;
        let inputs = inputs.into_iter().flatten().collect();
        Ok(v1::ListQuarantineResponse { inputs, next_page_token: found.next })
    });
    found.await.map(Response::new)
}

pub(super) async fn event(
    journals: &Journals,
    request: Request<v1::GetEventRequest>,
) -> Result<Response<v1::GetEventResponse>, Status> {
    let deadline = deadline(&request);
    let which = lookup::which(request.into_inner())?;
    let found = journals.calls.ask(deadline, move |b| b.event(which)).await?;
    Ok(Response::new(lookup::placed(&found)))
}

pub(super) async fn page(
    journals: &Journals,
    request: Request<v1::GetPageRequest>,
) -> Result<Response<v1::GetPageResponse>, Status> {
    let deadline = deadline(&request);
    let which = lookup::which_page(request.into_inner())?;
    let found = journals.calls.ask(deadline, move |b| b.page(which)).await?;
    Ok(Response::new(lookup::page_message(found)))
}

pub(super) async fn blob(
    journals: &Journals,
    request: Request<v1::GetBlobRequest>,
) -> Result<Response<ReceiverStream<Result<v1::GetBlobResponse, Status>>>, Status> {
    let deadline = deadline(&request);
    let address = lookup::address("address", &request.get_ref().address)?;
    let bytes: Bytes = journals.calls.ask(deadline, move |b| b.blob(address)).await?;
    let stream = journals.streams.start(move |to| {
        let mut total_bytes = bytes.len() as u64;
        // An empty blob is one empty piece.
        for at in (0..bytes.len().max(1)).step_by(BLOB_PIECE) {
            let piece = bytes.slice(at..bytes.len().min(at + BLOB_PIECE));
            let total_bytes = std::mem::take(&mut total_bytes);
            if to.send(v1::GetBlobResponse { piece, total_bytes }) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    })?;
    Ok(Response::new(stream))
}
