#![no_main]
//! Any bytes as a proof bundle: refused in a line, or read, written and read
//! again; and nothing is proven that was not signed. The same bytes as the text
//! of a certificate: written in one way, or refused.
use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use orrery_fuzz::bundle::{AnyBundle, probe};
use orrery_journal::proof::note::PublicKey;

/// A bundle of events and one of an artifact, each with its key.
const GOOD: [(&str, &str); 2] = [
    (
        include_str!("../../tests/it/proof/bundle.json"),
        include_str!("../../tests/it/proof/key.txt"),
    ),
    (
        include_str!("../../tests/it/proof/artifact.json"),
        include_str!("../../tests/it/proof/artifact-key.txt"),
    ),
];

fn known() -> &'static Vec<(PublicKey, AnyBundle)> {
    static KNOWN: OnceLock<Vec<(PublicKey, AnyBundle)>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        let read = |(good, key): &(&str, &str)| {
            match (PublicKey::parse(key), probe::read(good.as_bytes())) {
                (Ok(key), Some(good)) => (key, good),
                _ => panic!("the seed is a bundle"),
            }
        };
        GOOD.iter().map(read).collect()
    })
}

/// Small ones of each sort, the good ones, and the text of a certificate.
fn seeds() -> Vec<Vec<u8>> {
    let certificate = known().iter().find_map(|(_, good)| match good {
        AnyBundle::Artifact(proof) => proof.day.certificate.rsplit_once("\n\n"),
        _ => None,
    });
    let certificate = certificate.map_or(String::new(), |(text, _)| format!("{text}\n"));
    let seeds = [
        r#"{"format":"orrery-proof/1","proves":"consistency","checkpoint":"a","old":"b","path":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="]}"#,
        r#"{"format":"orrery-proof/1","proves":"range","checkpoint":"","from":1,"to":2,"pages":[{"index":0,"address":"0000000000000000000000000000000000000000000000000000000000000000","path":[],"length":64,"chunks":[{"first":0,"bytes":"AAAA"}],"tree":[]}]}"#,
        r#"{"format":"orrery-proof/1","proves":"events","checkpoint":"","events":[1,2],"pages":[]}"#,
        r#"{"format":"orrery-proof/1","proves":"day","checkpoint":"","certificate":"","path":[]}"#,
        r#"{"format":"orrery-proof/1","proves":"artifact","checkpoint":"","certificate":"","path":[],"artifact":{"header":"AAAA","index":0,"path":[],"body":"{}"}}"#,
        GOOD[0].0,
        GOOD[1].0,
        &certificate,
    ];
    seeds.iter().map(|text| text.as_bytes().to_vec()).collect()
}

fuzz_target!(init: orrery_fuzz::sow(&seeds()), |data: &[u8]| {
    probe::certificate(data);
    for (key, good) in known() {
        probe::check(data, key, good);
    }
});
