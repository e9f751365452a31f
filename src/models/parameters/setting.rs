//! Changing single parameters by name: what a command line says, and what a
//! journaled change of profile holds.
//!
//! A parameter is named by its path, as in `gex.flip.step`, and its value is
//! JSON of the type that stands there. Profiles need no path: `gex/naive-oi@1`
//! goes where a profile of `gex` stands.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{ParameterError, Parameters};

/// Parameters that differ, by path.
pub type Settings = BTreeMap<String, Value>;

/// Names that are suggested for one that is unknown.
const SUGGESTIONS: usize = 3;
/// Names less alike than this are no suggestion.
const ALIKE: f64 = 0.7;

/// Why a parameter was not set.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// It is no `name=value`.
    #[error("{text:?} is no setting; write NAME=VALUE, as in gex.flip.step=0.001")]
    Form {
        /// As given.
        text: String,
    },
    /// No parameter has that name.
    #[error("there is no parameter {name}{}", suggested(.near))]
    Unknown {
        /// As given.
        name: String,
        /// Names like it, the likest first.
        near: Vec<String>,
    },
    /// The value is not one that the parameter takes.
    #[error("{name} cannot be {value}: {why} (it is {now})")]
    Value {
        /// The parameter.
        name: String,
        /// As given.
        value: Value,
        /// What it is without the setting.
        now: Value,
        /// What is wrong with it.
        why: String,
    },
    /// No model has a choice of profiles of that name.
    #[error("{name:?} is no profile that can be chosen; there is a choice for {}", .slots.join(", "))]
    NoChoice {
        /// As given.
        name: String,
        /// What has a choice.
        slots: Vec<String>,
    },
    /// The whole of the parameters cannot be used.
    #[error(transparent)]
    Unusable(#[from] ParameterError),
}

fn suggested(names: &[String]) -> String {
    match names {
        [] => "; `orrery parameters` prints all of them".to_owned(),
        names => format!("; did you mean {}?", names.join(" or ")),
    }
}

impl Parameters {
    /// These parameters with some of them set anew.
    ///
    /// # Errors
    /// When a name is unknown, or a value cannot be used.
    pub fn with(&self, settings: &Settings) -> Result<Parameters, SettingError> {
        let mut set = self.clone();
        for (name, value) in settings {
            set = set.with_one(name, value)?;
        }
        set.check()?;
        Ok(set)
    }

    fn with_one(&self, name: &str, value: &Value) -> Result<Parameters, SettingError> {
        let mut tree = self.tree();
        let unknown = || SettingError::Unknown { name: name.to_owned(), near: self.like(name) };
        let (parents, last) = match name.rsplit_once('.') {
            Some((parents, last)) => (Some(parents), last),
            None => (None, name),
        };
        let mut at = &mut tree;
        for part in parents.iter().flat_map(|p| p.split('.')) {
            at = at.get_mut(part).ok_or_else(unknown)?;
        }
        let members = at.as_object_mut().ok_or_else(unknown)?;
        let before = members.insert(last.to_owned(), value.clone());
        let set = serde_json::from_value::<Parameters>(tree);
        // Maps take new names, everything else refuses them.
        set.map_err(|error| match before {
            None => unknown(),
            Some(now) => SettingError::Value {
                name: name.to_owned(),
                value: value.clone(),
                now,
                why: error.to_string(),
            },
        })
    }

    /// A setting as it is written: `gex.flip.step=0.001`.
    ///
    /// # Errors
    /// When it has another form, or names no parameter.
    pub fn setting(&self, text: &str) -> Result<(String, Value), SettingError> {
        let (name, value) =
            text.split_once('=').ok_or_else(|| SettingError::Form { text: text.to_owned() })?;
        let (name, value) = (name.trim(), value.trim());
        let now = self.tree();
        let now = name.split('.').try_fold(&now, |at, part| at.get(part));
        let plain = || Value::String(value.to_owned());
        let value = match now {
            // A text that looks like a number is a text all the same.
            Some(Value::String(_)) if !value.starts_with('"') => plain(),
            _ => serde_json::from_str(value).unwrap_or_else(|_| plain()),
        };
        self.with_one(name, &value)?;
        Ok((name.to_owned(), value))
    }

    /// The setting that chooses a profile: `gex/naive-oi@1`; the version may be
    /// left out where there is one.
    ///
    /// # Errors
    /// When there is no such profile.
    pub fn profile_setting(&self, profile: &str) -> Result<(String, Value), SettingError> {
        let slots = self.profile_slots();
        let kind = profile.split_once('/').map_or(profile, |(kind, _)| kind);
        let Some(path) = slots.get(kind) else {
            let slots = slots.into_keys().collect();
            return Err(SettingError::NoChoice { name: profile.to_owned(), slots });
        };
        let as_given = (path.clone(), Value::from(profile));
        let refused = match self.with_one(path, &as_given.1) {
            Ok(_) => return Ok(as_given),
            Err(refused) => refused,
        };
        let first = (path.clone(), Value::from(format!("{profile}@1")));
        match self.with_one(path, &first.1) {
            Ok(_) if !profile.contains('@') => Ok(first),
            _ => Err(refused),
        }
    }

    /// Where a profile can be chosen: path by the kind of profile, such as
    /// `gex.profile` by `gex`.
    #[must_use]
    pub fn profile_slots(&self) -> BTreeMap<String, String> {
        let mut slots = BTreeMap::new();
        for (path, value) in self.leaves() {
            let kind = value.as_str().and_then(|text| {
                let (kind, name) = text.split_once('/')?;
                let word = kind.chars().all(|c| c.is_ascii_lowercase() || c == '_');
                (word && name.contains('@')).then_some(kind)
            });
            if let Some(kind) = kind {
                slots.insert(kind.to_owned(), path);
            }
        }
        slots
    }

