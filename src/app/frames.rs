//! Frames of the vendor that clients bring.

use crate::backend::pulse::Framed;
use crate::control::append;
use crate::feeds::massive::wire;
use crate::feeds::{Decoded, QUARANTINE_BYTES_MAX, Recv};

const _: () = assert!(append::QUARANTINE_BYTES_MAX == QUARANTINE_BYTES_MAX);

/// Reads a frame.
pub fn read(text: &[u8]) -> Framed {
    let mut decoded = Decoded::default();
    wire::frame(text, Recv::Own, &mut decoded);
    let told = decoded.told.into_iter().map(|refusal| refusal.what).collect();
    Framed { drafts: decoded.drafts, told }
}
