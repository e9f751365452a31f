//! Messages come back equal in value; bad ones are refused by name; chains keep
//! what is absent absent.

use bytes::Bytes;
use orrery_journal::event::{
    Body, ChainRow, Draft, DraftBody, Event, InstrumentRef, RefusalReason,
};
use orrery_journal::units::{InstrumentId, Price, RecvTime, SourceId};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{encode, rest, wire};
use crate::feeds::{Decoded, Recv};

/// The vendor's message back from a draft, by way of canonical bytes.
pub fn back(draft: &Draft) -> Option<Value> {
    let (body, conditions): (Body, &[u32]) = match &draft.body {
        DraftBody::Quote { quote, conditions } => (Body::Quote(*quote), conditions),
        DraftBody::Trade { trade, conditions } => (Body::Trade(*trade), conditions),
        DraftBody::Bar(bar) => (Body::Bar(**bar), &[]),
        DraftBody::IndexValue(value) => (Body::IndexValue(*value), &[]),
        _ => return None,
    };
    let event = Event {
        recv: draft.recv.unwrap_or_default(),
        vendor_time: draft.vendor_time,
        instrument: InstrumentId(7),
        source: SourceId(1),
        extended: draft.extension.is_some(),
        body,
    };
    let mut bytes = Vec::new();
    orrery_journal::event::encode(&event, &mut bytes);
    let event = orrery_journal::event::decode(&bytes).expect("canonical").0;
    let InstrumentRef::Ticker(ticker) = &draft.instrument else { panic!("no ticker") };
    let text = encode::message(&event, draft.extension.as_deref(), ticker, conditions)?;
    Some(serde_json::from_str(&text).expect("JSON"))
}

/// Equal as numbers, texts, lists and objects; `5` and `5.0` are one number.
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(x), Value::Number(y)) => {
            x == y || (x.is_f64() || y.is_f64()) && x.as_f64() == y.as_f64()
        }
        (Value::Array(x), Value::Array(y)) => {
            x.len() == y.len() && x.iter().zip(y).all(|(x, y)| same(x, y))
        }
        (Value::Object(x), Value::Object(y)) => {
            x.len() == y.len() && x.iter().all(|(k, v)| y.get(k).is_some_and(|w| same(v, w)))
        }
        _ => a == b,
    }
}

fn one(message: &Value) -> Decoded {
    wire::decode(message.to_string().as_bytes(), Recv::Own)
}

#[test]
fn what_has_a_column_needs_no_extension_and_the_rest_comes_back_too() {
    let bar = json!({"ev":"AM","sym":"O:X220121C00025000","v":2,"av":8,"op":2.2,"vw":2.05,"o":2.05,
        "c":2.05,"h":2.05,"l":2.05,"a":2.1312,"z":2,"s":1632419640000_i64,"e":1632419700000_i64});
    let quote = json!({"ev":"Q","sym":"O:X241220P00720000","bx":302,"ax":302,"bp":9.71,"ap":9.81,
        "bs":17,"as":24,"t":1644506128351_i64,"q":844090872});
    let trade = json!({"ev":"T","sym":"O:X210827C00037000","x":65,"p":1.54,"s":1,"c":[233],
        "t":1629820676333_i64,"q":18446744073709551615_u64});
    let index = json!({"ev":"V","val":3988.5,"T":"I:SPX","t":1678220098130_i64});
    for (whole, message) in [
        (true, bar.clone()),
        (true, quote.clone()),
        (true, trade.clone()),
        (true, index.clone()),
        (true, with(&bar, "ev", json!("A"), &[("e", json!(1632419641000_i64))])),
        (true, with(&quote, "bp", json!(0), &[])),
        (true, with(&quote, "bp", json!(99.5), &[])),
        (false, with(&bar, "ev", json!("A"), &[])),
        (false, with(&bar, "otc", json!(true), &[])),
        (false, with(&bar, "vw", json!(2.123_456_789_01), &[])),
        (false, with(&bar, "v", json!(2.5), &[])),
        (false, with(&bar, "e", Value::Null, &[])),
        (false, with(&quote, "bp", Value::Null, &[])),
        (false, with(&quote, "bx", json!(65_535), &[])),
        (false, with(&quote, "bs", json!(4_294_967_296_i64), &[])),
        (false, with(&quote, "c", json!(1), &[])),
        (false, with(&quote, "q", json!("7"), &[])),
        (false, with(&trade, "s", json!(0.5), &[])),
        (false, with(&trade, "c", json!([]), &[])),
        (false, with(&trade, "c", json!([1, "a"]), &[])),
        (false, with(&trade, "i", json!("52983"), &[])),
    ] {
        let out = one(&message);
        assert!(out.refused.is_empty(), "{message} {:?}", out.told);
        assert_eq!(out.drafts[0].extension.is_none(), whole, "{message}");
        let again = back(&out.drafts[0]).expect("a message");
        assert!(same(&again, &message), "{again} is not {message}");
    }
}

