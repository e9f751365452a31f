//! One table of the engine: blocks, each with its hashes, then a table of
//! contents and a trailer.
//!
//! ```text
//! block     "LSM\x03", type u8, xxh3-128 of the data, length u32, unpacked
//!           length u32, low 32 bits of the xxh3-128 of all that; data
//! contents  "TOC!", count u32, sections as in a manifest (`tree`)
//! trailer   "SFA!", 1, 0, xxh3-128 of the contents, place of the contents u64
//! meta      a block: items of 0, number, key length, key, value length, value
//!           (numbers and lengths LEB128), then 255
//! ```
//!
//! Between the blocks stands one byte 3 (a section of its own).

use std::io;

use twox_hash::XxHash3_128;

use super::sections::{section, u128_at};
use super::window::{CHUNK, Source, Window};
use crate::format::canon::{LABEL, Label, u32_at, u64_at};
use crate::units::Seq;
use crate::{format::frame, format::page, format::summary};

const MAGIC: &[u8] = b"LSM\x03";
/// Of a block, and of what its last field covers.
const HEAD: usize = 33;
const HASHED: usize = 29;
/// At the end of the file.
const TRAILER: u64 = 30;
/// The contents, the meta block and the index take far less than this, so that
/// the last frame or page lies within, too.
const TAIL: u64 = CHUNK as u64;

/// What is known of a damaged table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    /// Where the first thing begins that does not match its hash.
    pub offset: u64,
    /// The last event in the blocks before, if they hold any.
    pub event: Option<Seq>,
}

/// Where in a table the damage begins, given that there is some.
pub(super) fn locate<S: Source>(table: &mut Window<S>) -> io::Result<Place> {
    let mut place = Place { offset: 0, event: None };
    loop {
        let skipped = place.offset + 1;
        if let Some(next) = block(table, place.offset, &mut place.event)? {
            place.offset = next;
        } else if table.get(place.offset, 1)? == Some(&[3])
            && let Some(next) = block(table, skipped, &mut place.event)?
        {
            place.offset = next;
        } else {
            return Ok(place);
        }
    }
}

/// The place behind a whole block; takes the events in it down.
fn block<S: Source>(
    table: &mut Window<S>,
    at: u64,
    event: &mut Option<Seq>,
) -> io::Result<Option<u64>> {
    let Some(head) = table.get(at, HEAD)? else { return Ok(None) };
    let hash = XxHash3_128::oneshot(head.get(..HASHED).unwrap_or_default());
    let (Some(MAGIC), Some(wanted), Some(len), Some(unpacked), Some(check)) =
        (head.get(..4), u128_at(head, 5), u32_at(head, 21), u32_at(head, 25), u32_at(head, 29))
    else {
        return Ok(None);
    };
    if check != hash as u32 {
        return Ok(None);
    }
    let (mut from, end) = (at + HEAD as u64, at + HEAD as u64 + u64::from(len));
    if len == unpacked
        && let Some(data) = table.get(from, len as usize)?
        && XxHash3_128::oneshot(data) == wanted
    {
        *event = (*event).max(last_event(data));
        return Ok(Some(end));
    }
    let mut hash = XxHash3_128::new();
    while from < end {
        let want = (end - from).min(CHUNK as u64) as usize;
        let Some(data) = table.get(from, want)? else { return Ok(None) };
        hash.write(data);
        from += want as u64;
    }
    Ok((hash.finish_128() == wanted).then_some(end))
}

/// The last event that a frame, page or summary in these bytes names; keys, and
/// so events, ascend.
fn last_event(data: &[u8]) -> Option<Seq> {
    let label = |at: usize| {
        let bytes = data.get(at..)?.get(..LABEL)?;
        let kinds = [frame::MAGIC, page::STORED_MAGIC, summary::MAGIC];
        kinds.iter().find_map(|magic| Label::parse(bytes, magic).ok())
    };
    let starts = data.windows(4).enumerate().rev().filter(|(_, four)| four == b"ORRY");
    starts.map(|(at, _)| at).find_map(label).map(|(label, _)| label.last())
}

/// What of a table is the newest, if it is whole enough.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Newest {
    /// The highest of the engine's numbers.
    pub number: Option<u64>,
    /// The last event of a frame, page or summary.
    pub event: Option<Seq>,
}

/// Reads the end of a table.
pub(super) fn newest<S: Source>(table: &mut Window<S>) -> io::Result<Newest> {
    let from = table.len().saturating_sub(TAIL);
    let want = (table.len() - from) as usize;
    let Some(end) = table.get(from, want)? else { return Ok(Newest::default()) };
    let number = meta(end, from).and_then(|meta| item(meta, b"seqno#max"));
    Ok(Newest { number: number.and_then(|max| u64_at(max, 0)), event: last_event(end) })
}

