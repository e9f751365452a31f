//! Holds the reader of bundles to its promises: for tests and fuzzing.

use orrery_journal::proof::bundle::Bundle;
use orrery_journal::proof::note::PublicKey;

use super::{parse, to_json};

/// Longest sentence that refuses a bundle, bytes.
const TOLD_BYTES_MAX: usize = 1_000;

/// Reads any bytes. What is no bundle is refused in one short line; what is one
/// is written and read again, and comes back.
///
/// # Panics
/// When it is not so.
#[must_use]
pub fn read(bytes: &[u8]) -> Option<Bundle> {
    let bundle = match parse(bytes) {
        Ok(bundle) => bundle,
        Err(why) => {
            let told = why.to_string();
            assert!((10..TOLD_BYTES_MAX).contains(&told.len()), "{told:?}");
            assert!(!told.contains(char::is_control), "{told:?}");
            return None;
        }
    };
    let written = |bundle: &Bundle| match to_json(bundle) {
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

/// As [`read`], and checks what is a bundle: it may be refused, but it proves
/// nothing that `good` does not.
///
/// # Panics
/// When it is not so.
pub fn check(bytes: &[u8], key: &PublicKey, good: &Bundle) {
    let Some(bundle) = read(bytes) else { return };
    let (Ok(proven), Ok(known)) = (bundle.check(key), good.check(key)) else { return };
    assert_eq!(proven.checkpoint, known.checkpoint);
    assert!(proven.events.iter().all(|event| known.events.contains(event)), "{proven:?}");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use serde_json::{Value, json};

    use super::*;
    use crate::bundle::BundleError;

    const GOOD: &str = include_str!("../../tests/it/proof/bundle.json");
    const KEY: &str = include_str!("../../tests/it/proof/key.txt");

    fn good() -> (PublicKey, Bundle) {
        (PublicKey::parse(KEY).expect("a key"), read(GOOD.as_bytes()).expect("a bundle"))
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
        let (key, good) = good();
        let document: Value = serde_json::from_str(GOOD).expect("JSON");
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
                assert!(place.is_empty() || parse(without.as_bytes()).is_err(), "without {place}");
                if let Some(Value::Object(fields)) = changed.pointer_mut(above) {
                    fields.insert("stranger".into(), json!(1));
                }
                assert!(parse(changed.to_string().as_bytes()).is_err(), "a stranger at {place}");
            }
        }
        assert!(refused > all.len() * 8, "{refused} of {} places", all.len());
        // A field twice: which of them would count?
        let twice = GOOD.replacen('{', "{\"format\":\"orrery-proof/1\",", 1);
        assert!(
            matches!(parse(twice.as_bytes()), Err(BundleError::Json { why }) if why.contains("duplicate"))
        );
        // Deep nesting ends before the stack does.
        for deep in ["[".repeat(200_000), "{\"pages\":".repeat(50_000)] {
            assert!(read(deep.as_bytes()).is_none());
        }
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
        ) {
            let (key, good) = good();
            let mut bytes = GOOD.as_bytes().to_vec();
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
        }
    }
}
