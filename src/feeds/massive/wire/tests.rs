//! The two readers say the same of the same bytes, whatever the bytes.

use std::fmt::Write as _;

use orrery_journal::event::RefusalReason;
use orrery_journal::units::Price;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde_json::value::RawValue;

use super::probe::{self, Record, Said, both};
use super::read_frame;

const PLAIN: &[&str] = &[
    r#"{"ev":"Q","sym":"O:X241220P00720000","bx":302,"ax":302,"bp":9.71,"ap":9.81,"bs":17,"as":24,"t":1644506128351,"q":844090872}"#,
    r#"{"ev":"T","sym":"O:AMC210827C00037000","x":65,"p":1.54,"s":1,"c":[233],"t":1629820676333,"q":651921857}"#,
    r#"{"ev":"AM","sym":"O:ONEM220121C00025000","v":2,"av":8,"op":2.2,"vw":2.05,"o":2.05,"c":2.05,"h":2.05,"l":2.05,"a":2.1312,"z":2,"s":1632419640000,"e":1632419700000}"#,
    r#"{"ev":"A","sym":"SPY","v":200,"n":7,"o":1,"c":0.123456789,"h":1e0,"l":0.1,"s":1632419640000,"e":1632419641000}"#,
    r#"{"ev":"V","val":3988.5,"T":"I:SPX","t":1678220098130}"#,
    r#"{ "t" : 1644506128351 , "ap":0 ,"q":18446744073709551615,"c":[ 1 , 4294967295 ],"sym":"SPY","ev":"Q" }"#,
    r#"{"ev":"status","status":"auth_success","message":"authenticated"}"#,
];

#[test]
fn what_the_vendor_documents_needs_no_second_reader() {
    let serde_only = [3, 5, 6];
    for (n, text) in PLAIN.iter().enumerate() {
        let (said, fallbacks) = both(text.as_bytes());
        assert!(!matches!(said.as_slice(), [Said::Refused(..)]), "{text}");
        assert_eq!((said.len(), fallbacks), (1, usize::from(serde_only.contains(&n))), "{text}");
    }
    let frame = format!("[{}]", PLAIN.join(","));
    let (said, fallbacks) = both(frame.as_bytes());
    assert_eq!((said.len(), fallbacks), (PLAIN.len(), serde_only.len()));
    let spaced = frame.replace(',', " ,\r\n\t").replace(':', " : ").replace("O : ", "O:");
    let (said, fallbacks) = both(spaced.replace("I : ", "I:").as_bytes());
    assert_eq!((said.len(), fallbacks), (PLAIN.len(), serde_only.len()));
    let Some(Said::Quote(_, quote, list)) = said.get(5) else { panic!("{said:?}") };
    assert_eq!((quote.ask, quote.bid, list.as_slice()), (Some(Price(0)), None, &[1, u32::MAX][..]));
}

/// Found by the fuzzer: the way back must escape, and then needs the second reader.
#[test]
fn a_ticker_that_must_be_escaped_comes_back() {
    for ticker in [r"SP\\Y", r#"S\"PY"#, r"SPY\\\\\\"] {
        let bar = PLAIN[3].replace("SPY", ticker);
        let (said, fallbacks) = both(bar.as_bytes());
        assert!(matches!(said.as_slice(), [Said::Bar(..)]) && fallbacks == 1, "{bar}: {said:?}");
        probe::round_trip(&said);
    }
}

#[test]
fn a_frame_is_read_whole_or_refused_whole() {
    let quote = PLAIN[0];
    for text in [
        format!("[{quote},{quote}"),
        format!("[{quote},{quote},]"),
        format!("[{quote},{quote}]]"),
        format!("[{quote} {quote}]"),
        format!("[{quote},nul]"),
        format!("[{quote},\"\\ud800\"]"),
        format!("{quote},{quote}"),
        format!("{quote}{quote}"),
        "[".to_owned(),
    ] {
        let mut record = Record::default();
        read_frame(text.as_bytes(), &mut record);
        let is_json = serde_json::from_str::<&RawValue>(&text).is_ok();
        let expected = if is_json { 2 } else { 1 };
        assert_eq!(record.said.len(), expected, "{text}");
        assert!(matches!(record.said.last(), Some(Said::Refused(RefusalReason::Malformed, _))));
        let _ = both(text.as_bytes());
    }
    assert_eq!(both(b" [ ] ").0, []);
    assert_eq!(both(b"[[]]").0.len(), 1);
}

/// A key with a zero byte behind it was once taken for the key without.
#[test]
fn a_key_is_all_of_its_bytes() {
    for text in PLAIN {
        for (at, _) in text.match_indices("\":") {
            for strange in ["\0", "\0\0", " ", "x", "\\u0000"] {
                let changed = format!("{}{strange}{}", &text[..at], &text[at..]);
                let _ = both(changed.as_bytes());
            }
        }
    }
}