/// The data of the meta block, given the end of a table.
fn meta(end: &[u8], from: u64) -> Option<&[u8]> {
    let trailer = end.len().checked_sub(TRAILER as usize)?;
    if end.get(trailer..)?.get(..4)? != b"SFA!" {
        return None;
    }
    let contents = usize::try_from(u64_at(end, trailer + 22)?.checked_sub(from)?).ok()?;
    let listed = end.get(contents..trailer)?;
    if XxHash3_128::oneshot(listed) != u128_at(end, trailer + 6)? {
        return None;
    }
    let (at, len) = section(listed, b"meta")?;
    let at = usize::try_from(at.checked_sub(from)?).ok()?;
    let block = end.get(at..)?.get(..usize::try_from(len).ok()?)?;
    let data = block.get(HEAD..)?.get(..u32_at(block, 21)? as usize)?;
    (XxHash3_128::oneshot(data) == u128_at(block, 5)?).then_some(data)
}

/// The value of a key in a block without shared prefixes.
fn item<'a>(mut data: &'a [u8], wanted: &[u8]) -> Option<&'a [u8]> {
    while let Some((0, rest)) = data.split_first() {
        let (_, rest) = number(rest)?;
        let (len, rest) = number(rest)?;
        let (key, rest) = rest.split_at_checked(len)?;
        let (len, rest) = number(rest)?;
        let (value, rest) = rest.split_at_checked(len)?;
        if key == wanted {
            return Some(value);
        }
        data = rest;
    }
    None
}

/// LEB128.
fn number(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut out = 0u64;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        out |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((usize::try_from(out).ok()?, bytes.get(at + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn put_block(out: &mut Vec<u8>, data: &[u8]) {
        let at = out.len();
        out.extend_from_slice(MAGIC);
        out.push(0);
        out.extend_from_slice(&XxHash3_128::oneshot(data).to_le_bytes());
        for _ in 0..2 {
            out.extend_from_slice(&(data.len() as u32).to_le_bytes());
        }
        let check = XxHash3_128::oneshot(&out[at..]) as u32;
        out.extend_from_slice(&check.to_le_bytes());
        out.extend_from_slice(data);
    }

    /// A table with two blocks of data and the number 700.
    fn table() -> Vec<u8> {
        let mut out = Vec::new();
        for first in [1, 5] {
            let day = crate::units::TradingDay(3);
            let label = Label { first: Seq(first), count: 4, day };
            let mut data = vec![9; 100];
            data.extend_from_slice(&label.bytes(frame::MAGIC, 1));
            put_block(&mut out, &data);
        }
        out.push(3);
        let meta_at = out.len();
        let mut meta = Vec::new();
        for (key, value) in [(&b"a"[..], &b"x"[..]), (b"seqno#max", &700u64.to_le_bytes())] {
            meta.extend_from_slice(&[0, 0, key.len() as u8]);
            meta.extend_from_slice(key);
            meta.push(value.len() as u8);
            meta.extend_from_slice(value);
        }
        meta.push(255);
        put_block(&mut out, &meta);
        let toc = out.len();
        out.extend_from_slice(b"TOC!\x01\0\0\0");
        out.extend_from_slice(&(meta_at as u64).to_le_bytes());
        out.extend_from_slice(&((toc - meta_at) as u64).to_le_bytes());
        out.extend_from_slice(b"\x04\0meta");
        let hash = XxHash3_128::oneshot(&out[toc..]);
        out.extend_from_slice(b"SFA!\x01\0");
        out.extend_from_slice(&hash.to_le_bytes());
        out.extend_from_slice(&(toc as u64).to_le_bytes());
        out
    }

    fn place(bytes: &[u8]) -> (u64, Option<u64>) {
        let mut window = Window::new(bytes, bytes.len() as u64);
        let place = locate(&mut window).expect("memory reads");
        (place.offset, place.event.map(|seq| seq.0))
    }

    fn max(bytes: &[u8]) -> Option<u64> {
        newest(&mut Window::new(bytes, bytes.len() as u64)).expect("memory reads").number
    }

    #[test]
    fn damage_is_located_to_its_block_and_to_the_last_event_before() {
        let good = table();
        let block = (HEAD + 100 + LABEL) as u64;
        let end = newest(&mut Window::new(&good[..], good.len() as u64)).expect("memory reads");
        assert_eq!(end, Newest { number: Some(700), event: Some(Seq(8)) });
        let end = place(&good).0 as usize;
        assert_eq!(&good[end..end + 4], b"TOC!", "all blocks are whole");
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 1;
            let expected = match at as u64 {
                at if at < block => (0, None),
                at if at < 2 * block => (block, Some(4)),
                at if at < end as u64 => (2 * block, Some(8)),
                _ => (end as u64, Some(8)),
            };
            assert_eq!(place(&bad), expected, "flip at {at}");
            assert!(matches!(max(&bad), None | Some(700)));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            flips in prop::collection::vec((0usize..600, any::<u8>()), 0..8),
            cut in 0usize..600,
        ) {
            let mut bytes = table();
            for (at, value) in flips {
                let at = at % bytes.len();
                bytes[at] = value;
            }
            bytes.truncate(cut.max(1));
            place(&bytes);
            max(&bytes);
        }
    }
}
