//! What comes out again over the vendor's protocol is equal in value to what
//! came in: on every recorded message, on mutated ones, and on the generated
//! ones in `tests/data`. And both readers of the vendor's messages, ours and
//! serde_json, say the same of all of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use orrery::feeds::massive::rest;
use orrery::feeds::massive::wire::probe::{self, Said};
use orrery::feeds::{Recv, inflate};
use orrery_journal::event::{ChainRow, DraftBody};
use serde_json::Value;

use crate::support::exact::Exact;
use crate::support::{Orrery, shared, unpacked};

/// 600 generated messages of every kind: all documented fields, some absent,
/// strange, huge, or twice as long as any column.
fn generated() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/messages.ndjson")
}

/// Imports files and exports the day again; the messages that came out.
#[track_caller]
fn there_and_back(orrery: &Orrery, paths: &[&Path]) -> Vec<String> {
    let report = orrery.import(paths);
    assert_eq!(report["refused"], serde_json::json!({}), "{report:#}");
    let out = tempfile::tempdir().expect("a folder");
    let to = out.path().join("out");
    orrery.run(&["export", "--to", to.to_str().expect("UTF-8")]).expect(0);
    let text = fs::read_to_string(to.join("ticks.ndjson")).expect("written");
    text.lines().map(str::to_owned).collect()
}

#[track_caller]
fn equal(came: &[String], went: &[impl AsRef<str>]) {
    assert_eq!(came.len(), went.len());
    for (n, (came, went)) in came.iter().zip(went).enumerate() {
        let went = went.as_ref();
        assert_eq!(Exact::parse(came), Exact::parse(went), "line {}: {came} is not {went}", n + 1);
    }
}

#[test]
fn each_generated_message_comes_back() {
    let text = fs::read_to_string(generated()).expect("in the repository");
    let lines: Vec<&str> = text.lines().collect();
    for kind in ["Q", "T", "A", "AM", "V", "status"] {
        let of_kind = format!("\"ev\":\"{kind}\"");
        assert!(lines.iter().filter(|line| line.contains(&of_kind)).count() > 10, "{kind}");
    }
    equal(&there_and_back(&Orrery::new(), &[&generated()]), &lines);

    // As frames of several messages, and as one document over many lines:
    // there a message has line breaks of its own.
    let orrery = Orrery::new();
    let frames: Vec<String> = lines.chunks(7).map(|f| format!("[{}]", f.join(" , "))).collect();
    let frames = orrery.file("frames.ndjson", frames.join("\n"));
    equal(&there_and_back(&orrery, &[&frames]), &lines);
    let orrery = Orrery::new();
    let spread: Vec<String> = lines.iter().map(|line| format!("{{\n  {}", &line[1..])).collect();
    let document = orrery.file("document.json", format!("[\n{}\n]\n", spread.join(",\r\n")));
    equal(&there_and_back(&orrery, &[&document]), &lines);
}

#[test]
fn each_recorded_chain_comes_back() {
    for (name, format) in [
        ("chain-qqq-20260504.json.zst", "massive-chain"),
        ("chain-jpm-20260504.json.zst", "massive-chain"),
        ("goog-20151224/chain-snapshots.ndjson.zst", "massive-chain"),
        ("chain-tsla-20260715-1048et.json.zst", "options-desk"),
        ("cboe-delayed-aapl-20260724.json.zst", "cboe-delayed"),
        ("cboe-quotetable-spx-20220204.csv.zst", "cboe-quotetable"),
    ] {
        let Some(path) = shared(name) else { continue };
        let orrery = Orrery::new();
        let report = orrery.import(&[&path]);
        assert_eq!(report["files"][0]["format"], format, "{report:#}");
        let out = tempfile::tempdir().expect("a folder");
        let to = out.path().join("out");
        orrery.run(&["export", "--to", to.to_str().expect("UTF-8")]).expect(0);
        let mut files: Vec<PathBuf> =
            fs::read_dir(to.join("chains")).expect("chains").flatten().map(|e| e.path()).collect();
        files.sort();
        let text = unpacked(&path);
        // A document, or one a line: each came back byte for byte.
        let lines = name.contains("ndjson");
        let went: Vec<&str> = if lines { text.lines().collect() } else { vec![text.trim()] };
        let came: Vec<String> =
            files.iter().map(|file| fs::read_to_string(file).expect("written")).collect();
        let came: Vec<&str> = came.iter().map(|text| text.trim()).collect();
        assert!(came == went, "{name}: {} files for {} documents", came.len(), went.len());
    }
}

