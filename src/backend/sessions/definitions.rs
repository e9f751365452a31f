//! Other definitions than those that the server folds with.

use serde_json::Value;

use crate::control::BackendError;
use crate::models::parameters::Parameters;
use crate::partition::Makers;

/// The parameters with other main profiles: `gex/inverse-oi@1` becomes the
/// profile of the family `gex`.
///
/// # Errors
/// A profile that there is not.
pub fn with_profiles(
    parameters: &Parameters,
    profiles: &[String],
) -> Result<Parameters, BackendError> {
    let mut value =
        serde_json::to_value(parameters).map_err(|e| BackendError::Internal(Box::new(e)))?;
    for name in profiles {
        let unknown = |why: String| BackendError::Unknown {
            what: "profile",
            name: if why.is_empty() { name.clone() } else { format!("{name}: {why}") },
        };
        let family = name.split('/').next().filter(|f| f.len() < name.len());
        let family = family.ok_or_else(|| unknown("write family/name, gex/naive-oi@1".into()))?;
        let place = match family {
            "selector" => value.pointer_mut("/views/selector"),
            family => value.get_mut(family).and_then(|of| of.get_mut("profile")),
        };
        *place.ok_or_else(|| unknown(String::new()))? = Value::String(name.clone());
        if let Err(why) = serde_json::from_value::<Parameters>(value.clone()) {
            return Err(unknown(why.to_string()));
        }
    }
    let changed: Parameters =
        serde_json::from_value(value).map_err(|e| BackendError::Internal(Box::new(e)))?;
    changed.check().map_err(|e| BackendError::Precondition(e.to_string()))?;
    Ok(changed)
}

/// Every family that artifacts can be of.
#[must_use]
pub fn families(parameters: &Parameters) -> Vec<&'static str> {
    let Makers { epoch, partition, views } = Makers::default();
    let models = partition("SPX", parameters).into_iter().chain(epoch("SPX", parameters));
    let views = views(parameters).into_iter().map(|v| v.family());
    let mut all: Vec<&str> = models.map(|m| m.family()).chain(views).chain(["epoch"]).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Refuses families that there are not.
///
/// # Errors
/// Names the first one, and those that there are.
pub fn know_families(parameters: &Parameters, wanted: &[String]) -> Result<(), BackendError> {
    let all = families(parameters);
    match wanted.iter().find(|w| !all.contains(&w.as_str())) {
        None => Ok(()),
        Some(name) => Err(BackendError::Unknown {
            what: "family",
            name: format!("{name}; there are {}", all.join(", ")),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_take_the_place_of_those_of_their_family() {
        let given = Parameters::default();
        let with = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
            with_profiles(&given, &names)
        };
        assert_eq!(with(&[]).expect("none"), given);
        let changed = with(&["gex/inverse-oi@1", "selector/marketswarm@1"]).expect("both ship");
        assert_eq!(changed.gex.profile.get().name, "gex/inverse-oi@1");
        assert_eq!(changed.views.selector.name(), "selector/marketswarm@1");
        assert_eq!(
            Parameters { gex: given.gex.clone(), views: given.views.clone(), ..changed },
            given
        );
        for name in ["gex", "gex/best@1", "nothing/x@1", "", "epochs/inner", "heatmap/"] {
            let refused = with(&[name]).expect_err(name);
            assert!(matches!(refused, BackendError::Unknown { what: "profile", .. }), "{refused}");
        }
    }

    #[test]
    fn families_that_there_are_not_are_named() {
        let given = Parameters::default();
        let known = ["gex", "heatmap", "gravity", "spot", "context", "epoch", "flow", "candles"];
        know_families(&given, &known.map(str::to_owned)).expect("all of them");
        let refused = know_families(&given, &["gex".into(), "gecks".into()]).expect_err("unknown");
        assert!(refused.to_string().contains("gecks; there are"), "{refused}");
    }
}
