//! One server, asked by somebody who only looks; of a cluster each master.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline, Value};

use super::{InspectError, name_of};
use crate::projector::link::{BusUrl, CONNECT_TIMEOUT};
use crate::projector::registry::Bus;
use crate::projector::registry::slots::slot;

/// How long an answer may take: the largest document has to come through.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// First and last slot, both included.
type Range = (u16, u16);

/// A connection to one server, and which buses it is.
pub(super) struct Server {
    pub buses: &'static [Bus],
    name: String,
    url: String,
    connection: MultiplexedConnection,
    /// The slots that a node of a cluster holds; `None` holds every key.
    slots: Option<Vec<Range>>,
}

impl Server {
    /// The server of an address, or the masters of a cluster in the order of
    /// their slots.
    pub(super) async fn reach(
        buses: &'static [Bus],
        url: &BusUrl,
    ) -> Result<Vec<Server>, InspectError> {
        let mut first = Server::connect(buses, url, 0).await?;
        if !url.is_cluster() {
            return Ok(vec![first]);
        }
        let ranges: Vec<Value> = first.ask(redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let mut nodes: BTreeMap<Vec<u8>, Vec<Range>> = BTreeMap::new();
        for (range, id) in ranges.iter().filter_map(held) {
            nodes.entry(id).or_default().push(range);
        }
        let mut nodes: Vec<Vec<Range>> = nodes.into_values().collect();
        nodes.iter_mut().for_each(|ranges| ranges.sort_unstable());
        nodes.sort_unstable();
        let mut servers = Vec::new();
        for (n, slots) in nodes.into_iter().enumerate() {
            let lowest = slots.first().map_or(0, |(first, _)| *first);
            let mut server = Server::connect(buses, url, lowest).await?;
            server.name = format!("{}#{}", name_of(buses), n + 1);
            server.slots = Some(slots);
            servers.push(server);
        }
        Ok(servers)
    }

    /// The server that has a slot; any but of a cluster has all.
    async fn connect(
        buses: &'static [Bus],
        url: &BusUrl,
        slot: u16,
    ) -> Result<Server, InspectError> {
        let failed =
            |problem: String| InspectError { bus: name_of(buses), url: url.to_string(), problem };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        let connection = url.connect(slot, &config).await.map_err(|e| failed(e.to_string()))?;
        let (name, url) = (name_of(buses), url.to_string());
        let mut server = Server { buses, name, url, connection, slots: None };
        // A server may accept and then not answer, or ask for a password.
        server.ask::<String>(&redis::cmd("PING")).await?;
        Ok(server)
    }

    /// `system`, `market` or `system+market`; of a cluster with a number behind
    /// it: `market#2`.
    pub(super) fn name(&self) -> String {
        self.name.clone()
    }

    /// Whether a key of this bus belongs here.
    pub(super) fn serves(&self, bus: Bus) -> bool {
        self.buses.contains(&bus)
    }

    /// Whether this node has the slot of a key.
    pub(super) fn holds(&self, key: &str) -> bool {
        let slot = slot(key);
        let has = |ranges: &Vec<Range>| ranges.iter().any(|(a, b)| (*a..=*b).contains(&slot));
        self.slots.as_ref().is_none_or(has)
    }

    pub(super) async fn ask<T: FromRedisValue>(&mut self, cmd: &Cmd) -> Result<T, InspectError> {
        let answer = cmd.query_async(&mut self.connection).await;
        answer.map_err(|e| self.failed(&e))
    }

    pub(super) async fn all<T: FromRedisValue>(
        &mut self,
        pipeline: &Pipeline,
    ) -> Result<T, InspectError> {
        let answer = pipeline.query_async(&mut self.connection).await;
        answer.map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &redis::RedisError) -> InspectError {
        InspectError { bus: self.name(), url: self.url.clone(), problem: error.to_string() }
    }
}

/// A range of slots and what tells its master from others: first, last, master
/// (host, port, id, ...), replicas.
fn held(range: &Value) -> Option<(Range, Vec<u8>)> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &**parts else {
        return None;
    };
    let Some(Value::BulkString(id)) = master.get(2) else { return None };
    Some(((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?), id.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_slots_names_its_master() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let master = vec![text("10.0.0.1"), Value::Int(7000), text("node-a")];
        let range = Value::Array(vec![Value::Int(10), Value::Int(20), Value::Array(master)]);
        assert_eq!(held(&range), Some(((10, 20), b"node-a".to_vec())));
        assert_eq!(held(&Value::Nil), None);
    }
}