/// Strange fields go along as text, so what is no text is refused: serde_json
/// alone does not look into values that are passed over.
#[test]
fn what_is_not_utf_8_is_refused_wherever_it_stands() {
    for text in PLAIN {
        for strange in
            [&b"\"x\":{\"\xfe\":1}"[..], b"\"x\":[\"\xc3\"]", b"\"\xff\":1", b"\"x\":\"\xe9\""]
        {
            let inside = text.trim_end_matches(['}', ' ']).as_bytes();
            let message = [inside, b",", strange, b"}"].concat();
            let frame = [b"[", message.as_slice(), b"]"].concat();
            for bytes in [&message, &frame] {
                let (said, _) = both(bytes);
                assert!(matches!(said.as_slice(), [Said::Refused(RefusalReason::Malformed, _)]));
            }
        }
    }
}

#[test]
fn numbers_at_every_bound() {
    let numbers = [
        "0",
        "-0",
        "-1",
        "00",
        "01",
        "0.0",
        "5.0",
        "5.",
        ".5",
        "1e3",
        "1E-3",
        "1e400",
        "-1e400",
        "0e0",
        "99999999",
        "100000000",
        "9007199254740993",
        "9007199254740993.0",
        "4503599627370495.5",
        "4503599627370496.0",
        "9223372036",
        "9223372036.854775807",
        "9223372036.854775808",
        "9223372037",
        "9223372036854775807",
        "9223372036854775808",
        "9999999999999999999",
        "10000000000000000000",
        "18446744073709551614",
        "18446744073709551615",
        "18446744073709551616",
        "65534",
        "65535",
        "65536",
        "4294967295",
        "4294967296",
        "0.123456789",
        "0.1234567890",
        "0.1234567891",
        "0.000000001",
        "0.0000000001",
        "12345678.12345678",
        "1234567.123456789",
        "9223372036855",
        "9223372036854",
        "1644506128351",
        "+1",
        "0x1",
        "NaN",
        "Infinity",
        "null",
        "true",
        "\"1\"",
        "[]",
        "[1]",
        "[1,]",
        "[1,2",
        "[-1]",
        "[1.5]",
        "[4294967296]",
        "[\"1\"]",
        "[[1]]",
        "{}",
        "{\"a\":1}",
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]",
        "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]",
        "",
    ];
    let mut taken = 0;
    for text in PLAIN {
        let message = fields_of(text);
        for (key, _) in &message {
            for number in numbers {
                let mut changed = String::from("{");
                for (name, value) in &message {
                    let comma = if changed.len() > 1 { "," } else { "" };
                    let value = if name == key { number } else { value };
                    write!(changed, "{comma}\"{name}\":{value}").expect("memory");
                }
                changed.push('}');
                let (_, fallbacks) = both(changed.as_bytes());
                taken += 1 - fallbacks;
                let _ = both(format!("[{changed},{changed}]").as_bytes());
            }
        }
    }
    assert!(taken > 350, "{taken}");
}

/// Keys and values of a message, in its order.
fn fields_of(text: &str) -> Vec<(String, String)> {
    let mut rest = text.trim_matches(['{', '}', ' ']);
    let mut fields = Vec::new();
    while let Some((key, after)) = rest.split_once(':') {
        let mut values = serde_json::Deserializer::from_str(after).into_iter::<&RawValue>();
        let value = values.next().expect("a value").expect("JSON").get();
        fields.push((key.trim().trim_matches('"').to_owned(), value.to_owned()));
        rest = after[values.byte_offset()..].trim_start_matches([',', ' ']);
    }
    fields
}

/// A number as a vendor might write it.
fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (0u64..3_000_000, 0u32..10).prop_map(|(n, d)| {
            let (power, width) = (10u64.pow(d), d as usize);
            if d == 0 { n.to_string() } else { format!("{}.{:0width$}", n / power, n % power) }
        }),
        2 => any::<u64>().prop_map(|n| n.to_string()),
        1 => any::<i64>().prop_map(|n| n.to_string()),
        1 => any::<f64>().prop_map(|n| serde_json::Value::from(n).to_string()),
        1 => "-?[0-9]{1,25}(\\.[0-9]{1,14})?([eE][+-]?[0-9]{1,4})?",
        1 => "\\[[0-9]{1,5}(,[0-9]{1,11}){0,5}\\]",
        1 => select(&["null", "1e400", "\"NaN\"", "[]", "{\"a\":[{}]}", "true", "[1,[2]]"][..])
            .prop_map(str::to_owned),
    ]
}

