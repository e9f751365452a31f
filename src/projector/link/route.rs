//! From an address to the server that takes writes now: sentinels are asked for
//! the master, nodes of a cluster for whoever has a slot. Asked anew for each
//! connection, so a failover needs no rule of its own: the connection breaks, or
//! the server refuses, and the next one goes to whoever took over.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError,
    RedisResult, Value,
};

use super::url::{BusUrl, Target};

/// How long a sentinel or a node may take to say who is who; several are asked
/// one after the other.
const ASK_TIMEOUT: Duration = Duration::from_millis(300);

impl BusUrl {
    /// The client of the server that takes writes of a slot; the slot matters
    /// for a cluster only.
    ///
    /// # Errors
    /// When nobody knows it.
    pub async fn resolve(&self, slot: u16) -> RedisResult<Client> {
        match self.target() {
            Target::One(info) => Client::open(info.clone()),
            Target::Sentinel { nodes, name, master } => {
                let mut asked = redis::cmd("SENTINEL");
                asked.arg("get-master-addr-by-name").arg(&**name);
                let read = |_: &ConnectionInfo, answer: &Value| {
                    let found: Option<(String, u16)> = redis::from_redis_value_ref(answer)?;
                    found.ok_or_else(|| unknown("the sentinels know no master of this name"))
                };
                let (host, port) = ask_all(nodes, &asked, read).await?;
                Client::open(master.clone().set_addr(ConnectionAddr::Tcp(host, port)))
            }
            Target::Cluster { nodes } => {
                let mut asked = redis::cmd("CLUSTER");
                asked.arg("SLOTS");
                let read = |info: &ConnectionInfo, answer: &Value| {
                    let Value::Array(ranges) = answer else { return Err(unknown("no slots")) };
                    let found = ranges.iter().find_map(|range| holder(range, slot));
                    let (host, port) = found.ok_or_else(|| unknown("no node has the slot"))?;
                    // A node that does not know its own name leaves it out.
                    let host = match (host.is_empty(), info.addr()) {
                        (true, ConnectionAddr::Tcp(asked, _)) => asked.clone(),
                        _ => host,
                    };
                    Ok(info.clone().set_addr(ConnectionAddr::Tcp(host, port)))
                };
                Client::open(ask_all(nodes, &asked, read).await?)
            }
        }
    }

    /// A connection to it. Behind sentinels it is a master, or it is refused: a
    /// sentinel may not have heard yet.
    ///
    /// # Errors
    /// When there is none.
    pub async fn connect(
        &self,
        slot: u16,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let client = self.resolve(slot).await?;
        let mut connection = client.get_multiplexed_async_connection_with_config(config).await?;
        if matches!(self.target(), Target::Sentinel { .. }) {
            let role: Vec<Value> = redis::cmd("ROLE").query_async(&mut connection).await?;
            let is_master = matches!(role.first(), Some(Value::BulkString(r)) if &**r == b"master");
            if !is_master {
                let text = "READONLY the server that the sentinels name is no master";
                return Err(RedisError::from((ErrorKind::Client, text)));
            }
        }
        Ok(connection)
    }
}

/// The first answer of any of these that can be read.
async fn ask_all<T>(
    nodes: &[ConnectionInfo],
    asked: &Cmd,
    read: impl Fn(&ConnectionInfo, &Value) -> RedisResult<T>,
) -> RedisResult<T> {
    let mut last = unknown("nobody to ask");
    for info in nodes {
        match ask(info, asked).await.and_then(|answer| read(info, &answer)) {
            Ok(answer) => return Ok(answer),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn ask(info: &ConnectionInfo, asked: &Cmd) -> RedisResult<Value> {
    let client = Client::open(info.clone())?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(ASK_TIMEOUT))
        .set_response_timeout(Some(ASK_TIMEOUT));
    let mut node = client.get_multiplexed_async_connection_with_config(&config).await?;
    asked.query_async(&mut node).await
}

fn unknown(what: &'static str) -> RedisError {
    RedisError::from((ErrorKind::MasterNameNotFoundBySentinel, what))
}

/// Host and port of the master of a slot, if it is in this range: first, last,
/// master (host, port, ...), replicas...
fn holder(range: &Value, slot: u16) -> Option<(String, u16)> {
    let Value::Array(parts) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &**parts else {
        return None;
    };
    if !(*first..=*last).contains(&i64::from(slot)) {
        return None;
    }
    let host = match master.first()? {
        Value::BulkString(host) => String::from_utf8_lossy(host).into_owned(),
        _ => String::new(),
    };
    match master.get(1)? {
        Value::Int(port) => Some((host, u16::try_from(*port).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_of_a_slot_is_read_from_its_range() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let master = vec![text("10.0.0.1"), Value::Int(7000), text("id"), Value::Array(vec![])];
        let range = Value::Array(vec![Value::Int(10), Value::Int(20), Value::Array(master)]);
        assert_eq!(holder(&range, 15), Some(("10.0.0.1".to_owned(), 7000)));
        assert_eq!(holder(&range, 20).map(|(_, port)| port), Some(7000));
        assert_eq!((holder(&range, 9), holder(&range, 21)), (None, None));
        let nameless = Value::Array(vec![Value::Nil, Value::Int(7001)]);
        let range = Value::Array(vec![Value::Int(0), Value::Int(5), nameless]);
        assert_eq!(holder(&range, 3), Some((String::new(), 7001)));
        assert_eq!(holder(&Value::Nil, 3), None);
    }
}