/// The rows that the fold reads say what the vendor's contracts say.
#[test]
fn each_recorded_contract_is_in_its_row() {
    for name in ["chain-qqq-20260504.json.zst", "chain-jpm-20260504.json.zst"] {
        let Some(path) = shared(name) else { continue };
        let text = unpacked(&path);
        let document: Value = serde_json::from_str(&text).expect("JSON");
        let results = document["results"].as_array().expect("contracts");
        let contracts: BTreeMap<&str, &Value> = results
            .iter()
            .map(|c| (c["details"]["ticker"].as_str().expect("a ticker"), c))
            .collect();
        let out = rest::decode(&text.into_bytes().into(), Recv::Own);
        let DraftBody::Chain(chain) = &out.drafts[0].body else { panic!("no chain") };
        assert_eq!(chain.rows.len(), contracts.len());
        for row in &chain.rows {
            let contract = contracts[&*row.ticker];
            let (row, said): (&ChainRow, _) =
                (&row.row, |a: &str, b: &str| contract[a][b].as_f64());
            assert_eq!(Some(row.strike.to_f64()), said("details", "strike_price"));
            assert_eq!(row.multiplier, said("details", "shares_per_contract"));
            assert_eq!(row.open_interest, contract["open_interest"].as_f64());
            assert_eq!(row.implied_volatility, contract["implied_volatility"].as_f64());
            let greeks = [row.delta, row.gamma, row.theta, row.vega];
            let stated = ["delta", "gamma", "theta", "vega"].map(|greek| said("greeks", greek));
            assert_eq!(greeks, stated, "{contract}");
            let last = said("last_trade", "price").or(said("day", "close"));
            assert_eq!(row.last, last, "{contract}");
            assert_eq!(
                row.expiry.to_string(),
                contract["details"]["expiration_date"].as_str().unwrap()
            );
        }
    }
}

/// Numbers in a fixed order.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n.max(1)
    }

    /// One change of a message: a bit, a byte, a cut, a piece twice, a token.
    fn harm(&mut self, text: &[u8]) -> Vec<u8> {
        const TOKENS: &[&str] =
            &["\"", ",", ":", "}", "]", "0", "9", "-", ".", "e9", "null", "[", "\\", " ", "\u{e9}"];
        let mut bytes = text.to_vec();
        let at = self.below(bytes.len());
        match self.below(6) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = self.below(256) as u8,
            2 => bytes.truncate(at),
            3 => drop(bytes.remove(at)),
            4 => {
                let end = at + self.below(bytes.len() - at);
                let piece = bytes[at..end].to_vec();
                bytes.splice(end..end, piece);
            }
            _ => drop(bytes.splice(at..at, TOKENS[self.below(TOKENS.len())].bytes())),
        }
        bytes
    }
}

/// Both readers on a message as it is and harmed, and on frames of many.
fn both_agree(lines: impl Iterator<Item = Vec<u8>>, harms: usize) -> (usize, usize) {
    let (mut dice, mut frame, mut frames, mut count) = (Dice(7), Vec::new(), 0, 0);
    for line in lines {
        let (said, _) = probe::both(&line);
        assert!(!matches!(said.as_slice(), [] | [Said::Refused(..)]));
        probe::round_trip(&said);
        for _ in 0..harms {
            let harmed = dice.harm(&line);
            probe::round_trip(&probe::both(&harmed).0);
        }
        frame.push(if frame.is_empty() { b'[' } else { b',' });
        frame.extend_from_slice(&line);
        count += 1;
        if frame.len() > 4_000 {
            frame.push(b']');
            let (said, _) = probe::both(&frame);
            assert!(!said.iter().any(|said| matches!(said, Said::Refused(..))));
            let harmed = dice.harm(&frame);
            let _ = probe::both(&harmed);
            frame.clear();
            frames += 1;
        }
    }
    (count, frames)
}

#[test]
fn both_readers_agree_on_each_recorded_message_and_on_what_harm_makes_of_it() {
    let Some(path) = shared("goog-20151224/ticks.ndjson.zst") else { return };
    let lines = BufReader::new(inflate::open(&path).expect("a file")).split(b'\n');
    let (count, frames) = both_agree(lines.map(|line| line.expect("readable")), 1);
    assert_eq!(count, 276_737);
    assert!(frames > 5_000, "{frames}");
}

#[test]
fn both_readers_agree_on_each_generated_message_and_on_what_harm_makes_of_it() {
    let text = fs::read_to_string(generated()).expect("in the repository");
    let (count, frames) = both_agree(text.lines().map(|line| line.as_bytes().to_vec()), 100);
    assert!(count == 600 && frames > 10, "{count} {frames}");
}

#[test]
fn both_readers_agree_on_the_vendors_own_examples() {
    let Some(path) = shared("vendor-message-samples.json") else { return };
    let text = fs::read(path).expect("readable");
    let samples: Value = serde_json::from_slice(&text).expect("JSON");
    let examples = samples["websocket"].as_object().expect("messages").values();
    let lines = examples.map(|sample| sample["example"].to_string().into_bytes());
    assert_eq!(both_agree(lines, 2_000).0, 4);
}
