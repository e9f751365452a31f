#![no_main]
//! Any bytes as a proof bundle: refused in a line, or read, written and read
//! again; and nothing is proven that was not signed.
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use orrery_fuzz::bundle::probe;
use orrery_journal::proof::bundle::Bundle;
use orrery_journal::proof::note::PublicKey;

const GOOD: &str = include_str!("../../tests/it/proof/bundle.json");
const KEY: &str = include_str!("../../tests/it/proof/key.txt");

fn known() -> &'static (PublicKey, Bundle) {
    static KNOWN: OnceLock<(PublicKey, Bundle)> = OnceLock::new();
    KNOWN.get_or_init(|| match (PublicKey::parse(KEY), probe::read(GOOD.as_bytes())) {
        (Ok(key), Some(good)) => (key, good),
        _ => panic!("the seed is a bundle"),
    })
}

/// Small ones of each sort, and the good one.
fn seeds() -> Vec<Vec<u8>> {
    let seeds = [
        r#"{"format":"orrery-proof/1","proves":"consistency","checkpoint":"a","old":"b","path":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}"#,
        r#"{"format":"orrery-proof/1","proves":"range","checkpoint":"","from":1,"to":2,"pages":[{"index":0,"address":"0000000000000000000000000000000000000000000000000000000000000000","path":[],"length":64,"chunks":[{"first":0,"bytes":"AAAA"}],"tree":[]}]}"#,
        r#"{"format":"orrery-proof/1","proves":"events","checkpoint":"","events":[1,2],"pages":[]}"#,
        GOOD,
    ];
    seeds.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fuzz_target!(init: orrery_fuzz::sow(&seeds()), |data: &[u8]| {
    let (key, good) = known();
    probe::check(data, key, good);
});
