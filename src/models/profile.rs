//! Choosing among the profiles that ship, by name: in parameters, and on the
//! command line.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Named, versioned definitions of a model, of which several ship.
pub trait Shipped: Sized + 'static {
    /// The model, which stands before the names: `gex`.
    const MODEL: &'static str;
    /// All of them, the default one first.
    const ALL: &'static [Self];

    /// As in headers: `gex/naive-oi@1`. No two share one.
    fn name(&self) -> &'static str;
    /// Family of its artifacts where it runs beside the main profile.
    fn family(&self) -> &'static str;
}

/// One of [`Shipped::ALL`].
pub struct Chosen<P: 'static>(&'static P);

/// A name that no shipped profile has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{name:?} is no {model} profile; there are {known}")]
pub struct UnknownProfile {
    /// As asked for.
    pub name: String,
    model: &'static str,
    known: String,
}

/// Whether a profile is meant by a name; the name may leave out the family and
/// the version.
#[must_use]
pub fn is_called(profile: &str, name: &str) -> bool {
    let plain = profile.split_once('/').map_or(profile, |(_, plain)| plain);
    profile == name || plain == name || plain.split('@').next() == Some(name)
}

impl<P: Shipped> Chosen<P> {
    const MAIN: &'static P = &P::ALL[0];

    /// The profile of a name; the family and the version may be left out.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, UnknownProfile> {
        let found = P::ALL.iter().find(|p| is_called(p.name(), name));
        found.map(Chosen).ok_or_else(|| UnknownProfile {
            name: name.to_owned(),
            model: P::MODEL,
            known: P::ALL.iter().map(P::name).collect::<Vec<_>>().join(", "),
        })
    }

    /// The profiles of a list of names; `all` stands for every one that ships,
    /// no name for the default.
    ///
    /// # Errors
    /// When there is none of a name.
    pub fn several(names: &[String], default: Self) -> Result<Vec<Self>, UnknownProfile> {
        if names.is_empty() {
            return Ok(vec![default]);
        }
        if names.iter().any(|name| name == "all") {
            return Ok(Chosen::all().collect());
        }
        names.iter().map(|name| Chosen::named(name)).collect()
    }

    /// Every profile that ships, the default one first.
    pub fn all() -> impl Iterator<Item = Self> {
        P::ALL.iter().map(Chosen)
    }

    /// Whether a list names a profile twice, so that two artifacts would share a
    /// family.
    #[must_use]
    pub fn any_twice(chosen: &[Self]) -> bool {
        chosen.iter().enumerate().any(|(i, one)| chosen.iter().skip(i + 1).any(|two| one == two))
    }
}

impl<P> Chosen<P> {
    /// The profile.
    #[must_use]
    pub const fn get(self) -> &'static P {
        self.0
    }
}

// By hand, because deriving would ask the same of the profile.
impl<P> Clone for Chosen<P> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P> Copy for Chosen<P> {}

impl<P: Shipped> PartialEq for Chosen<P> {
    fn eq(&self, other: &Self) -> bool {
        self.0.name() == other.0.name()
    }
}

impl<P: Shipped> Eq for Chosen<P> {}

impl<P: Shipped> fmt::Debug for Chosen<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name())
    }
}

impl<P: Shipped> Default for Chosen<P> {
    fn default() -> Self {
        Chosen(Self::MAIN)
    }
}

impl<P: Shipped> Serialize for Chosen<P> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.name().serialize(s)
    }
}

impl<'de, P: Shipped> Deserialize<'de> for Chosen<P> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        Chosen::named(&name).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::models::{gex, gravity, heatmap};

    fn holds<P: Shipped>() {
        let names: BTreeSet<_> = P::ALL.iter().map(P::name).collect();
        let families: BTreeSet<_> = P::ALL.iter().map(P::family).collect();
        assert_eq!((names.len(), families.len()), (P::ALL.len(), P::ALL.len()));
        for profile in P::ALL {
            let name = profile.name();
            let plain = name.split(['/', '@']).nth(1).expect("a name");
            assert!(name.starts_with(&format!("{}/", P::MODEL)), "{name}");
            assert_eq!(profile.family(), format!("{}_{}", P::MODEL, plain.replace('-', "_")));
            for asked in [name, plain, name.split('/').nth(1).expect("a name")] {
                let found = Chosen::<P>::named(asked).expect("by each of its names");
                assert_eq!(found.get().name(), name);
                let json = serde_json::to_string(&found).expect("JSON");
                assert_eq!(serde_json::from_str::<Chosen<P>>(&json).expect("its own name"), found);
            }
        }
        assert_eq!(Chosen::<P>::default().get().name(), P::ALL[0].name());
        let told = Chosen::<P>::named("best").expect_err("there is none").to_string();
        assert!(told.contains(P::ALL[1].name()), "{told}");
        let asked = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Chosen::<P>::several(&names, Chosen::default()).map(|chosen| chosen.len())
        };
        assert_eq!((asked(&[]), asked(&["all"])), (Ok(1), Ok(P::ALL.len())));
        assert_eq!(asked(&[P::ALL[1].name(), P::ALL[0].name()]), Ok(2));
        assert!(asked(&["best"]).is_err());
        let all: Vec<_> = Chosen::<P>::all().collect();
        assert!(!Chosen::any_twice(&all) && Chosen::any_twice(&[all[1], all[0], all[1]]));
    }

    #[test]
    fn profiles_of_all_models_are_found_by_their_names() {
        holds::<gex::profile::Profile>();
        holds::<gravity::profile::Profile>();
        holds::<heatmap::profile::Profile>();
    }
}