    /// The profiles that are chosen, by kind.
    #[must_use]
    pub fn chosen_profiles(&self) -> Vec<String> {
        let tree = self.tree();
        let at = |path: &String| path.split('.').try_fold(&tree, |at, part| at.get(part));
        let slots = self.profile_slots();
        slots.values().filter_map(|path| Some(at(path)?.as_str()?.to_owned())).collect()
    }

    /// What differs in another set, by path: setting it here gives that one.
    #[must_use]
    pub fn settings_to(&self, other: &Parameters) -> Settings {
        let ours: BTreeMap<String, Value> = self.leaves().into_iter().collect();
        let theirs = other.leaves().into_iter();
        theirs.filter(|(path, value)| ours.get(path) != Some(value)).collect()
    }

    fn tree(&self) -> Value {
        // What serialises to bytes serialises to a tree.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Everything that is no object, with its path, in order.
    fn leaves(&self) -> Vec<(String, Value)> {
        fn walk(path: &str, value: Value, leaves: &mut Vec<(String, Value)>) {
            match value {
                Value::Object(members) if !members.is_empty() => {
                    for (name, value) in members {
                        let path = match path {
                            "" => name,
                            path => format!("{path}.{name}"),
                        };
                        walk(&path, value, leaves);
                    }
                }
                leaf => leaves.push((path.to_owned(), leaf)),
            }
        }
        let mut leaves = Vec::new();
        walk("", self.tree(), &mut leaves);
        leaves
    }

    /// Names like an unknown one: alike as a whole, or in their last part.
    fn like(&self, name: &str) -> Vec<String> {
        let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
        let alike = |path: &str| {
            let whole = strsim::jaro_winkler(path, name);
            let end = strsim::jaro_winkler(&last(path), &last(name));
            // The whole name counts; among equals the last part decides.
            if end >= 0.9 { whole.max(end) } else { whole }
        };
        let leaves = self.leaves();
        let mut near: Vec<(f64, &String)> = leaves
            .iter()
            .map(|(path, _)| (alike(path), path))
            .filter(|(a, _)| *a > ALIKE)
            .collect();
        near.sort_by(|(a, p), (b, q)| b.total_cmp(a).then(p.cmp(q)));
        near.into_iter().take(SUGGESTIONS).map(|(_, path)| path.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(text: &str) -> Result<Parameters, SettingError> {
        let defaults = Parameters::default();
        let (name, value) = defaults.setting(text)?;
        defaults.with(&Settings::from([(name, value)]))
    }

    #[test]
    fn what_is_set_is_all_that_differs() {
        let defaults = Parameters::default();
        for (text, path, value) in [
            ("gex.flip.step=0.001", "gex.flip.step", json!(0.001)),
            ("heatmap.dte_max = 3", "heatmap.dte_max", json!(3)),
            ("gravity.days=null", "", json!(null)),
            ("gravity.days=5", "gravity.days", json!(5)),
            ("gravity.steps.XSP=0.25", "gravity.steps.XSP", json!(0.25)),
            ("gex.profile=naive-oi-45d", "gex.profile", json!("gex/naive-oi-45d@1")),
        ] {
            let differs = defaults.settings_to(&set(text).expect(text));
            let differs: Vec<_> = differs.into_iter().collect();
            let expected = vec![(path.to_owned(), value)];
            assert_eq!(differs, if path.is_empty() { Vec::new() } else { expected }, "{text}");
        }
    }

    #[test]
    fn a_wrong_name_and_a_wrong_value_say_what_would_be_right() {
        let told = |text: &str| set(text).expect_err(text).to_string();
        assert!(told("gex.flip.stepp=1").contains("did you mean gex.flip.step"), "a letter");
        assert!(told("flip.step=1").contains("gex.flip.step"), "{}", told("flip.step=1"));
        assert!(told("colour=1").contains("`orrery parameters`"), "{}", told("colour=1"));
        let text = told("gex.flip.step=fine");
        assert!(
            text.contains("gex.flip.step cannot be \"fine\"") && text.contains("f64"),
            "{text}"
        );
        assert!(told("gex.flip.step=0").contains("must be above 0"));
        assert!(told("gex.flip.step").contains("NAME=VALUE"));
        assert!(told("gex.profile=gex/best@1").contains("gex/inverse-oi@1"), "known names");
    }

    #[test]
    fn a_profile_goes_where_a_profile_of_its_kind_stands() {
        let defaults = Parameters::default();
        for (name, path, value) in [
            ("gex/inverse-oi@1", "gex.profile", "gex/inverse-oi@1"),
            ("gex/inverse-oi", "gex.profile", "gex/inverse-oi@1"),
            ("gravity/session@1", "gravity.profile", "gravity/session@1"),
            ("heatmap/natural", "heatmap.profile", "heatmap/natural@1"),
            ("selector/marketswarm@1", "views.selector", "selector/marketswarm@1"),
        ] {
            let (at, chosen) = defaults.profile_setting(name).expect(name);
            assert_eq!((at.as_str(), chosen), (path, json!(value)), "{name}");
        }
        let told = |name: &str| defaults.profile_setting(name).expect_err(name).to_string();
        assert!(told("spot/newest@1").contains("gex, gravity, heatmap, selector"));
        assert!(told("gex/best@1").contains("gex/inverse-oi@1"), "{}", told("gex/best@1"));
        assert!(told("selector/best").contains("selector/convexity@1"));
    }
}
