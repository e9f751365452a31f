//! Holds the reader of bundles to its promises: for tests and fuzzing.

use orrery_journal::proof::note::PublicKey;
use orrery_replay::certificate::Certificate;

use super::{AnyBundle, AnyProven, parse, to_json};

/// Longest sentence that refuses a bundle, bytes.
const TOLD_BYTES_MAX: usize = 1_000;

/// Reads any bytes. What is no bundle is refused in one short line; what is one
/// is written and read again, and comes back.
///
/// # Panics
/// When it is not so.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<AnyBundle> {
    let bundle = match parse(bytes) {
        Ok(bundle) => bundle,
        Err(why) => {
            let told = why.to_string();
            assert!((10..TOLD_BYTES_MAX).contains(&told.len()), "{told:?}");
            assert!(!told.contains(char::is_control), "{told:?}");
            return None;
        }
    };
    let written = |bundle: &AnyBundle| match to_json(bundle) {
        Ok(text) => text,
        Err(e) => panic!("{bundle:?} cannot be written: {e}"),
    };
    let text = written(&bundle);
    match parse(text.as_bytes()) {
        Ok(again) => {
            assert_eq!(again, bundle);
            assert_eq!(written(&again), text);
        }
        Err(e) => panic!("{text} cannot be read again: {e}"),
    }
    Some(bundle)
}

/// Reads any text as a certificate: what is one is written in one way.
///
/// # Panics
/// When it is not so.
pub fn certificate(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Certificate::parse(text) {
        Ok(certificate) => assert_eq!(certificate.text(), text),
        Err(why) => assert!((10..TOLD_BYTES_MAX).contains(&why.to_string().len()), "{why}"),
    }
}

/// As [`read`], and checks what is a bundle: it may be refused, but it proves
/// nothing that `good` does not.
///
/// # Panics
/// When it is not so.
pub fn check(bytes: &[u8], key: &PublicKey, good: &AnyBundle) {
    let Some(bundle) = read(bytes) else { return };
    let (Ok(proven), Ok(known)) = (bundle.check(key), good.check(key)) else { return };
    assert_eq!(proven.checkpoint(), known.checkpoint());
    match (&proven, &known) {
        (AnyProven::Log(proven), AnyProven::Log(known)) => {
            let within = proven.events.iter().all(|event| known.events.contains(event));
            assert!(within, "{proven:?}");
        }
        (AnyProven::Day(proven), AnyProven::Day(known)) => assert_eq!(proven, known),
        (AnyProven::Artifact(proven), AnyProven::Artifact(known)) => {
            assert_eq!((&proven.day, &proven.header), (&known.day, &known.header));
        }
        // Whoever proves an artifact has proven its day as well.
        (AnyProven::Day(proven), AnyProven::Artifact(known)) => assert_eq!(**proven, known.day),
        _ => panic!("{proven:?} from {known:?}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Value, json};

    use super::*;
    use crate::bundle::BundleError;

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

    fn good(which: usize) -> (&'static str, PublicKey, AnyBundle) {
        let (text, key) = GOOD[which];
        let good = read(text.as_bytes()).expect("a bundle");
        let key = PublicKey::parse(key).expect("a key");
        assert!(good.check(&key).is_ok(), "{:?}", good.check(&key));
        (text, key, good)
    }

    /// Every place of a document: the way to it.
    fn places(value: &Value, at: &str, out: &mut Vec<String>) {
        out.push(at.to_owned());
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(key, v)| places(v, &format!("{at}/{key}"), out));
            }
            Value::Array(list) => {
                list.iter().enumerate().for_each(|(n, v)| places(v, &format!("{at}/{n}"), out));
            }
            _ => {}
        }
    }

    #[test]
    fn what_is_missing_strange_or_of_another_kind_is_named() {
        for which in 0..GOOD.len() {
            every_place_of(good(which));
        }
        // Deep nesting ends before the stack does.
        for deep in ["[".repeat(200_000), "{\"pages\":".repeat(50_000)] {
            assert!(read(deep.as_bytes()).is_none());
        }
    }

    fn every_place_of((text, key, good): (&str, PublicKey, AnyBundle)) {
        let document: Value = serde_json::from_str(text).expect("JSON");
        let mut all = Vec::new();
        places(&document, "", &mut all);
        let strange = [
            json!(null),
            json!(true),
            json!(-1),
            json!(0.5),
            json!(1e300),
            json!(u64::MAX),
            json!(""),
            json!("\u{1b}[2J"),
            json!("x".repeat(5_000)),
            json!([]),
            json!({}),
            json!([[]]),
            json!({"a": 1}),
        ];
        let mut refused = 0;
        for place in &all {
            for value in &strange {
                let mut changed = document.clone();
                *changed.pointer_mut(place).expect("a place") = value.clone();
                let text = changed.to_string();
                refused += usize::from(parse(text.as_bytes()).is_err());
                check(text.as_bytes(), &key, &good);
            }
            let (above, last) = place.rsplit_once('/').unwrap_or_default();
            let mut changed = document.clone();
            if let Some(Value::Object(fields)) = changed.pointer_mut(above) {
                fields.remove(last);
                let without = changed.to_string();
                let optional = place.is_empty() || place == "/artifact/body";
                assert!(optional || parse(without.as_bytes()).is_err(), "without {place}");
                if let Some(Value::Object(fields)) = changed.pointer_mut(above) {
                    fields.insert("stranger".into(), json!(1));
                }
                assert!(parse(changed.to_string().as_bytes()).is_err(), "a stranger at {place}");
            }
        }
        assert!(refused > all.len() * 8, "{refused} of {} places", all.len());
        // A field twice: which of them would count?
        let twice = text.replacen('{', "{\"format\":\"orrery-proof/1\",", 1);
        assert!(
            matches!(parse(twice.as_bytes()), Err(BundleError::Json { why }) if why.contains("duplicate"))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1_000))]

        #[test]
        fn any_text_is_refused_in_a_line_or_comes_back(
            edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
            tokens in proptest::collection::vec((any::<prop::sample::Index>(), select(
                &["\"", ",", ":", "{", "}", "[", "]", "null", "1", "-", "1e9", "\\u0000", "=", "A", "\n"][..],
            )), 0..4),
            cut in proptest::option::of(any::<prop::sample::Index>()),
            noise in proptest::collection::vec(any::<u8>(), 0..200),
            which in 0..GOOD.len(),
        ) {
            let (text, key, good) = good(which);
            let mut bytes = text.as_bytes().to_vec();
            for (at, byte) in &edits {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            for (at, token) in &tokens {
                let at = at.index(bytes.len());
                bytes.splice(at..at, token.bytes());
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            check(&bytes, &key, &good);
            check(&noise, &key, &good);
            certificate(&bytes);
        }
    }
}
