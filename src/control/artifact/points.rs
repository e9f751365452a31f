//! Questions about artifacts by where they stand: what differs, which contracts
//! are behind it, where it comes from.

use std::time::Duration;

use orrery_proto::v1;
use orrery_proto::v1::artifact_point::When as Wire;
use serde_json::Value;
use tonic::Status;

use super::super::calls::Calls;
use super::super::point::{self, CellPart, DiffedCell, PartChange, Point, When, diff_points};
use super::super::status::{invalid, no_artifact};
use super::super::{AsOf, Backend, BackendError, convert, page};

/// Contracts behind one cell of a comparison, at most.
const CONTRACTS_MAX: usize = 1000;
/// Cells of one question, at most.
const PATHS_MAX: usize = 100;

fn size(field: &'static str, asked: i32, usual: usize, max: usize) -> Result<usize, Status> {
    page::size(asked, usual, max).map_err(|_| invalid(field, "cannot be negative"))
}

/// A point of a request.
fn read(field: &str, point: Option<v1::ArtifactPoint>) -> Result<Point, Status> {
    let point = point.ok_or_else(|| invalid(field, "must be given"))?;
    let when = match point.when {
        None => When::At(AsOf::Head),
        Some(Wire::Version(0)) => return Err(invalid(field, "the first version is 1")),
        Some(Wire::Version(version)) => When::Version(version),
        Some(Wire::AsOf(as_of)) => When::At(convert::as_of(Some(as_of))?),
        Some(Wire::CloseOf(day)) => When::Close(convert::trading_day(field, Some(day))?),
    };
    let profile = match point.profile.as_str() {
        "" => None,
        profile => Some(convert::name("profile", profile)?.into()),
    };
    Ok(Point {
        symbol: convert::symbol(&point.symbol)?.into(),
        family: convert::name("family", &point.family)?.into(),
        when,
        profile,
    })
}

/// Both points of a comparison, in either form of the request.
fn both(asked: &v1::DiffArtifactsRequest) -> Result<(Point, Point), Status> {
    if asked.before.is_some() || asked.after.is_some() {
        let before = read("before", asked.before.clone())?;
        return Ok((before, read("after", asked.after.clone())?));
    }
    if asked.before_version == 0 {
        return Err(invalid("before_version", "the first version is 1"));
    }
    let at = |when| -> Result<Point, Status> {
        Ok(Point {
            symbol: convert::symbol(&asked.symbol)?.into(),
            family: convert::name("family", &asked.family)?.into(),
            when,
            profile: None,
        })
    };
    let after = match asked.after_version {
        0 => When::At(AsOf::Head),
        version => When::Version(version),
    };
    Ok((at(When::Version(asked.before_version))?, at(after)?))
}

/// An artifact that is not there has its own reason, whichever point named it.
fn told<T>(answer: Result<T, BackendError>) -> Result<Result<T, Status>, BackendError> {
    match answer {
        Err(BackendError::Unknown { what: "artifact", name }) => {
            let (of, which) = name.split_once('@').unwrap_or((&name, "yet"));
            let (symbol, family) = of.split_once('/').unwrap_or((of, ""));
            let which = match which.strip_prefix('v') {
                Some(version) => format!("version {version}"),
                None => which.to_owned(),
            };
            Ok(Err(no_artifact(symbol, family, &which)))
        }
        answer => answer.map(Ok),
    }
}

async fn ask<T: Send + 'static>(
    calls: &Calls,
    deadline: Duration,
    question: impl FnOnce(&dyn Backend) -> Result<T, BackendError> + Send + 'static,
) -> Result<T, Status> {
    calls.ask(deadline, move |backend| told(question(backend))).await?
}

pub(super) async fn diff(
    calls: &Calls,
    deadline: Duration,
    asked: v1::DiffArtifactsRequest,
) -> Result<v1::DiffArtifactsResponse, Status> {
    let (before, after) = both(&asked)?;
    let cells = size("max_changes", asked.max_changes, 100, 10_000)?;
    let contracts = size("max_contracts", asked.max_contracts, 0, CONTRACTS_MAX)?;
    let found = ask(calls, deadline, move |backend| {
        diff_points(backend, &before, &after, cells, contracts)
    });
    let found = found.await?;
    Ok(v1::DiffArtifactsResponse {
        before: Some(convert::header(&found.before.header)),
        after: Some(convert::header(&found.after.header)),
        total: found.total as u64,
        changes: found.cells.into_iter().map(cell_change).collect(),
    })
}

pub(super) async fn explain(
    calls: &Calls,
    deadline: Duration,
    asked: v1::ExplainArtifactRequest,
) -> Result<v1::ExplainArtifactResponse, Status> {
    let at = read("artifact", asked.artifact)?;
    let paths = asked.paths;
    if !(1..=PATHS_MAX).contains(&paths.len()) {
        return Err(invalid("paths", "must name 1 to 100 cells"));
    }
    let max = size("max_contracts", asked.max_contracts, 100, 10_000)?;
    let (said, parts, paths) = ask(calls, deadline, move |backend| {
        let said = backend.said(&at)?;
        let wanted: Vec<&str> = paths.iter().map(String::as_str).collect();
        let parts = backend.behind(&said, &wanted)?;
        Ok((said, parts, paths))
    })
    .await?;
    let cell = |(path, mut parts): (String, Vec<CellPart>)| {
        let adds = |p: &CellPart| p.value.unwrap_or(0.0).abs();
        parts.sort_by(|a, b| adds(b).total_cmp(&adds(a)));
        let total = parts.len() as u64;
        let contract = |p: CellPart| v1::CellContract {
            ticker: p.ticker.into(),
            expiry: p.expiry,
            strike: p.strike,
            before: None,
            after: p.value,
        };
        let contracts = parts.into_iter().take(max).map(contract).collect();
        v1::CellExplanation { path, contracts, total }
    };
    Ok(v1::ExplainArtifactResponse {
        header: Some(convert::header(&said.header)),
        cells: paths.into_iter().zip(parts).map(cell).collect(),
    })
}

pub(super) async fn lineage(
    calls: &Calls,
    deadline: Duration,
    asked: v1::GetLineageRequest,
) -> Result<v1::GetLineageResponse, Status> {
    let at = read("artifact", asked.artifact)?;
    let depth = size("depth", asked.depth, 10, 1000)?;
    let steps = ask(calls, deadline, move |backend| point::lineage(backend, &at, depth)).await?;
    let step = |step: point::Step| v1::LineageStep {
        header: Some(convert::header(&step.header)),
        inputs: step.inputs.iter().map(convert::header).collect(),
        follows: step.follows,
    };
    Ok(v1::GetLineageResponse { steps: steps.into_iter().map(step).collect() })
}

fn cell_change(cell: DiffedCell) -> v1::CellChange {
    let DiffedCell { change, parts } = cell;
    let text = |cell: Option<Value>| cell.map(|v| v.to_string()).unwrap_or_default();
    let contract = |p: PartChange| v1::CellContract {
        ticker: p.ticker.into(),
        expiry: p.expiry,
        strike: p.strike,
        before: p.before,
        after: p.after,
    };
    v1::CellChange {
        path: change.path,
        before: text(change.left),
        after: text(change.right),
        absolute: change.absolute,
        relative: change.relative,
        contracts: parts.into_iter().map(contract).collect(),
    }
}
