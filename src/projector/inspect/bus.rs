//! One server, asked by somebody who only looks.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, Pipeline};

use super::{InspectError, name_of};
use crate::projector::link::{BusUrl, CONNECT_TIMEOUT};
use crate::projector::registry::Bus;

/// How long an answer may take: the largest document has to come through.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to one server, and which buses it is.
pub(super) struct Server {
    pub buses: &'static [Bus],
    url: String,
    connection: MultiplexedConnection,
}

impl Server {
    pub(super) async fn reach(buses: &'static [Bus], url: &BusUrl) -> Result<Server, InspectError> {
        let failed =
            |problem: String| InspectError { bus: name_of(buses), url: url.to_string(), problem };
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(RESPONSE_TIMEOUT));
        if url.is_cluster() {
            let text = "a cluster is looked at node by node: name one of them with redis://";
            return Err(failed(text.to_owned()));
        }
        let connection = url.connect(0, &config).await;
        let connection = connection.map_err(|e| failed(e.to_string()))?;
        let mut server = Server { buses, url: url.to_string(), connection };
        // A server may accept and then not answer, or ask for a password.
        server.ask::<String>(&redis::cmd("PING")).await?;
        Ok(server)
    }

    /// `system`, `market` or `system+market`.
    pub(super) fn name(&self) -> String {
        name_of(self.buses)
    }

    /// Whether a key of this bus belongs here.
    pub(super) fn serves(&self, bus: Bus) -> bool {
        self.buses.contains(&bus)
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
