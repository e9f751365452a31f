//! `EpochService`: which contracts existed, and what was known of them.

use std::collections::BTreeSet;

use orrery_journal::event::{Kind, OptionRight};
use orrery_journal::units::{Price, TradingDay};
use orrery_proto::v1;
use orrery_proto::v1::epoch_service_server::EpochService;
use tonic::{Code, Request, Response, Status};

use super::calls::{Calls, deadline};
use super::events::{self, EventFilter};
use super::lookup::{Bounds, Part};
use super::page::{self, Page};
use super::status::{invalid, refusal};
use super::{AsOf, convert};
use crate::market::book::{Contract, Topology};
use crate::market::epoch::EpochState;

/// The service.
pub struct Epochs {
    calls: Calls,
}

impl Epochs {
    pub(super) fn new(calls: Calls) -> Epochs {
        Epochs { calls }
    }
}

#[tonic::async_trait]
impl EpochService for Epochs {
    async fn list_epochs(
        &self,
        request: Request<v1::ListEpochsRequest>,
    ) -> Result<Response<v1::ListEpochsResponse>, Status> {
        let deadline = deadline(&request);
        let mut asked = request.into_inner();
        let symbol = convert::symbol(&asked.symbol)?.to_owned();
        let size = page::size(std::mem::take(&mut asked.page_size), 100, 1000)?;
        let token = std::mem::take(&mut asked.page_token);
        let of = page::fingerprint("ListEpochs", &asked);
        let page = page::parse(of, &token)?;
        let as_of = match page {
            Some(page) => AsOf::Seq(page.seq),
            None => convert::as_of(asked.as_of)?,
        };
        let mut known = self.calls.ask(deadline, move |b| b.epochs(&symbol, as_of)).await?;
        known.epochs.sort_by(|a, b| b.born.seq.cmp(&a.born.seq).then(b.id.cmp(&a.id)));
        let start = start_of(page);
        let end = start.saturating_add(size);
        let more = known.epochs.len() > end;
        Ok(Response::new(v1::ListEpochsResponse {
            epochs: known
                .epochs
                .into_iter()
                .skip(start)
                .take(size)
                .map(|epoch| convert::epoch(&asked.symbol, epoch))
                .collect(),
            next_page_token: next_token(more, of, end, known.moment.seq),
            moment: Some(convert::moment(known.moment)),
        }))
    }

    async fn get_epoch(
        &self,
        request: Request<v1::GetEpochRequest>,
    ) -> Result<Response<v1::GetEpochResponse>, Status> {
        let deadline = deadline(&request);
        let asked = request.into_inner();
        let symbol = convert::symbol(&asked.symbol)?.to_owned();
        let id = convert::epoch_id(&asked.epoch_id)?
            .ok_or_else(|| invalid("epoch_id", "must be given"))?;
        let as_of = convert::as_of(asked.as_of)?;
        let known = self.calls.ask(deadline, move |b| b.epochs(&symbol, as_of)).await?;
        let epoch =
            known.epochs.into_iter().filter(|e| e.id == id).max_by_key(|e| e.born.seq).ok_or_else(
                || {
                    refusal(
                        Code::NotFound,
                        "UNKNOWN_EPOCH",
                        &format!("{} has no epoch {id} at that moment", asked.symbol),
                    )
                },
            )?;
        Ok(Response::new(v1::GetEpochResponse {
            epoch: Some(convert::epoch(&asked.symbol, epoch)),
            moment: Some(convert::moment(known.moment)),
        }))
    }

    async fn get_active_epoch(
        &self,
        request: Request<v1::GetActiveEpochRequest>,
    ) -> Result<Response<v1::GetActiveEpochResponse>, Status> {
        let deadline = deadline(&request);
        let asked = request.into_inner();
        let symbol = convert::symbol(&asked.symbol)?.to_owned();
        let as_of = convert::as_of(asked.as_of)?;
        let known = self.calls.ask(deadline, move |b| b.epochs(&symbol, as_of)).await?;
        let epoch = known.epochs.into_iter().find(|e| e.state() == EpochState::Active).ok_or_else(
            || {
                refusal(
                    Code::FailedPrecondition,
                    "NO_ACTIVE_EPOCH",
                    &format!("{} has no active epoch at that moment", asked.symbol),
                )
            },
        )?;
        Ok(Response::new(v1::GetActiveEpochResponse {
            epoch: Some(convert::epoch(&asked.symbol, epoch)),
            moment: Some(convert::moment(known.moment)),
        }))
    }

