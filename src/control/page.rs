//! Page tokens: where the next page begins, which request it belongs to, and
//! on which moment it stands. Opaque to clients.

use prost::Message;
use tonic::Status;

use orrery_journal::units::Seq;

use super::status::invalid;

/// Where a page begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// First row, or first version.
    pub start: u64,
    /// The moment that the first page was answered for.
    pub seq: Seq,
}

/// What ties a token to its request: the request without its paging fields.
pub fn fingerprint(method: &str, request: &impl Message) -> u64 {
    let mut hasher = blake3::Hasher::new_derive_key("orrery page token 1");
    hasher.update(method.as_bytes());
    hasher.update(&[0]);
    hasher.update(&request.encode_to_vec());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_be_bytes(first)
}

/// Writes a token.
pub fn token(fingerprint: u64, page: Page) -> String {
    format!("{fingerprint:016x}{:016x}{:016x}", page.start, page.seq.0)
}

/// Reads a token; the empty one asks for the first page.
///
/// # Errors
/// When it is no token, or one of another request.
pub fn parse(fingerprint: u64, token: &str) -> Result<Option<Page>, Status> {
    if token.is_empty() {
        return Ok(None);
    }
    let number = |range: std::ops::Range<usize>| {
        token
            .get(range)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
    };
    let (Some(of), Some(start), Some(seq), 48) =
        (number(0..16), number(16..32), number(32..48), token.len())
    else {
        return Err(invalid("page_token", "not a token that this service gave out"));
    };
    if of != fingerprint {
        return Err(invalid("page_token", "belongs to another request; begin without a token"));
    }
    Ok(Some(Page { start, seq: Seq(seq) }))
}

/// The page size that is meant.
///
/// # Errors
/// When it is negative.
pub fn size(asked: i32, default: usize, max: usize) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(default),
        Ok(asked) => Ok(asked.min(max)),
        Err(_) => Err(invalid("page_size", "cannot be negative")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use orrery_proto::v1::ListEpochsRequest;

    fn of(symbol: &str) -> u64 {
        fingerprint(
            "ListEpochs",
            &ListEpochsRequest { symbol: symbol.into(), ..ListEpochsRequest::default() },
        )
    }

    #[test]
    fn a_token_serves_its_own_request_and_no_other() {
        let page = Page { start: 500, seq: Seq(42) };
        let written = token(of("SPX"), page);
        assert_eq!(parse(of("SPX"), &written).expect("own token"), Some(page));
        assert_eq!(
            parse(of("NDX"), &written).expect_err("other request").code(),
            tonic::Code::InvalidArgument
        );
        assert_eq!(parse(of("SPX"), "").expect("first page"), None);
        for nonsense in ["x", "0", &written[1..], &format!("{written}0"), &"+".repeat(48), "é"] {
            assert!(parse(of("SPX"), nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn page_sizes_are_bounded() {
        assert_eq!(size(0, 100, 1000).expect("default"), 100);
        assert_eq!(size(5000, 100, 1000).expect("clamped"), 1000);
        assert!(size(-1, 100, 1000).is_err());
    }
}
