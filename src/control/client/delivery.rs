//! The Redis of a server: the same questions and orders as of one's own.

use orrery_proto::v1;
use orrery_proto::v1::delivery_service_client::DeliveryServiceClient;

use tonic::{Code, Status};

use super::super::REPLY_BYTES_MAX;
use super::{Client, ClientError};
use crate::projector::inspect::audit::{Audit, FamilyCount, ServerAudit};
use crate::projector::inspect::finding::{Finding, Problem};
use crate::projector::inspect::health::{
    Health, Latencies, Latency, ServerHealth, SlowLog, Subscribers,
};
use crate::projector::inspect::repair::{Action, Orders, Remedy, Repaired};

/// Why a server's Redis could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// The server could not be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The server could not ask its Redis.
    #[error("the server at {address} says: {message}")]
    Away {
        /// The server's address.
        address: String,
        /// Its sentence.
        message: String,
    },
}

impl Client {
    fn delivery_refused(&self, status: &Status) -> DeliveryError {
        match status.code() {
            Code::Unavailable => DeliveryError::Away {
                address: self.address.clone(),
                message: status.message().to_owned(),
            },
            _ => self.refused(status).into(),
        }
    }

    fn delivery_calls(&self) -> DeliveryServiceClient<super::way::Link> {
        DeliveryServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// How the server's Redis is.
    ///
    /// # Errors
    /// See [`ClientError`].
    pub fn delivery_health(&self, samples: u32) -> Result<Health, ClientError> {
        let request = v1::CheckDeliveryRequest { samples };
        let mut calls = self.delivery_calls();
        let said = self.runtime.block_on(calls.check_delivery(request));
        let said = said.map_err(|e| self.refused(&e))?.into_inner();
        Ok(Health { servers: said.servers.into_iter().map(server).collect() })
    }

    /// What may not stand in the server's Redis.
    ///
    /// # Errors
    /// See [`DeliveryError`].
    pub fn delivery_audit(&self, allowed: Vec<String>) -> Result<Audit, DeliveryError> {
        let mut calls = self.delivery_calls();
        let request = v1::AuditDeliveryRequest { allowed };
        let said = self.runtime.block_on(calls.audit_delivery(request));
        let said = said.map_err(|e| self.delivery_refused(&e))?.into_inner();
        let servers = said.servers.into_iter().map(|s| ServerAudit {
            bus: s.bus,
            registered: s.registered,
            unknown: s.unknown,
            others: s.others,
            cut: s.cut,
            families: s.families.into_iter().map(family).collect(),
        });
        Ok(Audit { servers: servers.collect(), findings: self.findings(said.findings)? })
    }

    /// Has the server mend its Redis.
    ///
    /// # Errors
    /// See [`DeliveryError`].
    pub fn delivery_repair(&self, orders: &Orders) -> Result<Repaired, DeliveryError> {
        let request = v1::RepairDeliveryRequest {
            dry_run: orders.dry_run,
            strangers: orders.strangers,
            takeover: orders.takeover,
            allowed: orders.ours.allowed.clone(),
        };
        let mut calls = self.delivery_calls();
        let said = self.runtime.block_on(calls.repair_delivery(request));
        let said = said.map_err(|e| self.delivery_refused(&e))?.into_inner();
        let actions = said.actions.into_iter().map(|action| {
            let remedy = Remedy::ALL.into_iter().find(|r| r.as_str() == action.remedy);
            Ok(Action {
                finding: self.finding(action.finding.unwrap_or_default())?,
                remedy: remedy.ok_or_else(|| self.unclear())?,
            })
        });
        Ok(Repaired {
            dry_run: orders.dry_run,
            actions: actions.collect::<Result<_, ClientError>>()?,
            republished: said.republished,
            left: self.findings(said.left)?,
        })
    }

    fn findings(&self, said: Vec<v1::KeyFinding>) -> Result<Vec<Finding>, ClientError> {
        said.into_iter().map(|finding| self.finding(finding)).collect()
    }

    fn finding(&self, said: v1::KeyFinding) -> Result<Finding, ClientError> {
        let problem = Problem::ALL.into_iter().find(|p| p.as_str() == said.problem);
        Ok(Finding {
            bus: said.bus,
            key: said.key,
            problem: problem.ok_or_else(|| self.unclear())?,
            family: (!said.family.is_empty()).then_some((said.symbol, said.family)),
            detail: said.detail,
        })
    }
}

fn family(said: v1::FamilyKeys) -> FamilyCount {
    FamilyCount {
        family: said.family,
        keys: said.keys,
        ttl_as_registered: said.ttl_as_registered,
        memory_bytes: said.memory_bytes,
    }
}

fn latency(said: v1::RoundTrips) -> Latency {
    Latency {
        samples: said.samples,
        p50_us: said.p50_us,
        p95_us: said.p95_us,
        p99_us: said.p99_us,
        max_us: said.max_us,
    }
}

fn server(said: v1::RedisServer) -> ServerHealth {
    let latencies = match (said.get, said.set, said.publish) {
        (Some(get), Some(set), Some(publish)) => {
            Some(Latencies { get: latency(get), set: latency(set), publish: latency(publish) })
        }
        _ => None,
    };
    let mut subscribers: Vec<Subscribers> = said
        .subscribers
        .into_iter()
        .map(|(channel, count)| Subscribers { channel, count })
        .collect();
    subscribers.sort_by(|a, b| a.channel.cmp(&b.channel));
    ServerHealth {
        bus: said.bus,
        url: said.url,
        unreachable: said.unreachable,
        version: said.version,
        role: said.role,
        uptime_seconds: said.uptime_seconds,
        clients: said.clients,
        memory_bytes: said.memory_bytes,
        memory_peak_bytes: said.memory_peak_bytes,
        memory_max_bytes: said.memory_max_bytes,
        memory_policy: said.memory_policy,
        evicted_keys: said.evicted_keys,
        other_keys: said.other_keys,
        families: said.families.into_iter().map(family).collect(),
        latency: latencies,
        subscribers,
        patterns: said.patterns,
        slow: SlowLog {
            entries: said.slow_entries,
            threshold_us: said.slow_threshold_us,
            newest: said.slow.into_iter().map(|s| (s.command, s.micros)).collect(),
        },
        problems: said.problems,
    }
}
