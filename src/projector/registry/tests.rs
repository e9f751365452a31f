//! Keys against the contract, and the way back.

use proptest::prelude::*;

use super::*;

#[test]
fn keys_read_as_the_contract_says() {
    let cases = [
        (Name::GravityArtifact, "SPX", "dealer_gravity:artifact:spx"),
        (Name::GravityContext, "SPX", "dealer_gravity:context:spx"),
        (Name::VolumeProfile, "SPX", "massive:volume_profile"),
        (Name::GravityUpdated, "GOOG", "dealer_gravity_updated"),
        (Name::Spot, "SPX", "massive:model:spot:I:SPX"),
        (Name::Spot, "GOOG", "massive:model:spot:GOOG"),
        (Name::SpotTrail, "SPX", "massive:model:spot:I:SPX:trail"),
        (Name::GexCalls, "SPX", "massive:gex:model:I:SPX:calls"),
        (Name::GexPuts, "NDX", "massive:gex:model:I:NDX:puts"),
        (Name::HeatmapLatest, "SPX", "massive:heatmap:model:I:SPX:latest"),
        (Name::HeatmapReplay, "SPX", "massive:heatmap:replay:I:SPX"),
        (Name::HeatmapDiff, "SPX", "massive:heatmap:diff:I:SPX"),
        (Name::BiasLfiLatest, "SPX", "massive:bias_lfi:model:latest"),
        (Name::BiasLfi, "NDX", "massive:bias_lfi:model:I:NDX:latest"),
        (Name::MarketMode, "SPX", "massive:market_mode:model:latest"),
        (Name::VixRegime, "SPX", "massive:vix_regime:model:latest"),
        (Name::Selector, "SPX", "massive:selector:model:I:SPX:latest"),
        (Name::EpochActive, "SPX", "massive:epoch:active"),
        (Name::EpochOfSymbols, "NDX", "epoch:active"),
        (Name::EpochTimeline, "SPX", "epoch:timeline:I:SPX"),
        (Name::EpochDormancies, "SPX", "epoch:I:SPX:dormant_count"),
        (Name::Historical15m, "SPX", "historical:SPX:15M"),
        (Name::CandleTicks, "EURUSD", "ticks:EURUSD"),
        (Name::CandleUpdates, "EURUSD", "updates:EURUSD"),
        (Name::Ohlc1h, "SPX", "ohlc:SPX:1h"),
        (Name::OhlcLatest, "SPX", "ohlc_latest:SPX"),
        (Name::OhlcUpdates, "SPX", "ohlc_updates:SPX"),
        (Name::PlaneHeatmap, "SPX", "mmaker:heatmap:model"),
    ];
    for (name, symbol, expected) in cases {
        assert_eq!(name.key(symbol).expect("a key").as_str(), expected);
    }
    let own = Name::Artifact.key_of("SPX", "gex").expect("a key");
    assert_eq!(own.as_str(), "orrery:{SPX}:artifact:gex");
    let meta = Name::ArtifactMeta.key_of("SPX", "gex").expect("a key");
    assert_eq!(meta.as_str(), "orrery:{SPX}:artifact:gex:meta");
    assert_eq!(Name::Events.key_of("SPX", "gex").expect("a key").as_str(), "orrery:{SPX}:events");
}

#[test]
fn strangers_and_bad_symbols_are_refused() {
    for text in [
        "",
        "truth",
        "massive:model:spot:SPX", // an index without its I:
        "massive:heatmap:model:I:SPX:butterfly:call",
        "dealer_gravity:artifact:SPX",
        "orrery:{SPX}:artifact:",
        "orrery:SPX:artifact:gex",
        "epoch:dirty",
        "epoch:meta:c0ffee",
        "updates:",
        "replay:truth",
        "replay:session-1:truth",
        "replay::massive:model:spot:I:SPX",
        "replay:session-1:replay:session-1:massive:model:spot:I:SPX",
    ] {
        assert_eq!(RegisteredKey::parse(text), None, "{text}");
    }
    for symbol in ["", "S P X", "spx", "SPX}", "*", "\u{e4}"] {
        assert!(matches!(Name::Spot.key(symbol), Err(KeyError::Symbol { .. })), "{symbol}");
    }
    assert!(matches!(Name::VolumeProfile.key("GOOG"), Err(KeyError::Unsuffixed { .. })));
    assert!(matches!(Name::Artifact.key("SPX"), Err(KeyError::Family { .. })));
}

