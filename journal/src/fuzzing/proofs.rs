//! Proofs: notes, keys and checkpoints from any bytes, and bundles that were
//! tampered with.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{market, rows};
use crate::event;
use crate::format::canon::{LABEL, Label};
use crate::format::page;
use crate::proof::bundle::{Bundle, Claim, PageProof};
use crate::proof::checkpoint::Checkpoint;
use crate::proof::handover;
use crate::proof::merkle::{Tree, TreeHash};
use crate::proof::note::{self, PublicKey, SecretKey};
use crate::proof::slice::Slice;
use crate::units::{Address, Seq, TradingDay};

const ORIGIN: &str = "orrery.test/fuzz";
const EVENTS: u64 = 24;

/// A small log that is known to be right: key, bundles, events by seq.
struct Known {
    key: PublicKey,
    bundles: Vec<Bundle>,
    events: BTreeMap<Seq, Vec<u8>>,
}

fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(build)
}

fn build() -> Known {
    let Ok(secret) = SecretKey::from_seed(ORIGIN, [7; 32]) else { panic!("a good name") };
    let (mut events, mut pages) = (BTreeMap::new(), Vec::new());
    for number in 0..3u64 {
        let first = Seq(1 + number * EVENTS);
        let mut shape = market();
        // Time goes on from page to page.
        shape.chunks_mut(48).for_each(|row| row[1] = number as u8);
        let (rows, count) = rows(&shape);
        let label = Label { first, count: count as u32, day: TradingDay(20_000) };
        let mut at = 0;
        for seq in first.0..first.0 + EVENTS {
            let Ok((_, len)) = event::decode(&rows[at..]) else { panic!("canonical") };
            events.insert(Seq(seq), rows[at..at + len].to_vec());
            at += len;
        }
        let mut canonical = page::canonical_label(label).to_vec();
        canonical.extend_from_slice(&rows);
        pages.push(canonical);
    }
    let addresses: Vec<Address> = pages.iter().map(|page| Address::of(page)).collect();
    let leaves: Vec<TreeHash> = addresses.iter().map(|address| TreeHash::leaf(*address)).collect();
    let (tree, size) = (Tree::default(), leaves.len() as u64);
    let root = |size| tree.root(leaves.as_slice(), size).unwrap_or_else(|e| panic!("{e}"));
    let note = |size| Checkpoint { origin: ORIGIN.into(), size, root: root(size) }.sign(&secret);
    let prove = |index: usize, upto: Option<u64>| {
        let path = tree.inclusion(leaves.as_slice(), index as u64, size);
        let canonical = &pages[index];
        let slice = match upto {
            None => Slice::whole(canonical),
            Some(end) => {
                let end_of_page = canonical.len() as u64;
                Slice::of(canonical, &[0..LABEL as u64 + end, end_of_page - 1..end_of_page])
            }
        };
        PageProof {
            index: index as u64,
            address: addresses[index],
            path: path.unwrap_or_else(|e| panic!("{e}")),
            slice,
        }
    };
    let checkpoint = note(size);
    let consistency = tree.consistency(leaves.as_slice(), 1, size);
    let claims = [
        Claim::Events { seqs: vec![Seq(2)], pages: vec![prove(0, Some(128))] },
        Claim::Events {
            seqs: vec![Seq(1), Seq(30), Seq(31)],
            pages: vec![prove(0, Some(64)), prove(1, Some(7 * 64))],
        },
        Claim::Range {
            from: Seq(20),
            to: Seq(60),
            pages: vec![prove(0, None), prove(1, None), prove(2, None)],
        },
        Claim::Consistency { old: note(1), path: consistency.unwrap_or_else(|e| panic!("{e}")) },
    ];
    let bundles: Vec<Bundle> =
        claims.into_iter().map(|claim| Bundle { checkpoint: checkpoint.clone(), claim }).collect();
    let key = secret.public();
    for bundle in &bundles {
        assert!(bundle.check(&key).is_ok(), "{:?}", bundle.check(&key));
    }
    Known { key, bundles, events }
}

/// The known key hands its log over twice.
fn handovers() -> String {
    let keys = [7, 8, 9].map(|seed| SecretKey::from_seed(ORIGIN, [seed; 32]));
    let [Ok(first), Ok(second), Ok(third)] = keys else { panic!("a good name") };
    let text = Checkpoint { origin: ORIGIN.into(), size: 3, root: TreeHash([4; 32]) }.text();
    let note = |by, next| match handover::sign(&text, by, next) {
        Ok(note) => note + "\n",
        Err(e) => panic!("{e}"),
    };
    let all = note(&first, &second) + &note(&second, &third);
    match handover::follow(all.as_bytes(), &first.public()) {
        Ok(keys) => assert_eq!(keys.len(), 3),
        Err(e) => panic!("{e}"),
    }
    all
}

/// Any bytes as note, key and checkpoint; or a right bundle with changes.
pub fn proof(data: &[u8]) {
    match data.split_first() {
        None => {}
        Some((mode, rest)) if mode % 2 == 0 => texts(rest),
        Some((_, rest)) => tampered(rest),
    }
}

/// Seeds of `proof`.
#[must_use]
pub fn proof_seeds() -> Vec<Vec<u8>> {
    let known = known();
    let mut seeds = vec![
        [&[0], handovers().as_bytes()].concat(),
        [&[0], known.bundles[0].checkpoint.as_bytes()].concat(),
        [&[0], known.key.to_string().as_bytes()].concat(),
    ];
    for bundle in 0..4 {
        seeds.push(vec![1, bundle]);
        seeds.push(vec![1, bundle, 0, 0, 1, 9, 1, 0, 3, 1, 2, 2, 5, 6]);
    }
    seeds
}