fn with(message: &Value, key: &str, value: Value, more: &[(&str, Value)]) -> Value {
    let mut message = message.clone();
    message[key] = value;
    for (key, value) in more {
        message[*key] = value.clone();
    }
    message
}

#[test]
fn bad_messages_are_refused_by_name() {
    use RefusalReason as R;
    let good =
        "{\"ev\":\"Q\",\"sym\":\"O:X241220P00720000\",\"bp\":1,\"ap\":2,\"t\":1644506128351}";
    for (reason, text) in [
        (R::Malformed, good.replace("\"bp\":1", "\"bp\":NaN")),
        (R::Malformed, good.replace("\"bp\":1", "\"bp\":1e400")),
        (R::Malformed, good.replace("\"bp\":1", "\"ap\":3")),
        (R::Malformed, good[..good.len() - 4].to_owned()),
        (R::Malformed, "hello".to_owned()),
        (R::Malformed, "[1,2".to_owned()),
        (R::Malformed, "[".repeat(100_000)),
        (R::Malformed, format!("{{\"ev\":{}", "[".repeat(100_000))),
        (R::BadPrice, good.replace("\"bp\":1", "\"bp\":\"NaN\"")),
        (R::BadPrice, good.replace("\"bp\":1", "\"bp\":-0.01")),
        (R::BadPrice, good.replace("\"bp\":1", "\"bp\":1e300")),
        (R::BadPrice, "{\"ev\":\"V\",\"val\":0,\"T\":\"I:SPX\",\"t\":1644506128351}".to_owned()),
        (R::BadStrike, good.replace("00720000", "00000000")),
        (R::BadTicker, good.replace("O:X241220P00720000", "O:X241320P00720000")),
        (R::BadTicker, good.replace("O:X241220P00720000", "")),
        (R::BadTicker, good.replace("O:X241220P00720000", "a b")),
        (R::BadTicker, good.replace("\"O:X241220P00720000\"", "5")),
        (R::BadSize, good.replace("\"bp\":1", "\"bs\":-1,\"bp\":1")),
        (R::BadSize, good.replace("\"bp\":1", "\"bs\":18446744073709551615,\"bp\":1")),
        (R::BadTime, good.replace("1644506128351", "1644506128351000000")),
        (R::BadTime, good.replace("1644506128351", "-5")),
        (R::BadTime, good.replace("1644506128351", "1.5")),
        (R::MissingField, good.replace("\"t\"", "\"tt\"")),
        (R::MissingField, good.replace("\"bp\":1,\"ap\":2,", "")),
        (R::MissingField, "{\"a\":1}".to_owned()),
        (R::UnknownKind, good.replace("\"Q\"", "\"LULD\"")),
    ] {
        let out = wire::decode(text.as_bytes(), Recv::At(RecvTime(9)));
        let shown = &text[..text.len().min(100)];
        assert_eq!(out.refused.into_iter().collect::<Vec<_>>(), [(reason, 1)], "{shown}");
        let DraftBody::Quarantine { blob, .. } = &out.drafts[0].body else { panic!("{shown}") };
        assert!(text.as_bytes().starts_with(blob) && !blob.is_empty());
        assert_eq!(out.drafts[0].recv, Some(RecvTime(9)));
    }
    let out = wire::decode(b"{\"ev\":\"Q\",\"sym\":\"\xff\xfe\",\"t\":1}", Recv::Own);
    assert_eq!(out.refused.get(&RefusalReason::Malformed), Some(&1));
}

