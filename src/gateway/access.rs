//! Who may do what: bearer tokens with scopes, and where requests may come from.
//!
//! One layer before routing decides, for HTTP, event streams and gRPC alike.
//! Tokens are kept as hashes and compared in constant time; they are never
//! logged and never part of an error.

pub mod layer;
pub mod scopes;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use blake3::Hash;

pub use scopes::Scope;

/// Shortest token: 20 letters and digits are more than 100 bits.
const TOKEN_CHARS_MIN: usize = 20;
/// Longest token.
const TOKEN_CHARS_MAX: usize = 512;
/// Most tokens in a file.
const TOKENS_MAX: usize = 1024;
/// What begins a token's hash in a file.
const HASHED: &str = "blake3:";

/// Who may do what. The default lets everybody on this machine do everything.
#[derive(Clone, Debug, Default)]
pub struct Access {
    /// Whoever is let in by a token; `None` asks for none.
    pub tokens: Option<Tokens>,
    /// Pages of these origins may ask with credentials: `https://desk.example`.
    pub origins: Vec<String>,
    /// Names under which this server is asked for, beside addresses and
    /// `localhost`.
    pub hosts: Vec<String>,
    /// Whether the listener speaks TLS, for cookies.
    pub tls: bool,
}

/// Tokens by their hashes.
#[derive(Clone, Default)]
pub struct Tokens(Vec<Holder>);

/// Somebody with a token.
#[derive(Clone)]
struct Holder {
    name: Box<str>,
    scopes: BTreeSet<Scope>,
    hash: Hash,
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({})", self.0.len())
    }
}