fn texts(bytes: &[u8]) {
    let key = &known().key;
    if let Ok(note) = note::parse(bytes) {
        let signed = note.signed_by(key).is_ok();
        let text = note.text_unchecked();
        if let Ok(checkpoint) = Checkpoint::parse_text(text) {
            assert!(text.starts_with(&checkpoint.text()), "a checkpoint is written in one way");
        }
        if signed {
            let sizes = [1, 3].map(|size| format!("{ORIGIN}\n{size}\n"));
            assert!(sizes.iter().any(|start| text.starts_with(start)), "nobody signed this");
        }
    }
    let (notes, rest) = note::split(bytes);
    let told: usize = notes.iter().map(|note| note.len() + 1).sum();
    assert_eq!(told + rest.len(), bytes.len(), "no byte is lost between notes");
    if let Ok(all) = handover::read_all(bytes) {
        assert_eq!(all.len(), notes.len(), "each note is a handover");
        if let Ok(keys) = handover::follow(bytes, key) {
            assert_eq!(keys.first(), Some(key), "the trusted key leads");
        }
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        if let Ok(checkpoint) = Checkpoint::parse_text(text) {
            assert!(text.starts_with(&checkpoint.text()), "a checkpoint is written in one way");
        }
        if let Ok(key) = PublicKey::parse(text) {
            assert_eq!(key.to_string(), text.trim(), "a key is written in one way");
        }
        let _ = SecretKey::parse(text).map(|key| key.public().to_string());
    }
}

/// Whatever is changed: what is proven is what was.
fn tampered(data: &[u8]) {
    let known = known();
    let Some((which, steps)) = data.split_first() else { return };
    let mut bundle = known.bundles[usize::from(*which) % known.bundles.len()].clone();
    for step in steps.chunks_exact(4).take(16) {
        let [what, place, at, value] = step else { return };
        change(&mut bundle, *what, usize::from(*place), usize::from(*at), *value);
    }
    if let Ok(proven) = bundle.check(&known.key) {
        for event in &proven.events {
            let mut bytes = Vec::new();
            event::encode(&event.event, &mut bytes);
            assert_eq!(known.events.get(&event.seq), Some(&bytes), "event {}", event.seq);
        }
        if let Claim::Range { from, to, .. } = bundle.claim {
            assert_eq!(proven.events.len() as u64, to.0 - from.0 + 1);
        }
    }
}

fn change(bundle: &mut Bundle, what: u8, place: usize, at: usize, value: u8) {
    fn swap_bit(bytes: &mut [u8], at: usize, bit: u8) {
        let len = bytes.len().max(1);
        if let Some(byte) = bytes.get_mut(at * 7 % len) {
            *byte ^= 1 << (bit % 8);
        }
    }
    if what % 16 == 15 {
        let mut text = std::mem::take(&mut bundle.checkpoint).into_bytes();
        swap_bit(&mut text, at, value);
        bundle.checkpoint = String::from_utf8_lossy(&text).into_owned();
        return;
    }
    let pages = match &mut bundle.claim {
        Claim::Events { seqs, pages } => {
            match what % 16 {
                12 => seqs.push(Seq(u64::from(value))),
                13 => seqs.truncate(at % 4),
                14 => seqs.iter_mut().skip(at).take(1).for_each(|seq| *seq = Seq(value.into())),
                _ => {}
            }
            pages
        }
        Claim::Range { from, to, pages } => {
            match what % 16 {
                12 => *from = Seq(value.into()),
                13 => *to = Seq(value.into()),
                14 => (*from, *to) = (Seq(at as u64), Seq(value.into())),
                _ => {}
            }
            pages
        }
        Claim::Consistency { old, path } => {
            match what % 4 {
                0 => path.truncate(at),
                1 => path.iter_mut().for_each(|hash| swap_bit(&mut hash.0, at, value)),
                2 => path.push(TreeHash([value; 32])),
                _ => *old = bundle.checkpoint.clone(),
            }
            return;
        }
    };
    let count = pages.len().max(1);
    if what % 16 == 11 {
        let (a, b) = (at % count, usize::from(value) % count);
        if a < pages.len() && b < pages.len() {
            pages.swap(a, b);
        }
        return;
    }
    let twin = pages.get(at % count).cloned();
    let Some(page) = pages.get_mut(place % count) else { return };
    let runs = page.slice.runs.len().max(1);
    match what % 16 {
        0 => page.slice.runs.iter_mut().for_each(|run| swap_bit(&mut run.bytes, at, value)),
        1 => page.slice.length = page.slice.length.wrapping_add_signed(i64::from(value as i8)),
        2 => page.index = u64::from(value),
        3 => page.path.truncate(at % 4),
        4 => page.path.push(TreeHash([value; 32])),
        5 => swap_bit(&mut page.address.0, at, value),
        6 => page.slice.tree.push([value; 32]),
        7 => page.slice.tree.truncate(at % 4),
        8 => page.slice.runs.truncate(at % 4),
        9 => {
            if let Some(run) = page.slice.runs.get_mut(at % runs) {
                run.first = run.first.wrapping_add_signed(i64::from(value as i8));
                run.bytes.truncate(at * 16);
            }
        }
        10 => {
            if let Some(twin) = twin {
                page.slice = twin.slice;
                if value.is_multiple_of(2) {
                    // Hashed anew: a right page, only not in this place.
                    page.address = twin.address;
                }
            }
        }
        _ => {}
    }
}