#[test]
fn frames_lines_and_status() {
    let quote = r#"{"ev":"Q","sym":"O:X241220P00720000","bp":3,"ap":2,"t":1644506128351}"#;
    let status = r#"{"ev":"status","status":"auth_success","message":"authenticated"}"#;
    let text = format!("[{status},{quote},{{\"ev\":1}},{quote}]\n\n{quote}\nbroken\n{quote}");
    let out = wire::decode(text.as_bytes(), Recv::Own);
    let quotes = out.drafts.iter().filter(|d| matches!(d.body, DraftBody::Quote { .. }));
    assert_eq!(quotes.count(), 4, "a crossed quote is a fact");
    assert!(matches!(&out.drafts[0].body, DraftBody::Control(b) if b == status));
    assert_eq!(out.refused.values().sum::<u64>(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_message_comes_back_or_is_refused(message in message()) {
        let out = one(&message);
        prop_assert_eq!(out.drafts.len(), 1);
        match back(&out.drafts[0]) {
            Some(again) => prop_assert!(same(&again, &message), "{} is not {}", again, message),
            None => prop_assert_eq!(out.refused.values().sum::<u64>(), 1),
        }
    }

    #[test]
    fn any_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let out = wire::decode(&bytes, Recv::Own);
        prop_assert_eq!(out.drafts.len() as u64, out.refused.values().sum::<u64>());
        let out = rest::decode(&Bytes::from(bytes), Recv::Own);
        prop_assert_eq!(out.drafts.len() as u64, out.refused.values().sum::<u64>());
    }
}

fn message() -> impl Strategy<Value = Value> {
    let number = || {
        prop_oneof![
            4 => (0u32..2_000_000).prop_map(|n| json!(f64::from(n) / 100.0)),
            2 => (0u64..100_000).prop_map(|n| json!(n)),
            1 => any::<f64>().prop_map(|n| json!(n)),
            1 => any::<i64>().prop_map(|n| json!(n)),
            1 => any::<u64>().prop_map(|n| json!(n)),
            1 => Just(Value::Null),
            1 => Just(json!("NaN")),
            1 => proptest::collection::vec(any::<u32>(), 0..3).prop_map(|v| json!(v)),
        ]
    };
    const KEYS: &[&str] = &[
        "x", "p", "s", "c", "q", "bx", "ax", "bp", "ap", "bs", "as", "v", "av", "op", "vw", "o",
        "h", "l", "a", "z", "e", "n", "val", "b", "strange",
    ];
    let fields = proptest::collection::btree_map(proptest::sample::select(KEYS), number(), 0..12);
    let kinds = proptest::sample::select(&["T", "Q", "A", "AM", "V"][..]);
    (kinds, fields, 1_600_000_000_000_i64..1_700_000_000_000).prop_map(|(kind, fields, t)| {
        let mut message = match kind {
            "T" => json!({"ev": kind, "p": 1.25, "s": 3}),
            "Q" => json!({"ev": kind, "bp": 1.25, "ap": 1.5}),
            "V" => json!({"ev": kind, "val": 6543.21}),
            _ => json!({"ev": kind, "o": 1, "h": 1e6, "l": 0.01, "c": 2}),
        };
        message[if kind == "V" { "T" } else { "sym" }] = json!("O:X241220P00720000");
        let bar = kind.starts_with('A');
        for (key, value) in fields {
            message[key] = value;
        }
        if bar {
            message["s"] = json!(t);
            message["e"] = json!(t + if kind == "A" { 1000 } else { 60_000 });
        } else {
            message["t"] = json!(t);
        }
        message
    })
}

const CONTRACT: &str = r#"{"details":{"contract_type":"call","exercise_style":"american",
    "expiration_date":"2026-05-04","shares_per_contract":100,"strike_price":495,
    "ticker":"O:QQQ260504C00495000"},"greeks":{},"open_interest":0,
    "underlying_asset":{"last_updated":1777939194804425753,"price":672,"ticker":"QQQ"}}"#;

fn chain(text: &str) -> Decoded {
    rest::decode(&Bytes::copy_from_slice(text.as_bytes()), Recv::Own)
}

fn page(contracts: &[&str], rest: &str) -> String {
    format!("{{\"results\":[{}]{rest}}}", contracts.join(",")).replace('\n', " ")
}

fn rows(draft: &Draft) -> Vec<ChainRow> {
    match &draft.body {
        DraftBody::Chain(chain) => chain.rows.iter().map(|r| r.row).collect(),
        other => panic!("no chain: {other:?}"),
    }
}

#[test]
fn absent_is_not_zero() {
    let out = chain(&page(&[CONTRACT], ""));
    let row = rows(&out.drafts[0])[0];
    assert_eq!((row.gamma, row.bid, row.implied_volatility, row.volume), (None, None, None, None));
    assert_eq!((row.open_interest, row.multiplier), (Some(0.0), Some(100.0)));
    assert_eq!(out.drafts[0].recv, Some(RecvTime(1_777_939_194_804_425_753)));
    let DraftBody::Chain(draft) = &out.drafts[0].body else { panic!() };
    assert_eq!(draft.spot, Some(Price(672 * Price::SCALE)));
    let value = CONTRACT.replace("\"price\":672", "\"value\":673.25");
    let DraftBody::Chain(draft) = &chain(&page(&[&value], "")).drafts[0].body else { panic!() };
    assert_eq!(draft.spot, Some(Price(673_250_000_000)));
}

