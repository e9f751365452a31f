//! When a chain snapshot is plainly damaged (DESIGN 7), and what is remembered
//! of it: journaled, kept out of the fold, counted and told.

use orrery_journal::event::ChainRow;
use orrery_journal::units::TradingDay;
use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;

use super::Partition;
use crate::market::epoch::{Moment, restore_moment, save_moment};

/// What the last chain that was believed looked like. Compared with only on its
/// own day: over night a chain may change as it likes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Baseline {
    pub(super) day: TradingDay,
    pub(super) contracts: usize,
    pub(super) had_gammas: bool,
}

impl Baseline {
    pub(super) fn of(day: TradingDay, contracts: usize, rows: &[ChainRow]) -> Baseline {
        Baseline { day, contracts, had_gammas: rows.iter().any(has_gamma) }
    }

    pub(super) fn save(self, e: &mut Encoder<'_>) {
        e.day(self.day);
        e.u64(self.contracts as u64);
        e.bool(self.had_gammas);
    }

    pub(super) fn restore(d: &mut Decoder<'_>) -> Result<Baseline, RestoreError> {
        let day = d.day()?;
        let contracts = usize::try_from(d.u64()?).map_err(|e| RestoreError(e.to_string()))?;
        Ok(Baseline { day, contracts, had_gammas: d.bool()? })
    }
}

/// Why a chain was kept out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Damage {
    /// Rows missing, unreadable, or none of them known.
    Unreadable,
    /// A page that was announced never came; the feed quarantined the rest.
    MissingPage,
    /// A fraction of the contracts that the day has had.
    Shrunk,
    /// All gammas gone with open interest intact.
    GammasZero,
}

impl Damage {
    const ALL: [Damage; 4] =
        [Damage::Unreadable, Damage::MissingPage, Damage::Shrunk, Damage::GammasZero];

    /// The name in bodies, logs and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Damage::Unreadable => "unreadable",
            Damage::MissingPage => "missing_page",
            Damage::Shrunk => "shrunk",
            Damage::GammasZero => "gammas_zero",
        }
    }
}

/// The newest damaged chain, until one is believed again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Doubt {
    /// Why it was kept out.
    pub damage: Damage,
    /// When.
    pub at: Moment,
    /// Chains in a row that looked damaged by their size or their gammas. At
    /// `epochs.damage_patience` one is believed.
    pub in_a_row: u32,
}

impl Doubt {
    pub(super) fn save(self, e: &mut Encoder<'_>) {
        e.u8(self.damage as u8);
        save_moment(e, self.at);
        e.u32(self.in_a_row);
    }

    pub(super) fn restore(d: &mut Decoder<'_>) -> Result<Doubt, RestoreError> {
        let tag = d.u8()?;
        let damage = Damage::ALL.into_iter().find(|damage| *damage as u8 == tag);
        let damage = damage.ok_or_else(|| RestoreError(format!("{tag} is no damage")))?;
        Ok(Doubt { damage, at: restore_moment(d)?, in_a_row: d.u32()? })
    }
}

impl Partition {
    /// Counted and told; the book keeps what it had.
    pub(super) fn keep_out(&mut self, damage: Damage) {
        let counters = &mut self.counters;
        counters.damaged_chains += 1;
        *match damage {
            Damage::Unreadable => &mut counters.damaged_unreadable,
            Damage::MissingPage => &mut counters.damaged_missing_page,
            Damage::Shrunk => &mut counters.damaged_shrunk,
            Damage::GammasZero => &mut counters.damaged_gammas,
        } += 1;
        let before = self.doubt.map_or(0, |doubt| doubt.in_a_row);
        let in_a_row = before + u32::from(matches!(damage, Damage::Shrunk | Damage::GammasZero));
        self.doubt = Some(Doubt { damage, at: self.here.moment(), in_a_row });
        self.status_changed();
    }

    /// Why a chain looks damaged beside the last one of the same day; `None`
    /// also when it is the last of so many in a row that it is believed.
    pub(super) fn suspicion(&self, seen: Baseline, rows: &[ChainRow]) -> Option<Damage> {
        let before = self.baseline.filter(|b| b.day == seen.day)?;
        let parameters = &self.parameters.epochs;
        let in_a_row = self.doubt.map_or(0, |doubt| doubt.in_a_row) + 1;
        if in_a_row >= parameters.damage_patience {
            return None;
        }
        if (seen.contracts as f64) < parameters.chain_share_min * before.contracts as f64 {
            return Some(Damage::Shrunk);
        }
        let open = rows.iter().any(|r| r.open_interest.is_some_and(|oi| oi > 0.0));
        (before.had_gammas && !seen.had_gammas && open).then_some(Damage::GammasZero)
    }
}

fn has_gamma(row: &ChainRow) -> bool {
    row.gamma.is_some_and(|g| g.is_finite() && g != 0.0)
        && row.open_interest.is_some_and(|oi| oi > 0.0)
}

/// How many volatilities a chain states in percent: all of them where their
/// median lies above `median_max`, none otherwise. The vendor's cap, which may
/// stand for unknown anywhere, says nothing.
pub(super) fn volatilities_in_percent(rows: &[ChainRow], cap: f64, median_max: f64) -> u32 {
    let stated = |row: &ChainRow| row.implied_volatility.filter(|iv| iv.is_finite() && *iv > 0.0);
    let mut telling: Vec<f64> = rows.iter().filter_map(stated).filter(|iv| *iv != cap).collect();
    telling.sort_unstable_by(f64::total_cmp);
    match telling.get(telling.len() / 2) {
        Some(median) if *median > median_max => {
            let all = rows.iter().filter(|row| stated(row).is_some()).count();
            u32::try_from(all).unwrap_or(u32::MAX)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use orrery_journal::units::InstrumentId;

    use super::*;
    use crate::market::live_book::tests::row;

    #[test]
    fn percent_is_told_from_fractions_by_the_median() {
        let rows = |list: &[f64]| -> Vec<ChainRow> {
            let make = |iv: &f64| ChainRow {
                implied_volatility: Some(*iv),
                ..row(InstrumentId(1), "O:SPXW251219C06000000")
            };
            list.iter().map(make).collect()
        };
        for (list, want) in [
            (&[0.12, 0.15, 0.9][..], 0),
            // A wing, and the vendor's cap, are no percent.
            (&[0.2, 7.5, 0.3], 0),
            (&[20.0, 20.0, 20.0], 0),
            (&[20.0, 20.0, 0.3], 0),
            (&[12.0, 15.5, 20.0], 3),
            (&[35.0, 0.0, f64::NAN], 1),
            (&[], 0),
        ] {
            assert_eq!(volatilities_in_percent(&rows(list), 20.0, 4.0), want, "{list:?}");
        }
    }
}
