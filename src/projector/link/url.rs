//! Addresses of buses: one server, a master that sentinels know, or a cluster.

use std::fmt;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

/// Address of a bus:
///
/// - `redis://[user:password@]host:port[/db]`, `unix:///path`;
/// - `redis+sentinel://[user:password@]host:port,host:port/name[/db]`: sentinels,
///   and the name of the master that they watch;
/// - `redis+cluster://[user:password@]host:port,host:port`: nodes of a cluster.
///
/// Prints without credentials, whatever it is asked for.
#[derive(Clone)]
pub struct BusUrl(Target);

/// Who is connected to.
#[derive(Clone)]
pub(super) enum Target {
    One(ConnectionInfo),
    Sentinel {
        nodes: Vec<ConnectionInfo>,
        name: Box<str>,
        /// Credentials and database of the master; its address is asked for.
        master: ConnectionInfo,
    },
    Cluster {
        nodes: Vec<ConnectionInfo>,
    },
}

/// A bus address that cannot be read. Does not repeat it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a Redis address: write redis://[user:password@]host:port[/db], unix:///path, \
     redis+sentinel://host:port,host:port/name[/db] or redis+cluster://host:port,host:port"
)]
pub struct BusUrlError;

impl BusUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none, or asks for TLS, which this build does not have.
    pub fn parse(text: &str) -> Result<BusUrl, BusUrlError> {
        let target = if let Some(rest) = text.strip_prefix("redis+sentinel://") {
            let (credentials, hosts, path) = split(rest);
            let (name, db) = path.split_once('/').unwrap_or((path, "0"));
            let first = hosts.split(',').next().unwrap_or_default();
            if name.is_empty() || db.parse::<u16>().is_err() {
                return Err(BusUrlError);
            }
            let master = info(&format!("redis://{credentials}{first}/{db}"))?;
            Target::Sentinel { nodes: nodes("", hosts)?, name: name.into(), master }
        } else if let Some(rest) = text.strip_prefix("redis+cluster://") {
            let (credentials, hosts, path) = split(rest);
            // A cluster has one database.
            if !matches!(path, "" | "0") {
                return Err(BusUrlError);
            }
            Target::Cluster { nodes: nodes(credentials, hosts)? }
        } else {
            Target::One(info(text)?)
        };
        Ok(BusUrl(target))
    }

    /// Whether two addresses are the same server and database, as written.
    #[must_use]
    pub fn same_server(&self, other: &BusUrl) -> bool {
        self.to_string() == other.to_string()
    }

    /// Whether keys lie on several servers, by their slots.
    #[must_use]
    pub fn is_cluster(&self) -> bool {
        matches!(self.0, Target::Cluster { .. })
    }

    pub(super) fn target(&self) -> &Target {
        &self.0
    }
}

/// Credentials with their `@`, hosts, and what follows the slash.
fn split(rest: &str) -> (&str, &str, &str) {
    let (credentials, rest) = match rest.rfind('@') {
        Some(at) => rest.split_at(at + 1),
        None => ("", rest),
    };
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    (credentials, hosts, path)
}

fn nodes(credentials: &str, hosts: &str) -> Result<Vec<ConnectionInfo>, BusUrlError> {
    hosts.split(',').map(|host| info(&format!("redis://{credentials}{host}"))).collect()
}

fn info(text: &str) -> Result<ConnectionInfo, BusUrlError> {
    let info = text.into_connection_info().map_err(|_| BusUrlError)?;
    if !info.addr().is_supported() {
        return Err(BusUrlError);
    }
    Ok(info)
}

fn write_hosts(f: &mut fmt::Formatter<'_>, nodes: &[ConnectionInfo]) -> fmt::Result {
    for (at, node) in nodes.iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        match node.addr() {
            ConnectionAddr::Tcp(host, port) => write!(f, "{comma}{host}:{port}")?,
            _ => f.write_str(comma)?,
        }
    }
    Ok(())
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Target::One(info) => {
                let db = info.redis_settings().db();
                match info.addr() {
                    ConnectionAddr::Unix(path) => write!(f, "unix://{}", path.display()),
                    ConnectionAddr::Tcp(host, port) => write!(f, "redis://{host}:{port}/{db}"),
                    _ => f.write_str("redis"),
                }
            }
            Target::Sentinel { nodes, name, master } => {
                f.write_str("redis+sentinel://")?;
                write_hosts(f, nodes)?;
                write!(f, "/{name}/{}", master.redis_settings().db())
            }
            Target::Cluster { nodes } => {
                f.write_str("redis+cluster://")?;
                write_hosts(f, nodes)
            }
        }
    }
}

impl fmt::Debug for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BusUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_printed() {
        for address in [
            "redis://operator:hunter2@127.0.0.1:6379/3",
            "redis+sentinel://operator:hunter2@127.0.0.1:6379,127.0.0.1:6380/main/3",
            "redis+cluster://operator:hunter2@127.0.0.1:6379,127.0.0.1:6380",
        ] {
            let url = BusUrl::parse(address).expect("an address");
            for text in [url.to_string(), format!("{url:?}"), format!("{:#?}", Some(&url))] {
                assert!(text.contains("127.0.0.1:6379"), "{text}");
                assert!(!text.contains("hunter2") && !text.contains("operator"), "{text}");
            }
        }
        let error = BusUrl::parse("redis://operator:hunter2@:not-a-port").expect_err("no address");
        assert!(!error.to_string().contains("hunter2"));
        for text in [
            "http://127.0.0.1",
            "redis+sentinel://127.0.0.1:26379",
            "redis+sentinel://127.0.0.1:26379/main/x",
            "redis+cluster://127.0.0.1:7000/1",
            "redis+cluster://",
        ] {
            assert_eq!(BusUrl::parse(text).err(), Some(BusUrlError), "{text}");
        }
    }

    #[test]
    fn one_server_is_recognised() {
        let url = |text| BusUrl::parse(text).expect("an address");
        assert!(url("redis://127.0.0.1:6379").same_server(&url("redis://:x@127.0.0.1:6379/0")));
        assert!(!url("redis://127.0.0.1:6379").same_server(&url("redis://127.0.0.1:6379/1")));
        assert!(!url("redis://127.0.0.1:6379").same_server(&url("redis://127.0.0.1:6380")));
        let sentinel = url("redis+sentinel://127.0.0.1:26379,127.0.0.1:26380/main");
        assert!(
            sentinel
                .same_server(&url("redis+sentinel://:x@127.0.0.1:26379,127.0.0.1:26380/main/0"))
        );
        assert!(
            !sentinel.same_server(&url("redis+sentinel://127.0.0.1:26379,127.0.0.1:26380/side"))
        );
        assert!(url("redis+cluster://127.0.0.1:7000").is_cluster() && !sentinel.is_cluster());
    }
}
