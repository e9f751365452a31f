//! Whose a key is: registered, in our namespaces, or somebody else's.

use std::collections::BTreeSet;

use super::Ours;
use crate::projector::registry::{Kind, RegisteredKey, table};

/// Session whose keys the probes of health write; they end with the probe.
pub(super) const PROBE_SESSION: &str = "probe-of-health";

/// What a key is to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    /// The registry knows it.
    Ours(RegisteredKey),
    /// In our namespaces, and nobody knows it.
    Stranger,
    /// In our namespaces, by a name that designs before this one gave to raw or
    /// intermediate data.
    Intermediate(&'static str),
    /// Not ours at all.
    Elsewhere,
}

/// Names of raw and intermediate data: a prefix, and what has to follow
/// somewhere behind it.
const INTERMEDIATE: &[(&str, &str, &str)] = &[
    ("epoch:", "", "state of contracts inside an epoch"),
    ("massive:ws:", "", "messages of the vendor's socket"),
    ("massive:chain:", "", "a chain as the vendor sent it"),
    ("massive:snapshot:", "", "state of contracts between snapshots"),
    ("massive:volume_profile:", "", "raw volume by price"),
    ("massive:", ":dirty", "what changed and was not computed yet"),
    ("massive:", ":staging", "a model before it is finished"),
    ("massive:", ":calc", "a model before it is finished"),
    ("mmaker:", ":staging", "a model before it is finished"),
    ("mmaker:", ":calc", "a model before it is finished"),
    ("mm:tiles:", "", "tiles before they are published"),
    ("orrery:", ":tick", "ticks"),
];

/// Judges names.
pub(super) struct Namespaces {
    firsts: BTreeSet<&'static str>,
    ours: Ours,
}

impl Namespaces {
    pub(super) fn new(ours: &Ours) -> Namespaces {
        let written = table().iter().filter(|entry| ours.sets.writes(entry));
        let keys = written.filter(|entry| entry.kind != Kind::Channel);
        let mut firsts: BTreeSet<_> = keys.map(|entry| first(entry.template)).collect();
        firsts.insert("replay");
        Namespaces { firsts, ours: ours.clone() }
    }

    pub(super) fn standing(&self, key: &str) -> Standing {
        if key.starts_with(&format!("replay:{PROBE_SESSION}:")) {
            return Standing::Elsewhere;
        }
        if let Some(key) = RegisteredKey::parse(key).filter(|k| k.entry().kind != Kind::Channel) {
            // A sister system's own keys, unless we write under its names.
            return match self.ours.sets.writes(key.entry()) {
                true => Standing::Ours(key),
                false => Standing::Elsewhere,
            };
        }
        if self.ours.allowed.iter().any(|allowed| key.starts_with(allowed.as_str())) {
            return Standing::Elsewhere;
        }
        let intermediate = |(before, within, _): &&(&str, &str, &str)| {
            key.starts_with(before) && key.contains(within)
        };
        if let Some((_, _, what)) = INTERMEDIATE.iter().find(intermediate) {
            return Standing::Intermediate(what);
        }
        match self.firsts.contains(first(key)) {
            true => Standing::Stranger,
            false => Standing::Elsewhere,
        }
    }
}

/// What a key begins with, up to the first colon.
fn first(key: &str) -> &str {
    key.split(':').next().unwrap_or(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projector::registry::{KeySet, KeySets};

    #[test]
    fn keys_are_told_apart() {
        let allowed = vec!["massive:heartbeat".to_owned()];
        let namespaces = Namespaces::new(&Ours { allowed, ..Ours::default() });
        let standing = |key: &str| namespaces.standing(key);
        assert!(matches!(standing("massive:model:spot:I:SPX"), Standing::Ours(_)));
        assert!(matches!(standing("replay:session-1:massive:model:spot:I:SPX"), Standing::Ours(_)));
        for stranger in [
            "massive:heatmap:model:I:SPX:butterfly:call",
            "massive:",
            "dealer_gravity:artifact:SPX",
            "dealer_gravity_updated",
            "orrery:SPX:artifact:gex",
            "replay:x",
        ] {
            let expected = match stranger {
                // A channel is no key, and its name is no namespace.
                "dealer_gravity_updated" => Standing::Elsewhere,
                _ => Standing::Stranger,
            };
            assert_eq!(standing(stranger), expected, "{stranger}");
        }
        for raw in [
            "epoch:12:heatmap:contract:O:SPXW251219C06000000",
            "massive:ws:stream",
            "massive:chain:latest",
            "massive:volume_profile:spx",
            "massive:heatmap:model:I:SPX:dirty",
            "orrery:{SPX}:ticks",
        ] {
            assert!(matches!(standing(raw), Standing::Intermediate(_)), "{raw}");
        }
        // The sets of sister systems are not written unless switched on.
        let candles = "historical:SPX:5M";
        assert_eq!(standing(candles), Standing::Elsewhere);
        let ours = Ours { sets: KeySets::of([KeySet::Candles]), ..Ours::default() };
        assert!(matches!(Namespaces::new(&ours).standing(candles), Standing::Ours(_)));
        assert_eq!(Namespaces::new(&ours).standing("historical:x"), Standing::Stranger);
        for foreign in ["truth", "sse:heartbeat", "massive:heartbeat", "massives:x", ""] {
            assert_eq!(standing(foreign), Standing::Elsewhere, "{foreign}");
        }
    }
}
