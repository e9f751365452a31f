//! Which definitions views work by. Views own no state; what they are told here
//! is all that they know besides bodies.

use orrery_journal::units::NANOS_PER_SECOND;
use serde::{Deserialize, Serialize};

use crate::models::profile::is_called;

/// Definitions of views.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewParameters {
    /// The profile of the family `selector`. Default: `selector/convexity@1`.
    pub selector: SelectorProfile,
    /// Profiles of the selector that run beside it, each as a family of its own
    /// (`selector_marketswarm`). Default: none.
    pub selector_beside: Vec<SelectorProfile>,
    /// Shortest time between two rankings, ns. Each reads the whole heatmap, so
    /// this is what it costs. Default: 3 s, which is how often clients redraw it.
    pub selector_every_ns: i64,
}

impl Default for ViewParameters {
    fn default() -> Self {
        ViewParameters {
            selector: SelectorProfile::default(),
            selector_beside: Vec::new(),
            selector_every_ns: 3 * NANOS_PER_SECOND,
        }
    }
}

/// How tiles are scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SelectorProfile {
    /// The documented scoring with its dead terms repaired.
    #[default]
    #[serde(rename = "selector/convexity@1")]
    Convexity,
    /// As the original system computes it, dead terms included.
    #[serde(rename = "selector/marketswarm@1")]
    Marketswarm,
}

impl SelectorProfile {
    /// All of them.
    pub const ALL: [SelectorProfile; 2] =
        [SelectorProfile::Convexity, SelectorProfile::Marketswarm];

    /// As in headers.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SelectorProfile::Convexity => "selector/convexity@1",
            SelectorProfile::Marketswarm => "selector/marketswarm@1",
        }
    }

    /// Family of its artifacts where it runs beside the main profile.
    #[must_use]
    pub const fn family(self) -> &'static str {
        match self {
            SelectorProfile::Convexity => "selector_convexity",
            SelectorProfile::Marketswarm => "selector_marketswarm",
        }
    }

    /// The profile of a name; the family and the version may be left out.
    #[must_use]
    pub fn named(name: &str) -> Option<SelectorProfile> {
        SelectorProfile::ALL.into_iter().find(|p| is_called(p.name(), name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_are_found_by_the_names_that_they_are_written_with() {
        for profile in SelectorProfile::ALL {
            let json = serde_json::to_value(profile).expect("JSON");
            assert_eq!(json, profile.name());
            assert_eq!(SelectorProfile::named(profile.name()), Some(profile));
        }
        assert_eq!(SelectorProfile::named("marketswarm"), Some(SelectorProfile::Marketswarm));
        assert_eq!(SelectorProfile::named("best"), None);
    }
}