#[test]
fn bad_contracts_are_refused_alone() {
    use RefusalReason as R;
    for (reason, bad) in [
        (R::BadStrike, CONTRACT.replace("\"strike_price\":495", "\"strike_price\":0")),
        (R::BadStrike, CONTRACT.replace("00495000", "00000000")),
        (R::BadTicker, CONTRACT.replace("O:QQQ", "O:Q Q")),
        (R::BadPrice, CONTRACT.replace("\"greeks\":{}", "\"last_quote\":{\"bid\":-1,\"ask\":2}")),
        (R::BadPrice, CONTRACT.replace("\"greeks\":{}", "\"last_quote\":{\"bid\":\"NaN\"}")),
        (R::BadSize, CONTRACT.replace("\"open_interest\":0", "\"open_interest\":-3")),
        (R::Malformed, CONTRACT.replace("\"open_interest\":0", "\"open_interest\":1e400")),
        (R::MissingField, CONTRACT.replace("\"details\"", "\"detail\"")),
        (R::WrongUnderlying, CONTRACT.replace("\"ticker\":\"QQQ\"", "\"ticker\":\"SPY\"")),
        (R::Duplicate, CONTRACT.to_owned()),
    ] {
        let out = chain(&page(&[CONTRACT, &bad], ""));
        assert_eq!(out.refused.into_iter().collect::<Vec<_>>(), [(reason, 1)], "{bad}");
        let DraftBody::Chain(draft) = &out.drafts[0].body else { panic!("{bad}") };
        assert_eq!((draft.rows.len(), draft.refused, out.drafts.len()), (1, 1, 2), "{bad}");
    }
}

#[test]
fn pages_become_one_snapshot_and_a_missing_one_is_noticed() {
    let put = CONTRACT.replace("C00495000", "P00495000").replace("\"call\"", "\"put\"");
    let first = page(&[CONTRACT], ",\"next_url\":\"https://x?cursor=1\"");
    let second = page(&[&put], "");
    for text in [format!("[{first},{second}]"), format!("{first}\n{second}\n")] {
        let out = chain(&text);
        assert_eq!(out.drafts.len(), 1, "{:?}", out.told);
        let DraftBody::Chain(draft) = &out.drafts[0].body else { panic!("no chain") };
        assert_eq!((draft.rows.len(), draft.pages), (2, 2));
    }
    for text in [first.clone(), format!("[{first}]")] {
        let out = chain(&text);
        assert_eq!(out.refused.get(&RefusalReason::DamagedChain), Some(&1), "{text}");
        let about = &out.drafts[0].instrument;
        assert_eq!(*about, InstrumentRef::Ticker("QQQ".into()), "its partition hears of it");
    }
    let captured = |at: &str| page(&[CONTRACT], &format!(",\"captured_at\":\"2026-05-04T{at}Z\""));
    let out = chain(&format!("{}\n{}\n", captured("14:00:00"), captured("14:15:00")));
    assert_eq!(out.drafts.len(), 2, "two captures are two snapshots");
    assert_eq!(out.drafts[1].recv, RecvTime::parse_rfc3339("2026-05-04T14:15:00Z"));
}

#[test]
fn broken_chains_are_refused_whole() {
    use RefusalReason as R;
    let whole = page(&[CONTRACT], "");
    for (reason, text) in [
        (R::Malformed, whole[..whole.len() - 30].to_owned()),
        (R::EmptyChain, page(&[], "")),
        (R::MissingField, "{\"status\":\"ERROR\",\"error\":\"no\"}".to_owned()),
        (R::BadTime, page(&[CONTRACT], ",\"captured_at\":\"yesterday\"")),
        (R::BadTime, page(&[&CONTRACT.replace("last_updated", "x")], "")),
    ] {
        let out = chain(&text);
        assert_eq!(out.refused.into_iter().collect::<Vec<_>>(), [(reason, 1)], "{text}");
        assert!(out.told[0].reason == reason && out.drafts.len() == 1);
    }
    let cut = chain(&whole[..whole.len() - 30]);
    assert!(cut.told[0].what.contains("column"), "{:?}", cut.told);
}

#[test]
fn a_volume_of_an_earlier_day_is_unknown_today() {
    let day = |nanos: i64| {
        let day = format!("\"day\":{{\"volume\":7,\"close\":2.5,\"last_updated\":{nanos}}}");
        CONTRACT.replace("\"greeks\":{}", &day)
    };
    let volume = |nanos| rows(&chain(&page(&[&day(nanos)], "")).drafts[0])[0].volume;
    assert_eq!(volume(1_777_867_200_000_000_000), Some(7.0));
    assert_eq!(volume(1_777_867_200_000_000_000 - 1), None);
}
