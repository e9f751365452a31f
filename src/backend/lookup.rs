//! Single things of the journal: for gRPC through
//! [`control::lookup::Lookup`](crate::control::lookup::Lookup).

use std::collections::BTreeMap;

use bytes::Bytes;
use orrery_journal::event::JournalEvent;
use orrery_journal::proof::certificates;
use orrery_journal::units::{Address, Seq, SourceId, TradingDay};
use orrery_journal::{DaySummary, ReadError, SealedPage};

use super::{Archive, answers};
use crate::control::BackendError;
use crate::control::events::Found;
use crate::control::lookup::{self, Lookup, Placed, WhichEvent, WhichPage};

fn unknown(what: &'static str, name: impl ToString) -> BackendError {
    BackendError::Unknown { what, name: name.to_string() }
}

impl Archive {
    fn placed(&self, seq: Seq) -> Result<Placed, BackendError> {
        let head = self.journal().head();
        let event = self.event_at(seq).map_err(answers::read)?.ok_or_else(|| {
            let has = match head.seq {
                Seq::BEFORE_FIRST => "no event".to_owned(),
                last => format!("events 1 to {last}, until {}", head.recv),
            };
            BackendError::OutOfRange { asked: format!("event {seq}"), has }
        })?;
        let page = self.journal().sealed_pages(seq, seq).next().transpose();
        let page = page.map_err(answers::read)?.filter(|p| p.first <= seq && seq <= p.last);
        let day = match &page {
            Some(page) => page.day,
            None => self.journal().day_of(event.recv),
        };
        let index = |page: &SealedPage| u32::try_from(seq.0 - page.first.0).unwrap_or(u32::MAX);
        Ok(Placed {
            day,
            page: page.as_ref().map(|page| (page.address, index(page))),
            source: self.source(event.source.0),
            found: Found {
                ticker: self.journal().ticker(event.instrument).map(Into::into),
                at: JournalEvent { seq, event },
            },
        })
    }

    fn page_of(&self, address: Address) -> Result<SealedPage, BackendError> {
        match self.journal().sealed_page(address) {
            Some(page) => page.map_err(answers::read),
            None => Err(unknown("page", address)),
        }
    }

    fn hashed(&self, address: Address, day: TradingDay) -> Result<Seq, BackendError> {
        let days = self.journal().days().map_err(answers::read)?;
        let day = days.iter().find(|d| d.day == day).ok_or_else(|| unknown("day", day))?;
        for stretch in self.journal().read(day.first, day.last) {
            let stretch = stretch.map_err(answers::read)?;
            let found = stretch.events.iter().position(|e| lookup::address_of(e) == address);
            if let Some(at) = found {
                return Ok(Seq(stretch.first.0 + at as u64));
            }
        }
        Err(unknown("event", format!("{address} on {}", day.day)))
    }
}

impl Lookup for Archive {
    fn days(&self) -> Result<Vec<(DaySummary, Option<u32>)>, BackendError> {
        let days = self.journal().days().map_err(answers::read)?;
        // Ascending, so the newest certificate of a day is the last one.
        let kept: BTreeMap<TradingDay, u32> = match self.journal().folder() {
            None => BTreeMap::new(),
            Some(folder) => certificates::list(folder)
                .map_err(|e| BackendError::Internal(Box::new(e)))?
                .into_iter()
                .map(|id| (id.day, id.number))
                .collect(),
        };
        let with_number = |day: DaySummary| {
            let number = kept.get(&day.day).copied();
            (day, number)
        };
        Ok(days.into_iter().map(with_number).collect())
    }

    fn event(&self, which: WhichEvent) -> Result<Placed, BackendError> {
        let seq = match which {
            WhichEvent::Seq(seq) => seq,
            WhichEvent::Hashed(address, day) => self.hashed(address, day)?,
            WhichEvent::Paged(page, index) => {
                let page = self.page_of(page)?;
                let seq = Seq(page.first.0.saturating_add(index.into()));
                if seq > page.last {
                    let field = "paged.index";
                    let why = format!("the page has {} events", page.last.0 - page.first.0 + 1);
                    return Err(BackendError::Invalid { field, why });
                }
                seq
            }
        };
        self.placed(seq)
    }

    fn page(&self, which: WhichPage) -> Result<SealedPage, BackendError> {
        match which {
            WhichPage::Address(address) => self.page_of(address),
            WhichPage::Of(seq) => {
                // Also says when there is no such event, or no longer.
                let placed = self.placed(seq)?;
                match placed.page {
                    Some((address, _)) => self.page_of(address),
                    None => Err(BackendError::Precondition(format!(
                        "event {seq} lies in a frame: its page is not sealed yet"
                    ))),
                }
            }
        }
    }

    fn blob(&self, address: Address) -> Result<Bytes, BackendError> {
        self.journal().blob(address).map_err(|error| match error {
            ReadError::BlobMissing { address } => unknown("blob", address),
            error => answers::read(error),
        })
    }

    fn source(&self, id: u16) -> String {
        let sources = self.journal().sources().unwrap_or_default();
        let found = sources.into_iter().find(|source| source.id == SourceId(id));
        found.map(|source| source.descriptor).unwrap_or_default()
    }
}
