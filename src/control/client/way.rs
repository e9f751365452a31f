//! The way to a server: its address, and what it asks of its clients.

use std::fmt;

use tonic::metadata::AsciiMetadataValue;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

/// A connection that shows its token with each request.
pub type Link = InterceptedService<Channel, Bearer>;

/// A server, and what to show it. Never prints a token or a key.
#[derive(Clone, Default)]
pub struct Way {
    /// `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`.
    pub address: String,
    /// What the server lets us in for.
    pub token: Option<Bearer>,
    /// PEM of the issuer of the server's certificate.
    pub server_ca: Option<Vec<u8>>,
    /// PEM of our own certificate and of its key.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
}

/// A token, ready to be shown.
#[derive(Clone, Default)]
pub struct Bearer(Option<AsciiMetadataValue>);

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Way({})", self.address)
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer")
    }
}

impl Bearer {
    /// A token, when it is one that a header can carry.
    #[must_use]
    pub fn new(token: &str) -> Option<Bearer> {
        let mut value: AsciiMetadataValue = format!("Bearer {token}").parse().ok()?;
        value.set_sensitive(true);
        Some(Bearer(Some(value)))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(value) = &self.0 {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    }
}

impl From<&str> for Way {
    fn from(address: &str) -> Way {
        Way { address: address.to_owned(), ..Way::default() }
    }
}

impl From<&String> for Way {
    fn from(address: &String) -> Way {
        Way::from(address.as_str())
    }
}

impl From<&Way> for Way {
    fn from(way: &Way) -> Way {
        way.clone()
    }
}

impl Way {
    /// Where to connect, and how.
    pub(super) fn endpoint(&self) -> Result<Endpoint, Box<dyn std::error::Error + Send + Sync>> {
        let url = match self.address.contains("://") {
            true => self.address.clone(),
            false => format!("http://{}", self.address),
        };
        let tls = url.starts_with("https://");
        let endpoint = Endpoint::from_shared(url)?;
        if !tls {
            return Ok(endpoint);
        }
        let Some(ca) = &self.server_ca else {
            return Err("it speaks TLS; --tls-ca FILE names the issuer of its certificate".into());
        };
        let mut config = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca));
        if let Some((certificate, key)) = &self.identity {
            config = config.identity(Identity::from_pem(certificate, key));
        }
        Ok(endpoint.tls_config(config)?)
    }

    pub(super) fn bearer(&self) -> Bearer {
        self.token.clone().unwrap_or_default()
    }
}
