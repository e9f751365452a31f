//! The pieces of a checkpoint, by address, in order.
//!
//! ```text
//! format u32 = 1 | address of the whole state 32
//! parts u64, each: offset u64, name (length u64 + UTF-8)
//! pieces u64, each: length u64, address 32
//! ```
//! It is kept under its own address, so whoever has that has everything.

use bytes::Bytes;
use orrery_journal::units::Address;

use super::cut;
use super::state::{Mark, State};
use crate::canonical::{Decoder, Encoder};
use crate::fold::RestoreError;

const FORMAT: u32 = 1;

/// A piece of a state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) length: u64,
    /// blake3 of its bytes.
    pub(super) address: Address,
}

/// What a state is put together from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Manifest {
    /// blake3 of the whole state.
    pub(super) state: Address,
    pub(super) parts: Vec<Mark>,
    pub(super) pieces: Vec<Piece>,
}

impl Manifest {
    /// The manifest of a state, and the bytes of each of its pieces.
    pub(super) fn of(state: &State) -> (Manifest, Vec<Bytes>) {
        let bytes = &state.bytes;
        let ends = state.marks.iter().map(|mark| mark.at as usize).chain([bytes.len()]);
        let (mut begin, mut pieces, mut cut) = (0, Vec::new(), Vec::new());
        for end in ends {
            let part = bytes.get(begin..end).unwrap_or_default();
            for piece in cut::pieces(part) {
                pieces.push(Piece { length: piece.len() as u64, address: Address::of(piece) });
                cut.push(bytes.slice_ref(piece));
            }
            begin = end.max(begin);
        }
        (Manifest { state: Address::of(bytes), parts: state.marks.clone(), pieces }, cut)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64 + self.parts.len() * 48 + self.pieces.len() * 40);
        let mut e = Encoder::new(&mut out);
        e.u32(FORMAT);
        e.address(self.state);
        e.count(self.parts.len());
        for part in &self.parts {
            e.u64(part.at);
            e.text(&part.name);
        }
        e.count(self.pieces.len());
        for piece in &self.pieces {
            e.u64(piece.length);
            e.address(piece.address);
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Manifest, RestoreError> {
        let mut d = Decoder::new(bytes);
        let format = d.u32()?;
        if format != FORMAT {
            return Err(RestoreError(format!("manifest format {format}, not {FORMAT}")));
        }
        let state = d.address()?;
        let parts = d.list(|d| Ok(Mark { at: d.u64()?, name: d.text()?.to_owned() }))?;
        let pieces = d.list(|d| Ok(Piece { length: d.u64()?, address: d.address()? }))?;
        d.end()?;
        Ok(Manifest { state, parts, pieces })
    }

    /// The part that a byte belongs to.
    pub(super) fn part_at(&self, at: u64) -> &str {
        let before = self.parts.partition_point(|part| part.at <= at).checked_sub(1);
        before.and_then(|n| self.parts.get(n)).map_or("the state", |part| &part.name)
    }

    /// Each piece with the place of its first byte.
    pub(super) fn placed(&self) -> impl Iterator<Item = (u64, Piece)> {
        let mut at = 0u64;
        self.pieces.iter().map(move |piece| {
            let begin = at;
            at = at.saturating_add(piece.length);
            (begin, *piece)
        })
    }

    /// What a person calls a piece.
    pub(super) fn label(&self, at: u64, piece: Piece) -> String {
        let end = at.saturating_add(piece.length);
        format!("part `{}` (bytes {at}..{end}, {})", self.part_at(at), piece.address)
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::Marks;
    use super::*;

    fn state() -> State {
        let bytes: Vec<u8> = (0..200_000u32).map(|n| (n.wrapping_mul(n) >> 7) as u8).collect();
        let mut marks = Marks::default();
        for (at, name) in [(0, "engine"), (70, "SPX gex"), (70, "SPX flow"), (150_000, "SPX tape")]
        {
            marks.part(at, name);
        }
        State::new(bytes, marks)
    }

    #[test]
    fn pieces_are_the_state_and_every_part_begins_one() {
        let state = state();
        let (manifest, cut) = Manifest::of(&state);
        assert_eq!(cut.concat(), state.bytes);
        for mark in &state.marks {
            assert!(manifest.placed().any(|(at, _)| at == mark.at), "{mark:?}");
        }
        assert_eq!(Manifest::decode(&manifest.encode()), Ok(manifest.clone()));
        let names = [0, 69, 70, 149_999, 150_000].map(|at| manifest.part_at(at));
        assert_eq!(names, ["engine", "engine", "SPX flow", "SPX flow", "SPX tape"]);
        assert_eq!(Manifest::of(&State::whole(&b"x"[..])).0.part_at(0), "the state");
    }

    #[test]
    fn any_bytes_are_read_or_refused() {
        let good = Manifest::of(&state()).0.encode();
        for cut in 0..good.len() {
            assert!(Manifest::decode(&good[..cut]).is_err(), "{cut}");
        }
        for at in 0..44 {
            let mut bad = good.clone();
            bad[at] ^= 0x80;
            // Read as another one or refused; never a panic or a great allocation.
            assert_ne!(Manifest::decode(&bad), Ok(Manifest::of(&state()).0), "{at}");
        }
    }
}
