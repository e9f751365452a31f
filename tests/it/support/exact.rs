//! JSON by value: numbers digit for digit, whatever their spelling. A float
//! would call two numbers of twenty digits equal.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

/// A JSON value. Numbers are sign, digits without zeros at either end, and a
/// power of ten: `1.50`, `15e-1` and `1.5` are one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exact {
    Null,
    Bool(bool),
    Number { negative: bool, digits: String, power: i64 },
    Text(String),
    List(Vec<Exact>),
    Object(BTreeMap<String, Exact>),
}

impl Exact {
    #[track_caller]
    pub fn parse(text: &str) -> Exact {
        let raw: &RawValue =
            serde_json::from_str(text).unwrap_or_else(|e| panic!("no JSON ({e}): {text}"));
        Exact::of(raw)
    }

    fn of(raw: &RawValue) -> Exact {
        let text = raw.get();
        let read = "JSON was checked";
        match text.as_bytes()[0] {
            b'n' => Exact::Null,
            b't' | b'f' => Exact::Bool(text == "true"),
            b'"' => Exact::Text(serde_json::from_str(text).expect(read)),
            b'[' => {
                let list: Vec<&RawValue> = serde_json::from_str(text).expect(read);
                Exact::List(list.into_iter().map(Exact::of).collect())
            }
            b'{' => {
                let fields: BTreeMap<String, Box<RawValue>> =
                    serde_json::from_str(text).expect(read);
                Exact::Object(fields.into_iter().map(|(k, v)| (k, Exact::of(&v))).collect())
            }
            _ => number(text),
        }
    }
}

fn number(text: &str) -> Exact {
    let (mantissa, power) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let power: i64 = power.parse().expect("a short power of ten");
    let negative = mantissa.starts_with('-');
    let (whole, part) = mantissa.trim_start_matches('-').split_once('.').unwrap_or((mantissa, ""));
    let whole = whole.trim_start_matches('-');
    let all = format!("{whole}{part}");
    let kept = all.trim_end_matches('0');
    let power = power - part.len() as i64 + (all.len() - kept.len()) as i64;
    let digits = kept.trim_start_matches('0').to_owned();
    // Zero has one spelling, without a sign.
    let zero = digits.is_empty();
    Exact::Number { negative: negative && !zero, power: if zero { 0 } else { power }, digits }
}

#[test]
fn numbers_are_equal_by_value_and_not_by_spelling() {
    for (a, b) in [("1.50", "15e-1"), ("160", "160.0"), ("1e2", "100"), ("-0.0", "0"), ("0e9", "0")]
    {
        assert_eq!(Exact::parse(a), Exact::parse(b), "{a} {b}");
    }
    for (a, b) in [
        ("9007199254740993", "9007199254740992"),
        ("0.30000000000000004", "0.3"),
        ("1", "-1"),
        ("10", "1"),
        ("\"1\"", "1"),
        ("null", "0"),
    ] {
        assert_ne!(Exact::parse(a), Exact::parse(b), "{a} {b}");
    }
    assert_eq!(
        Exact::parse("{\"a\":[1,{}],\"b\":2}"),
        Exact::parse("{ \"b\":2.0, \"a\":[1e0,{}]}")
    );
}
