//! Profiles of a server: the same questions and orders as of an archive.

use orrery_journal::units::{Seq, TradingDay};
use orrery_proto::v1;
use orrery_proto::v1::profile_service_client::ProfileServiceClient;

use super::super::profiles::{Apart, Definitions, Disagreement, Order, Reported, Shadow, Standing};
use super::super::{AsOf, REPLY_BYTES_MAX, convert};
use super::{Client, ClientError};
use crate::market::epoch::Moment;

impl Client {
    fn profile_calls(&self) -> ProfileServiceClient<super::way::Link> {
        ProfileServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// What is in force at a moment, and beside it.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn standing(&self, as_of: AsOf) -> Result<Standing, ClientError> {
        let bound = match as_of {
            AsOf::Head => None,
            AsOf::Seq(seq) => Some(v1::as_of::Bound::Seq(seq.0)),
            AsOf::Time(time) => Some(v1::as_of::Bound::Time(convert::timestamp(time))),
        };
        let request = v1::ListProfilesRequest { as_of: Some(v1::AsOf { bound }) };
        let said = self.runtime.block_on(self.profile_calls().list_profiles(request));
        let said = said.map_err(|e| self.refused(&e))?.into_inner();
        let moment = said.moment.unwrap_or_default();
        let at = moment.time.map(|t| convert::recv_time("moment", t)).transpose();
        let at = at.map_err(|e| self.refused(&e))?.unwrap_or_default();
        let shadow = |s: v1::Shadow| Shadow {
            name: s.name,
            tag: s.tag,
            definitions: definitions(s.definitions.unwrap_or_default()),
        };
        Ok(Standing {
            moment: Moment { seq: Seq(moment.seq), at },
            in_force: definitions(said.in_force.unwrap_or_default()),
            shadows: said.shadows.into_iter().map(shadow).collect(),
        })
    }

    /// Has the server journal an order; answers with the event.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn order(&self, order: Order) -> Result<Seq, ClientError> {
        let mut calls = self.profile_calls();
        let seq = self.runtime.block_on(async {
            Ok::<u64, tonic::Status>(match order {
                Order::Add { name, profiles, settings } => {
                    let request = v1::AddShadowRequest { name, profiles, settings };
                    calls.add_shadow(request).await?.into_inner().seq
                }
                Order::Remove(name) => {
                    calls.remove_shadow(v1::RemoveShadowRequest { name }).await?.into_inner().seq
                }
                Order::Promote(name) => {
                    let request = v1::PromoteShadowRequest { name };
                    calls.promote_shadow(request).await?.into_inner().seq
                }
                Order::Rollback => {
                    let request = v1::RollbackProfilesRequest {};
                    calls.rollback_profiles(request).await?.into_inner().seq
                }
            })
        });
        seq.map(Seq).map_err(|e| self.refused(&e))
    }

    /// How much shadows disagreed on a day; the newest for `None`.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn report(&self, day: TradingDay, name: &str) -> Result<Vec<Reported>, ClientError> {
        let request = v1::ReportShadowsRequest { day: convert::date(day), name: name.to_owned() };
        let said = self.runtime.block_on(self.profile_calls().report_shadows(request));
        let shadows = said.map_err(|e| self.refused(&e))?.into_inner().shadows;
        Ok(shadows.into_iter().map(reported).collect())
    }
}

fn definitions(d: v1::Definitions) -> Definitions {
    Definitions {
        profiles: d.profiles,
        settings: d.settings.into_iter().collect(),
        since: d.since_seq.map(Seq),
    }
}

fn reported(report: v1::ShadowReport) -> Reported {
    let level = |l: v1::LevelDisagreement| Apart {
        path: l.path,
        times: l.times,
        largest: l.largest,
        mean: l.mean,
    };
    let family = |f: v1::FamilyDisagreement| Disagreement {
        symbol: f.symbol,
        family: f.family,
        in_force: f.in_force_versions,
        shadow: f.shadow_versions,
        instants: f.instants,
        differing: f.differing,
        levels: f.levels.into_iter().map(level).collect(),
    };
    Reported { tag: report.tag, families: report.families.into_iter().map(family).collect() }
}
