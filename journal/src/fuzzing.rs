//! Entry points for fuzzing: bytes in, panics where a promise is broken. Not an
//! interface; only `fuzz/` calls these.
//!
//! "It did not crash" is the least of it. Whatever a decoder takes must encode
//! to the same bytes again, whatever an encoder wrote must come back, and what
//! is checked by a hash is also reached behind the hash: the entry points put
//! the right hash on arbitrary content.

mod logs;
mod proofs;
mod stored;

pub use logs::{log, log_seeds};
pub use proofs::{proof, proof_seeds};
pub use stored::{frame, frame_seeds, index, index_seeds, page, page_seeds};

use crate::event::{self, Kind};

/// Canonical rows made of arbitrary bytes, and how many: each 48 bytes are a
/// row's first ones, kept where they can be read as an event.
fn rows(data: &[u8]) -> (Vec<u8>, usize) {
    let (mut rows, mut count) = (Vec::new(), 0);
    for piece in data.chunks(48) {
        let mut row = [0; event::EVENT_BYTES_LONG];
        for (to, from) in row.iter_mut().zip(piece) {
            *to = *from;
        }
        let Some(kind) = Kind::from_tag(row[22] % 16 + 1) else { continue };
        row[22] = kind as u8;
        let len = event::encoded_len(kind);
        let Ok(event) = event::parse(&row[..len], kind) else { continue };
        let start = rows.len();
        event::encode(&event, &mut rows);
        let again = event::decode(&rows[start..]);
        assert_eq!(again, Ok((event, len)), "what is encoded is canonical");
        count += 1;
    }
    (rows, count)
}

/// Some bytes that look like a market's: quotes, trades and a bar.
fn market() -> Vec<u8> {
    let mut out = Vec::new();
    for n in 0..24u8 {
        let mut row = [0u8; 48];
        row[0] = n;
        row[16] = 1 + n % 3;
        row[20] = 1;
        // Tags are one below: `rows` adds it.
        row[22] = match n {
            9 | 17 => 2,
            _ if n % 7 == 3 => 1,
            _ => 0,
        };
        row[23] = 0x07;
        row[24] = 100 + n;
        row[32] = 110 + n;
        out.extend_from_slice(&row);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    type Target = (fn(&[u8]), fn() -> Vec<Vec<u8>>);

    /// The seeds are what fuzzing starts from; a target that refuses its own
    /// seeds would never see anything but noise.
    #[test]
    fn targets_take_their_seeds_and_small_changes_of_them() {
        let targets: [Target; 5] = [
            (page, page_seeds),
            (frame, frame_seeds),
            (index, index_seeds),
            (log, log_seeds),
            (proof, proof_seeds),
        ];
        for (target, seeds) in targets {
            let seeds = seeds();
            assert!(!seeds.is_empty());
            for seed in &seeds {
                target(seed);
                for at in (0..seed.len()).step_by(1 + seed.len() / 40) {
                    let mut changed = seed.clone();
                    changed[at] ^= 1 << (at % 8);
                    target(&changed);
                    target(&seed[..at]);
                }
            }
        }
    }

    #[test]
    fn rows_come_from_nearly_any_bytes() {
        let (bytes, count) = rows(&market());
        assert_eq!((count, bytes.len()), (24, 22 * 64 + 2 * 128));
    }
}