/// A file of tokens that cannot be read. Never repeats what stands there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {why}; write NAME SCOPES TOKEN, scopes of read,annotate,control")]
pub struct TokensError {
    /// The line, from 1; 0 means the whole file.
    pub line: usize,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Tokens {
    /// Reads lines `NAME SCOPES TOKEN`; the token may be `blake3:` and the hash
    /// of it, in hex. `#` begins a comment.
    ///
    /// # Errors
    /// See [`TokensError`].
    pub fn parse(text: &str) -> Result<Tokens, TokensError> {
        let mut holders: Vec<Holder> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let holder = holder(line).map_err(|why| TokensError { line: index + 1, why })?;
            let wrong = if holders.iter().any(|h| h.name == holder.name) {
                Some("the name was used before")
            } else if holders.iter().any(|h| h.hash == holder.hash) {
                Some("the token was used before")
            } else if holders.len() == TOKENS_MAX {
                Some("there are too many tokens")
            } else {
                None
            };
            if let Some(why) = wrong {
                return Err(TokensError { line: index + 1, why });
            }
            holders.push(holder);
        }
        match holders.is_empty() {
            true => Err(TokensError { line: 0, why: "there is no token" }),
            false => Ok(Tokens(holders)),
        }
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Whose token this is. Looks at all of them, and at every byte.
    fn holder(&self, token: &str) -> Option<&Holder> {
        let hash = blake3::hash(token.as_bytes());
        let mut found = None;
        for holder in &self.0 {
            // Hashes are compared in constant time.
            if holder.hash == hash {
                found = Some(holder);
            }
        }
        found
    }
}

fn holder(line: &str) -> Result<Holder, &'static str> {
    let mut words = line.split_whitespace();
    let (Some(name), Some(scopes), Some(token), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return Err("it does not have three words");
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if name.len() > 64 || !name.chars().all(plain) {
        return Err("a name has at most 64 letters, digits and -_.@");
    }
    let scopes: Option<BTreeSet<Scope>> = scopes.split(',').map(Scope::parse).collect();
    let scopes = scopes.ok_or("there is no such scope")?;
    let hash = match token.strip_prefix(HASHED) {
        Some(hex) => Hash::from_hex(hex).map_err(|_| "the hash is no blake3 in hex")?,
        None => {
            if !is_token(token) {
                return Err("a token has 20 to 512 letters, digits and -._~+/=");
            }
            blake3::hash(token.as_bytes())
        }
    };
    Ok(Holder { name: name.into(), scopes, hash })
}

/// Whether a text can be a token: what headers and cookies carry unchanged.
fn is_token(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    (TOKEN_CHARS_MIN..=TOKEN_CHARS_MAX).contains(&text.len()) && text.chars().all(plain)
}

impl Access {
    /// Whether a `Host` may be asked for when no token protects: a page of
    /// elsewhere that has its own name point at this machine has another one.
    fn is_host(&self, host: &str) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.rsplit_once(':').map_or(host, |(name, _)| name),
        };
        name.parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || self.hosts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether a page of this origin may ask for more than reading.
    fn is_origin(&self, origin: &str, host: Option<&str>) -> bool {
        let own = origin.split_once("://").map(|(_, authority)| authority);
        (own.is_some() && own == host) || self.origins.iter().any(|known| known == origin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: &str = "0123456789abcdefghij";

    #[test]
    fn tokens_are_found_by_themselves_or_their_hash() {
        let hashed = blake3::hash(b"another-token-of-twenty");
        let text = format!("# people\nann read,annotate {ANN}\n\nbot control blake3:{hashed}\n");
        let tokens = Tokens::parse(&text).expect("two tokens");
        assert_eq!(tokens.count(), 2);
        assert_eq!(tokens.holder(ANN).map(|h| &*h.name), Some("ann"));
        let bot = tokens.holder("another-token-of-twenty").expect("bot's");
        assert_eq!(bot.scopes, BTreeSet::from([Scope::Control]));
        assert!(tokens.holder("0123456789abcdefghiJ").is_none());
        assert!(tokens.holder(&format!("blake3:{hashed}")).is_none(), "a hash is no token");
        assert_eq!(format!("{tokens:?}"), "Tokens(2)");
    }

    #[test]
    fn what_is_wrong_is_said_by_line_and_without_the_token() {
        for (text, line, why) in [
            ("", 0, "no token"),
            ("ann read short", 1, "20 to 512"),
            ("# x\nann write 0123456789abcdefghij", 2, "no such scope"),
            ("ann read", 1, "three words"),
            ("ann read 0123456789abcdefghij more", 1, "three words"),
            ("ann read 0123456789abcdef;hij", 1, "20 to 512"),
            ("a/b read 0123456789abcdefghij", 1, "a name"),
            ("ann read blake3:12", 1, "no blake3"),
            ("ann read 0123456789abcdefghij\nann read 1123456789abcdefghij", 2, "name was used"),
            ("ann read 0123456789abcdefghij\nbob read 0123456789abcdefghij", 2, "token was used"),
        ] {
            let error = Tokens::parse(text).expect_err(text);
            assert!(error.line == line && error.why.contains(why), "{text}: {error}");
            assert!(!error.to_string().contains("456789"), "{error}");
        }
    }

    #[test]
    fn hosts_are_addresses_localhost_and_names_that_were_given() {
        let access = Access { hosts: vec!["desk.example".into()], ..Access::default() };
        for host in [
            "127.0.0.1:8417",
            "[::1]:8417",
            "[::1]",
            "LOCALHOST:1",
            "desk.example",
            "Desk.Example:9",
        ] {
            assert!(access.is_host(host), "{host}");
        }
        for host in ["evil.example", "evil.example:8417", "127.0.0.1.evil.example", ""] {
            assert!(!access.is_host(host), "{host}");
        }
    }

    #[test]
    fn origins_are_our_own_and_those_that_were_given() {
        let access = Access { origins: vec!["https://desk.example".into()], ..Access::default() };
        assert!(access.is_origin("https://desk.example", Some("127.0.0.1:1")));
        assert!(access.is_origin("http://127.0.0.1:8417", Some("127.0.0.1:8417")));
        for origin in ["null", "https://evil.example", "https://desk.example.evil", ""] {
            assert!(!access.is_origin(origin, Some("127.0.0.1:8417")), "{origin}");
        }
        assert!(!access.is_origin("null", None));
    }
}
