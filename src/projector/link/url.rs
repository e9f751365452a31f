//! Addresses of buses.

use std::fmt;

use redis::{Client, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisResult};

/// Address of a bus: `redis://[user:password@]host:port[/db]`.
///
/// Prints without credentials, whatever it is asked for.
#[derive(Clone)]
pub struct BusUrl(ConnectionInfo);

/// A bus address that cannot be read. Does not repeat it: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Redis address: write redis://[user:password@]host:port[/db] or unix:///path")]
pub struct BusUrlError;

impl BusUrl {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is none, or asks for TLS, which this build does not have.
    pub fn parse(text: &str) -> Result<BusUrl, BusUrlError> {
        let info = text.into_connection_info().map_err(|_| BusUrlError)?;
        if !info.addr().is_supported() {
            return Err(BusUrlError);
        }
        Ok(BusUrl(info))
    }

    /// Whether two addresses are the same server and database, as written.
    #[must_use]
    pub fn same_server(&self, other: &BusUrl) -> bool {
        self.0.addr() == other.0.addr() && self.db() == other.db()
    }

    fn db(&self) -> i64 {
        self.0.redis_settings().db()
    }

    /// A client for it; connects to nothing yet.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(in crate::projector) fn client(&self) -> RedisResult<Client> {
        Client::open(self.0.clone())
    }
}

impl fmt::Display for BusUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.addr() {
            ConnectionAddr::Unix(path) => write!(f, "unix://{}", path.display()),
            ConnectionAddr::Tcp(host, port) => write!(f, "redis://{host}:{port}/{}", self.db()),
            _ => f.write_str("redis"),
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
        let url = BusUrl::parse("redis://operator:hunter2@127.0.0.1:6379/3").expect("an address");
        for text in [url.to_string(), format!("{url:?}"), format!("{:#?}", Some(&url))] {
            assert!(text.contains("127.0.0.1:6379/3"), "{text}");
            assert!(!text.contains("hunter2") && !text.contains("operator"), "{text}");
        }
        let error = BusUrl::parse("redis://operator:hunter2@:not-a-port").expect_err("no address");
        assert!(!error.to_string().contains("hunter2"));
        assert_eq!(BusUrl::parse("http://127.0.0.1").err(), Some(BusUrlError));
    }

    #[test]
    fn one_server_is_recognised() {
        let url = |text| BusUrl::parse(text).expect("an address");
        assert!(url("redis://127.0.0.1:6379").same_server(&url("redis://:x@127.0.0.1:6379/0")));
        assert!(!url("redis://127.0.0.1:6379").same_server(&url("redis://127.0.0.1:6379/1")));
        assert!(!url("redis://127.0.0.1:6379").same_server(&url("redis://127.0.0.1:6380")));
    }
}
