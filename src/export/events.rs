//! Events as rows: every kind has a table, nothing is left out.

pub(super) mod tables;

use std::collections::BTreeMap;

use orrery_journal::event::{
    Body, ChainRow, ChainRows, Event, ExerciseStyle, JournalEvent, Kind, OptionRight,
};
use orrery_journal::units::{Address, InstrumentId, TradingDay};
use orrery_journal::{DaySummary, Filter, Journal, ReadError};

use super::files::{FileId, Files};
use super::table::{Cell, Table};
use super::{ExportError, Progress};

/// Writes the events of a day that the filter lets through.
pub(super) fn day(
    journal: &Journal,
    day: &DaySummary,
    filter: &Filter,
    files: &mut Files,
    counts: &mut BTreeMap<&'static str, u64>,
    progress: Progress<'_>,
) -> Result<(), ExportError> {
    let mut writer = Writer { journal, day: day.day, files, open: BTreeMap::new() };
    for events in journal.read_matching(day.first, day.last, filter.clone()) {
        let mut reached = day.first;
        for event in events? {
            reached = event.seq;
            writer.event(&event)?;
            *counts.entry(event.event.body.kind().name()).or_default() += 1;
        }
        writer.files.relieve()?;
        if progress(reached).is_break() {
            return Err(ExportError::Stopped(reached));
        }
    }
    writer.files.close()
}

struct Writer<'a> {
    journal: &'a Journal,
    day: TradingDay,
    files: &'a mut Files,
    open: BTreeMap<&'static str, FileId>,
}

impl Writer<'_> {
    fn file(&mut self, table: &'static Table) -> Result<FileId, ExportError> {
        if let Some(file) = self.open.get(table.name) {
            return Ok(*file);
        }
        let folder = format!("events/kind={}/date={}", table.name, self.day);
        let file = self.files.begin(&folder, table, &[("day", self.day.to_string())])?;
        self.open.insert(table.name, file);
        Ok(file)
    }

    fn blob(&self, address: Address) -> Result<[Cell<'static>; 2], ReadError> {
        let bytes = self.journal.blob(address)?;
        Ok(match String::from_utf8(bytes.into()) {
            Ok(text) => [text.into(), Cell::Null],
            Err(error) => [Cell::Null, Cell::Bytes(error.into_bytes().into())],
        })
    }

    fn conditions(&self, id: u32) -> Cell<'static> {
        Cell::U32s(self.journal.conditions(id).unwrap_or_default().into_vec().into())
    }

    fn event(&mut self, JournalEvent { seq, event }: &JournalEvent) -> Result<(), ExportError> {
        let kind = event.body.kind();
        let file = self.file(tables::of(kind))?;
        let ticker = self.journal.ticker(event.instrument);
        let mut row = vec![
            seq.0.into(),
            event.recv.into(),
            event.vendor_time.into(),
            ticker.as_deref().into(),
            Some(event.instrument.0).filter(|id| *id != InstrumentId::NONE.0).into(),
            event.source.0.into(),
            event.extended.into(),
        ];
        self.body(event, &mut row)?;
        self.files.row(file, &row)?;
        if let Body::ChainSnapshot(chain) = &event.body {
            let rows = ChainRows::decode(&self.journal.blob(chain.rows)?)
                .map_err(|why| ExportError::Rows { seq: *seq, why })?;
            let file = self.file(&tables::CHAIN_CONTRACT)?;
            for (number, contract) in rows.iter().enumerate() {
                let name = self.journal.ticker(contract.instrument);
                let mut row = vec![
                    seq.0.into(),
                    event.recv.into(),
                    ticker.as_deref().into(),
                    (number as u64).into(),
                    name.as_deref().unwrap_or_default().into(),
                ];
                row.extend(terms(contract));
                self.files.row(file, &row)?;
            }
        }
        Ok(())
    }

    /// What the kind has besides the columns of every event.
    fn body(&self, event: &Event, row: &mut Vec<Cell<'_>>) -> Result<(), ReadError> {
        match &event.body {
            Body::Quote(q) => row.extend([
                q.bid.into(),
                q.ask.into(),
                q.bid_size.into(),
                q.ask_size.into(),
                q.vendor_seq.into(),
                q.bid_exchange.into(),
                q.ask_exchange.into(),
                self.conditions(q.conditions),
            ]),
            Body::Trade(t) => row.extend([
                t.price.into(),
                t.size.into(),
                t.vendor_seq.into(),
                t.exchange.into(),
                self.conditions(t.conditions),
            ]),
            Body::Bar(b) => row.extend([
                b.start.into(),
                b.end.into(),
                b.open.into(),
                b.high.into(),
                b.low.into(),
                b.close.into(),
                b.volume.into(),
                b.vwap.into(),
                b.trades.into(),
                b.day_volume.into(),
                b.day_open.into(),
                b.day_vwap.into(),
                b.trade_size_mean.into(),
            ]),
            Body::IndexValue(v) => row.push(v.value.into()),
            Body::ChainSnapshot(c) => {
                row.extend([
                    c.spot.into(),
                    c.contracts.into(),
                    c.refused.into(),
                    c.latency_ns.into(),
                    c.pages.into(),
                ]);
                row.extend(self.blob(c.raw)?);
            }
            // Ticker and number stand in the columns of every event.
            Body::InstrumentDefined(_) | Body::ClockBeat => {}
            Body::ConditionsDefined { id, .. } => {
                row.extend([(*id).into(), self.conditions(*id)]);
            }
            Body::SourceDefined(blob)
            | Body::Extension(blob)
            | Body::Annotation(blob)
            | Body::News(blob)
            | Body::Control(blob) => row.extend(self.blob(*blob)?),
            Body::Gap(gap) => row.extend([gap.from.into(), gap.to.into()]),
            Body::Correction { corrects, blob } => {
                row.push(corrects.0.into());
                row.extend(self.blob(*blob)?);
            }
            Body::Quarantine(q) => {
                row.push(q.reason.name().into());
                row.extend(self.blob(q.blob)?);
            }
        }
        Ok(())
    }
}

/// The columns of a contract from its instrument on.
fn terms(row: &ChainRow) -> [Cell<'static>; 19] {
    [
        row.instrument.0.into(),
        row.expiry.into(),
        row.strike.into(),
        right(row.right).into(),
        row.style.map(style).into(),
        row.multiplier.into(),
        row.bid.into(),
        row.ask.into(),
        row.bid_size.into(),
        row.ask_size.into(),
        row.last.into(),
        row.updated.into(),
        row.open_interest.into(),
        row.volume.into(),
        row.implied_volatility.into(),
        row.delta.into(),
        row.gamma.into(),
        row.theta.into(),
        row.vega.into(),
    ]
}

pub(super) const fn right(right: OptionRight) -> &'static str {
    match right {
        OptionRight::Call => "call",
        OptionRight::Put => "put",
    }
}

pub(super) const fn style(style: ExerciseStyle) -> &'static str {
    match style {
        ExerciseStyle::American => "american",
        ExerciseStyle::European => "european",
    }
}

/// The kind of a name.
pub(super) fn kind(name: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.name() == name)
}
