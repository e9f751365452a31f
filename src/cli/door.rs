//! Whom a server lets in: tokens, TLS, hosts, origins and bounds.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;

use crate::clock;
use crate::gateway::access::{Access, Tokens};
use crate::gateway::tls::{Tls, TlsFiles};
use crate::gateway::{Door, LIMITS, Limits};

/// Name of the credential that systemd hands over.
const CREDENTIAL: &str = "orrery.tokens";
/// A file of tokens is no book.
const TOKENS_BYTES_MAX: u64 = 1024 * 1024;

/// Whom to let in.
#[derive(Clone, Debug, Args)]
pub struct DoorArgs {
    /// Tokens that clients must have, a line each: NAME SCOPES TOKEN, scopes of
    /// read,annotate,control; the token may be blake3: and its hash. Default:
    /// the credential orrery.tokens of systemd, if there is one; without tokens
    /// whoever reaches the listener may do everything.
    #[arg(long, env = "ORRERY_TOKENS", value_name = "FILE")]
    tokens: Option<PathBuf>,
    /// Where systemd puts credentials.
    #[arg(long, hide = true, env = "CREDENTIALS_DIRECTORY", value_name = "DIR")]
    credentials: Option<PathBuf>,
    /// Listen on addresses that others reach without asking for tokens or
    /// certificates.
    #[arg(long, conflicts_with = "tokens")]
    without_tokens: bool,
    /// Speak TLS with this certificate (PEM, with those between it and its root).
    #[arg(long, env = "ORRERY_TLS_CERT", value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Its key (PEM).
    #[arg(long, env = "ORRERY_TLS_KEY", value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Let only clients in that have a certificate of this issuer (PEM).
    #[arg(long, env = "ORRERY_TLS_CLIENT_CA", value_name = "FILE", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,
    /// Pages of this origin may ask with credentials, and others not at all;
    /// repeat it for more.
    #[arg(long, env = "ORRERY_CORS_ORIGIN", value_name = "ORIGIN", value_delimiter = ',',
          value_parser = origin)]
    cors_origin: Vec<String>,
    /// A name of this server beside its addresses and localhost; repeat it for
    /// more. Matters only without tokens.
    #[arg(long, env = "ORRERY_HOST", value_name = "NAME", value_delimiter = ',')]
    host: Vec<String>,
    /// Connections at the same time.
    #[arg(long, default_value_t = 4096, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections: u32,
    /// Connections of one address at the same time.
    #[arg(long, default_value_t = 2048, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    connections_per_client: u32,
    /// Annotations that one client may bring in a minute over HTTP.
    #[arg(long, default_value_t = LIMITS.annotations_per_minute, value_name = "N",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    annotations_per_minute: u32,
}

fn origin(text: &str) -> Result<String, String> {
    let fine = text.split_once("://").is_some_and(|(scheme, rest)| {
        ["http", "https"].contains(&scheme) && !rest.is_empty() && !rest.contains(['/', '*', ' '])
    });
    fine.then(|| text.to_owned())
        .ok_or_else(|| "write an origin without a path, such as https://desk.example".to_owned())
}

impl DoorArgs {
    /// Whether the listener speaks TLS.
    #[must_use]
    pub const fn speaks_tls(&self) -> bool {
        self.tls_cert.is_some()
    }

    /// The door of a listener.
    ///
    /// # Errors
    /// When a file cannot be used, or everybody could come in without having
    /// been asked to.
    pub fn door(&self, listen: SocketAddr) -> anyhow::Result<Door> {
        let tokens = self.read_tokens()?;
        let tls = match (&self.tls_cert, &self.tls_key) {
            (Some(certificate), Some(key)) => Some(Tls::load(
                &TlsFiles {
                    certificate: certificate.clone(),
                    key: key.clone(),
                    client_ca: self.tls_client_ca.clone(),
                },
                clock::now_ms(),
            )?),
            _ => None,
        };
        let asks = tokens.is_some() || self.tls_client_ca.is_some();
        if !listen.ip().is_loopback() {
            if !asks && !self.without_tokens {
                bail!(
                    "others reach {listen}, and everybody could do everything there: give \
                     --tokens FILE or --tls-client-ca FILE, or say --without-tokens"
                );
            }
            if tokens.is_some() && tls.is_none() {
                tracing::warn!("tokens travel in the clear: --tls-cert and --tls-key hide them");
            }
        }
        let access = Access {
            tokens,
            origins: self.cors_origin.clone(),
            hosts: self.host.clone(),
            tls: tls.is_some(),
        };
        let limits = Limits {
            connections: self.connections as usize,
            connections_per_client: self.connections_per_client as usize,
            annotations_per_minute: self.annotations_per_minute,
            ..LIMITS
        };
        Ok(Door { limits, access, tls })
    }

    fn read_tokens(&self) -> anyhow::Result<Option<Tokens>> {
        let handed = self.credentials.as_ref().map(|dir| dir.join(CREDENTIAL));
        let handed = handed.filter(|file| !self.without_tokens && file.is_file());
        let Some(file) = self.tokens.clone().or(handed) else { return Ok(None) };
        let text = read(&file)?;
        let tokens =
            Tokens::parse(&text).with_context(|| format!("tokens in {}", file.display()))?;
        warn_of_readers(&file);
        tracing::info!(file = %file.display(), tokens = tokens.count(), "tokens were read");
        Ok(Some(tokens))
    }
}

fn read(file: &Path) -> anyhow::Result<String> {
    let cannot = || format!("cannot read the tokens in {}", file.display());
    let size = std::fs::metadata(file).with_context(cannot)?.len();
    if size > TOKENS_BYTES_MAX {
        bail!("{} is no file of tokens: it has {size} bytes", file.display());
    }
    std::fs::read_to_string(file).with_context(cannot)
}

/// Others on this machine may read the file.
fn warn_of_readers(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let open = std::fs::metadata(file).is_ok_and(|m| m.permissions().mode() & 0o077 != 0);
    if open {
        tracing::warn!(file = %file.display(), "others may read the tokens: chmod 600 keeps them");
    }
}
