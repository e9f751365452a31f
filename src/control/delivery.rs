//! `DeliveryService`: how Redis is, what may not stand there, and how it is
//! mended. Translates; what is judged and done is the projector's.

use orrery_proto::v1;
use orrery_proto::v1::delivery_service_server::DeliveryService;
use tonic::{Code, Request, Response, Status};

use super::status::{invalid, refusal};
use crate::projector::inspect::audit::{self, FamilyCount, ServerAudit};
use crate::projector::inspect::finding::Finding;
use crate::projector::inspect::health::{self, Latency, ServerHealth};
use crate::projector::inspect::repair::{self, Orders, RepairError};
use crate::projector::inspect::{InspectError, Inspector, Ours};

/// Round trips of one request, at most.
const SAMPLES_MAX: u32 = 10_000;
/// Names that one request may allow.
const ALLOWED_MAX: usize = 64;

/// The service.
pub struct Deliveries {
    inspector: Option<Inspector>,
}

impl Deliveries {
    /// Of a process with a Redis, or without one.
    pub fn new(inspector: Option<Inspector>) -> Deliveries {
        Deliveries { inspector }
    }

    fn inspector(&self) -> Result<&Inspector, Status> {
        let why = "this server has no Redis; `orrery serve --redis URL` names one";
        self.inspector.as_ref().ok_or_else(|| refusal(Code::FailedPrecondition, "NO_REDIS", why))
    }

    fn ours(&self, more: Vec<String>) -> Result<Ours, Status> {
        if more.len() > ALLOWED_MAX || more.iter().any(String::is_empty) {
            let why = format!("up to {ALLOWED_MAX} beginnings of keys, none of them empty");
            return Err(invalid("allowed", &why));
        }
        let mut ours = self.inspector()?.ours.clone();
        ours.allowed.extend(more);
        Ok(ours)
    }
}

#[tonic::async_trait]
impl DeliveryService for Deliveries {
    async fn check_delivery(
        &self,
        request: Request<v1::CheckDeliveryRequest>,
    ) -> Result<Response<v1::CheckDeliveryResponse>, Status> {
        let samples = request.into_inner().samples;
        if samples > SAMPLES_MAX {
            return Err(invalid("samples", &format!("at most {SAMPLES_MAX}")));
        }
        let inspector = self.inspector()?;
        let health = health::health(&inspector.buses, samples, &inspector.ours).await;
        let servers = health.servers.into_iter().map(server).collect();
        Ok(Response::new(v1::CheckDeliveryResponse { servers }))
    }

    async fn audit_delivery(
        &self,
        request: Request<v1::AuditDeliveryRequest>,
    ) -> Result<Response<v1::AuditDeliveryResponse>, Status> {
        let ours = self.ours(request.into_inner().allowed)?;
        let audit = audit::audit(&self.inspector()?.buses, &ours).await.map_err(away)?;
        Ok(Response::new(v1::AuditDeliveryResponse {
            servers: audit.servers.into_iter().map(contents).collect(),
            findings: audit.findings.into_iter().map(finding).collect(),
        }))
    }

    async fn repair_delivery(
        &self,
        request: Request<v1::RepairDeliveryRequest>,
    ) -> Result<Response<v1::RepairDeliveryResponse>, Status> {
        let request = request.into_inner();
        let ours = self.ours(request.allowed)?;
        let inspector = self.inspector()?;
        let orders = Orders {
            dry_run: request.dry_run,
            strangers: request.strangers,
            takeover: request.takeover,
            ours,
            lineage: inspector.lineage.clone(),
        };
        let repaired = repair::repair(&inspector.buses, &inspector.shelf, &orders).await;
        let repaired = repaired.map_err(|error| match error {
            RepairError::Inspect(error) => away(error),
            RepairError::Scattered(error) => {
                refusal(Code::FailedPrecondition, "REDIS_CLUSTER", &error.to_string())
            }
        })?;
        let actions = repaired.actions.into_iter().map(|action| v1::KeyAction {
            finding: Some(finding(action.finding)),
            remedy: action.remedy.as_str().to_owned(),
        });
        Ok(Response::new(v1::RepairDeliveryResponse {
            actions: actions.collect(),
            republished: repaired.republished,
            left: repaired.left.into_iter().map(finding).collect(),
        }))
    }
}

fn away(error: InspectError) -> Status {
    refusal(Code::Unavailable, "REDIS_AWAY", &error.to_string())
}

fn finding(found: Finding) -> v1::KeyFinding {
    let (symbol, family) = found.family.unwrap_or_default();
    v1::KeyFinding {
        bus: found.bus,
        key: found.key,
        problem: found.problem.as_str().to_owned(),
        symbol,
        family,
        detail: found.detail,
    }
}

fn family(count: FamilyCount) -> v1::FamilyKeys {
    v1::FamilyKeys {
        family: count.family,
        keys: count.keys,
        ttl_as_registered: count.ttl_as_registered,
        memory_bytes: count.memory_bytes,
    }
}

fn contents(server: ServerAudit) -> v1::RedisContents {
    v1::RedisContents {
        bus: server.bus,
        registered: server.registered,
        unknown: server.unknown,
        others: server.others,
        cut: server.cut,
        families: server.families.into_iter().map(family).collect(),
    }
}

fn round_trips(latency: Latency) -> v1::RoundTrips {
    v1::RoundTrips {
        samples: latency.samples,
        p50_us: latency.p50_us,
        p95_us: latency.p95_us,
        p99_us: latency.p99_us,
        max_us: latency.max_us,
    }
}

fn server(told: ServerHealth) -> v1::RedisServer {
    let slow = told.slow.newest.into_iter();
    v1::RedisServer {
        bus: told.bus,
        url: told.url,
        unreachable: told.unreachable,
        version: told.version,
        role: told.role,
        uptime_seconds: told.uptime_seconds,
        clients: told.clients,
        memory_bytes: told.memory_bytes,
        memory_peak_bytes: told.memory_peak_bytes,
        memory_max_bytes: told.memory_max_bytes,
        memory_policy: told.memory_policy,
        evicted_keys: told.evicted_keys,
        other_keys: told.other_keys,
        families: told.families.into_iter().map(family).collect(),
        get: told.latency.map(|l| round_trips(l.get)),
        set: told.latency.map(|l| round_trips(l.set)),
        publish: told.latency.map(|l| round_trips(l.publish)),
        subscribers: told.subscribers.into_iter().map(|s| (s.channel, s.count)).collect(),
        patterns: told.patterns,
        slow_entries: told.slow.entries,
        slow_threshold_us: told.slow.threshold_us,
        slow: slow.map(|(command, micros)| v1::SlowCommand { command, micros }).collect(),
        problems: told.problems,
    }
}