#[test]
fn a_trail_is_not_a_spot() {
    let key = RegisteredKey::parse("massive:model:spot:I:SPX:trail").expect("registered");
    assert_eq!((key.entry().name, key.symbol()), (Name::SpotTrail, "SPX"));
}

#[test]
fn keys_that_expire_or_are_bounded_say_so() {
    for entry in table() {
        assert!(entry.size_bytes_max > 0 && entry.db == 0, "{}", entry.template);
        assert_eq!(entry.entries_max.is_some(), matches!(entry.kind, Kind::Stream | Kind::List));
        if entry.set == KeySet::Orrery && entry.kind == Kind::String {
            assert!(entry.ttl_seconds.is_some(), "{} is ours and must expire", entry.template);
        }
        let json = serde_json::to_value(entry).expect("an entry is JSON");
        assert_eq!(json["template"], entry.template);
    }
}

proptest! {
    #[test]
    fn every_key_parses_to_itself(
        symbol in "[A-Z][A-Z0-9.:_-]{0,11}",
        family in "[a-z][a-z0-9_]{0,9}",
        row in 0..table().len(),
    ) {
        // `I:` is the vendor's mark, not part of a symbol.
        prop_assume!(!symbol.starts_with("I:"));
        let name = table()[row].name;
        let key = match table()[row].family {
            "*" => name.key_of(&symbol, &family),
            _ => name.key(&symbol),
        };
        if let Ok(key) = key {
            let back = RegisteredKey::parse(key.as_str()).expect("registered");
            prop_assert_eq!(back.as_str(), key.as_str());
            prop_assert_eq!(back.entry().name, name);
            if table()[row].template.contains('{') {
                prop_assert_eq!(back.symbol(), key.symbol());
            }
            let prefix = Prefix::of_session("session-7").expect("a name");
            let ours = key.clone().under(&prefix);
            prop_assert!(ours.as_str().strip_prefix("replay:session-7:") == Some(key.as_str()));
            prop_assert_eq!(RegisteredKey::parse(ours.as_str()), Some(ours));
        }
    }
}

#[test]
fn an_epoch_has_a_key_of_its_own() {
    let id = "0123456789abcdef".repeat(4);
    let key = Name::EpochMeta.key_of_epoch("NDX", &id).expect("a key");
    assert_eq!(key.as_str(), format!("epoch:meta:{id}"));
    assert_eq!(key.symbol(), "NDX");
    let back = RegisteredKey::parse(key.as_str()).expect("registered");
    assert_eq!(back.entry().name, Name::EpochMeta);
    let prefix = Prefix::of_session("session-7").expect("a name");
    let theirs = key.under(&prefix);
    assert_eq!(RegisteredKey::parse(theirs.as_str()), Some(theirs));
    for (name, epoch) in [(Name::EpochMeta, "x"), (Name::Spot, &*id), (Name::EpochMeta, "")] {
        let refused = name.key_of_epoch("SPX", epoch);
        assert!(matches!(refused, Err(KeyError::Epoch { .. })), "{name:?} {epoch}");
    }
    assert!(matches!(Name::EpochMeta.key("SPX"), Err(KeyError::Epoch { .. })));
}

#[test]
fn each_set_can_be_switched_on_alone_and_has_rows() {
    for set in KeySet::CHOICE {
        let sets = KeySets::of([set]);
        assert_eq!(sets.chosen().collect::<Vec<_>>(), [set]);
        assert_eq!(set.as_str().parse(), Ok(set));
        let rows: Vec<_> = table().iter().filter(|entry| sets.writes(entry)).collect();
        assert!(rows.iter().all(|entry| entry.set == set || entry.set == KeySet::Record));
        assert!(rows.iter().any(|entry| entry.set == set), "{set} is empty");
    }
    assert!(matches!("record".parse::<KeySet>(), Err(UnknownKeySet(_))));
    assert_eq!(KeySets::default(), KeySets::of([KeySet::Orrery, KeySet::Marketswarm]));
}