    async fn list_contracts(
        &self,
        request: Request<v1::ListContractsRequest>,
    ) -> Result<Response<v1::ListContractsResponse>, Status> {
        let deadline = deadline(&request);
        let mut asked = request.into_inner();
        let symbol = convert::symbol(&asked.symbol)?.to_owned();
        let epoch = convert::epoch_id(&asked.epoch_id)?;
        let cut = Cut::of(&asked)?;
        let size = page::size(std::mem::take(&mut asked.page_size), 500, 5000)?;
        let token = std::mem::take(&mut asked.page_token);
        let of = page::fingerprint("ListContracts", &asked);
        let page = page::parse(of, &token)?;
        let as_of = match page {
            Some(page) => AsOf::Seq(page.seq),
            None => convert::as_of(asked.as_of)?,
        };
        let start = start_of(page);
        self.calls
            .ask(deadline, move |backend| {
                let plane = backend.plane(&symbol, epoch, as_of)?;
                let topology = &plane.book.topology;
                let slots = cut.slots(topology, plane.day);
                let end = start.saturating_add(size);
                let contracts = slots
                    .iter()
                    .skip(start)
                    .take(size)
                    .filter_map(|&slot| {
                        let contract = topology.contracts.get(slot)?;
                        let state = plane.book.states.get(slot)?;
                        Some(convert::contract(contract, state, plane.day))
                    })
                    .collect();
                Ok(v1::ListContractsResponse {
                    contracts,
                    next_page_token: next_token(slots.len() > end, of, end, plane.moment.seq),
                    total: slots.len() as u64,
                    epoch_id: topology.id.to_string(),
                    moment: Some(convert::moment(plane.moment)),
                    spot: plane.spot.map(|spot| spot.value),
                })
            })
            .await
            .map(Response::new)
    }

    async fn list_contract_history(
        &self,
        request: Request<v1::ListContractHistoryRequest>,
    ) -> Result<Response<v1::ListContractHistoryResponse>, Status> {
        let deadline = deadline(&request);
        let mut asked = request.into_inner();
        let ticker = convert::name("ticker", &asked.ticker)?.to_owned();
        let size = page::size(std::mem::take(&mut asked.page_size), 500, 5000)?;
        let token = std::mem::take(&mut asked.page_token);
        let of = page::fingerprint("ListContractHistory", &asked);
        let mut kinds = vec![Kind::Quote];
        kinds.extend(asked.trades.then_some(Kind::Trade));
        let bounds = Bounds { day: asked.day, from: asked.from, to: asked.to };
        let filter = EventFilter { kinds, tickers: vec![ticker] };
        let part = Part::new(bounds, filter, size, of, &token)?;
        self.calls
            .ask(deadline, move |backend| {
                let found = part.read(backend, &mut |_| true)?;
                Ok(v1::ListContractHistoryResponse {
                    events: found.events.iter().map(|e| events::message(e, false)).collect(),
                    next_page_token: found.next,
                    to_seq: found.to.0,
                })
            })
            .await
            .map(Response::new)
    }
}

fn start_of(page: Option<Page>) -> usize {
    page.map_or(0, |page| usize::try_from(page.start).unwrap_or(usize::MAX))
}

fn next_token(more: bool, of: u64, end: usize, seq: orrery_journal::units::Seq) -> String {
    if more { page::token(of, Page { start: end as u64, seq }) } else { String::new() }
}

/// The conditions of a plane.
struct Cut {
    strikes: (f64, f64),
    dte: (f64, f64),
    right: Option<OptionRight>,
    width: Option<(f64, f64)>,
}

impl Cut {
    fn of(asked: &v1::ListContractsRequest) -> Result<Cut, Status> {
        let right = match v1::OptionRight::try_from(asked.right) {
            Ok(v1::OptionRight::Unspecified) => None,
            Ok(v1::OptionRight::Call) => Some(OptionRight::Call),
            Ok(v1::OptionRight::Put) => Some(OptionRight::Put),
            Err(_) => return Err(invalid("right", "is neither call nor put")),
        };
        Ok(Cut {
            strikes: convert::range("strikes", asked.strikes)?,
            dte: convert::range("dte", asked.dte)?,
            right,
            width: asked.width.map(|w| convert::range("width", Some(w))).transpose()?,
        })
    }

    /// The slots that match, in the topology's order.
    fn slots(&self, topology: &Topology, day: TradingDay) -> Vec<usize> {
        let within = |(min, max): (f64, f64), x: f64| min <= x && x <= max;
        let legs = self.width.map(|width| {
            let widths =
                topology.widths.iter().copied().filter(|w| within(width, w.to_f64())).collect();
            legs(topology, widths)
        });
        topology
            .contracts
            .iter()
            .enumerate()
            .filter(|(slot, contract)| {
                within(self.strikes, contract.strike.to_f64())
                    && within(self.dte, f64::from(contract.dte(day)))
                    && self.right.is_none_or(|right| right == contract.right)
                    && legs.as_ref().is_none_or(|legs| legs.contains(slot))
            })
            .map(|(slot, _)| slot)
            .collect()
    }
}

/// Slots that are a leg of a vertical of one of the widths.
fn legs(topology: &Topology, widths: Vec<Price>) -> BTreeSet<usize> {
    let lattice = |c: &Contract, strike: Price| {
        (c.expiry, c.root.clone(), c.right == OptionRight::Put, strike)
    };
    let strikes: std::collections::BTreeMap<_, usize> = topology
        .contracts
        .iter()
        .enumerate()
        .map(|(slot, contract)| (lattice(contract, contract.strike), slot))
        .collect();
    let mut legs = BTreeSet::new();
    for (slot, contract) in topology.contracts.iter().enumerate() {
        for width in &widths {
            let above = contract.strike.0.checked_add(width.0).map(Price);
            if let Some(&other) = above.and_then(|k| strikes.get(&lattice(contract, k))) {
                legs.insert(slot);
                legs.insert(other);
            }
        }
    }
    legs
}