const KEYS: &[&str] = &[
    "x", "p", "s", "c", "q", "bx", "ax", "bp", "ap", "bs", "as", "v", "av", "op", "vw", "o", "h",
    "l", "a", "z", "e", "n", "val", "b", "t", "T", "sym", "ev", "strange", "i", "\\u0071", "sy",
];

fn message() -> impl Strategy<Value = String> {
    let field = (select(KEYS), number()).prop_map(|(key, value)| (key.to_owned(), value));
    let fields = proptest::collection::vec(field, 0..4);
    (select(PLAIN), fields, any::<[Index; 4]>(), 0..4u8).prop_map(|(text, more, places, how)| {
        let mut fields = fields_of(text);
        for ((key, value), place) in more.into_iter().zip(places) {
            match fields.iter_mut().find(|(k, _)| *k == key) {
                // Mostly the field becomes another value; sometimes it stands twice.
                Some(field) if how < 3 => field.1 = value,
                _ => fields.insert(place.index(fields.len() + 1), (key, value)),
            }
        }
        if how == 1 {
            let by = places[0].index(fields.len());
            fields.rotate_left(by);
            let (a, b) = (places[1].index(fields.len()), places[2].index(fields.len()));
            fields.swap(a, b);
        }
        if how == 2 {
            let at = places[3].index(fields.len());
            fields.remove(at);
        }
        let gap = if how == 3 { " " } else { "" };
        let fields: Vec<String> =
            fields.iter().map(|(k, v)| format!("{gap}\"{k}\"{gap}:{gap}{v}")).collect();
        format!("{{{}{gap}}}", fields.join(","))
    })
}

#[derive(Clone, Debug)]
enum Harm {
    Flip(Index, u8),
    Byte(Index, u8),
    Cut(Index),
    Drop(Index),
    Twice(Index, Index),
    Insert(Index, &'static str),
}

fn harm() -> impl Strategy<Value = Harm> {
    const TEXTS: &[&str] = &[
        " ",
        "\n",
        "\t",
        "\x0b",
        "\0",
        "\\",
        "\"",
        "\\u0041",
        "\\\"",
        ",",
        ":",
        "{",
        "}",
        "[",
        "]",
        "0",
        "9",
        "-",
        ".",
        "e9",
        "1e400",
        "null",
        "é",
        "[[[[",
        "{\"a\":{}}",
        "\"sym\":\"SPY\",",
        "O:",
    ];
    let place = any::<Index>;
    prop_oneof![
        (place(), 0..8u8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        (place(), any::<u8>()).prop_map(|(at, byte)| Harm::Byte(at, byte)),
        place().prop_map(Harm::Cut),
        place().prop_map(Harm::Drop),
        (place(), place()).prop_map(|(a, b)| Harm::Twice(a, b)),
        (place(), select(TEXTS)).prop_map(|(at, text)| Harm::Insert(at, text)),
    ]
}

impl Harm {
    fn on(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        match self {
            Harm::Flip(at, bit) => bytes[at.index(len)] ^= 1 << bit,
            Harm::Byte(at, byte) => bytes[at.index(len)] = *byte,
            Harm::Cut(at) => bytes.truncate(at.index(len)),
            Harm::Drop(at) => drop(bytes.remove(at.index(len))),
            Harm::Twice(a, b) => {
                let (a, b) = (a.index(len), b.index(len));
                let piece = bytes[a.min(b)..a.max(b)].to_vec();
                bytes.splice(a.max(b)..a.max(b), piece);
            }
            Harm::Insert(at, text) => {
                let at = at.index(len);
                bytes.splice(at..at, text.bytes());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn both_readers_agree_on_messages(messages in proptest::collection::vec(message(), 1..4)) {
        for message in &messages {
            probe::round_trip(&both(message.as_bytes()).0);
        }
        let _ = both(format!("[{}]", messages.join(",")).as_bytes());
        let _ = both(messages.join("\n").as_bytes());
    }

    #[test]
    fn both_readers_agree_on_damage(messages in proptest::collection::vec(message(), 1..3),
        frame in any::<bool>(), harms in proptest::collection::vec(harm(), 1..4)) {
        let text = if frame { format!("[{}]", messages.join(",")) } else { messages.join("\n") };
        let mut bytes = text.into_bytes();
        for harm in &harms {
            harm.on(&mut bytes);
            let _ = both(&bytes);
        }
    }

    #[test]
    fn both_readers_agree_on_noise(bytes in proptest::collection::vec(any::<u8>(), 0..100),
        text in "[\\[\\]{}\":,0-9a-z. ]{0,60}") {
        let _ = both(&bytes);
        let _ = both(text.as_bytes());
    }
}
