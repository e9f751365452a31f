//! Structures of a compact profile: volume nodes, volume wells, crevasses.
//!
//! Both detections work on the compact bins alone, so that whoever holds an
//! artifact can find its structures again, and no scale of volume changes them.
//!
//! Detection D1 (percentile): S = the positive bins in ascending order, n of
//! them; the node threshold is S[int(0.7 n)], the well threshold S[int(0.2 n)].
//! A bin at or above the node threshold is a volume node, any other positive
//! bin at or below the well threshold belongs to a volume well, and
//! neighbouring ones are joined into pairs [first, last]. A crevasse is a
//! longest run of at least three bins at or below the well threshold, empty
//! ones included. Detection D2 is [`gradient`]'s.

pub mod gradient;

use serde::Serialize;

/// Position of the node threshold among the positive bins.
const NODE_PERCENTILE: f64 = 0.7;
/// Position of the well threshold among the positive bins.
const WELL_PERCENTILE: f64 = 0.2;
/// Shortest crevasse in bins.
const CREVASSE_BINS: usize = 3;

/// How structures are found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Detection {
    /// D1, neighbouring well bins joined into pairs.
    #[serde(rename = "percentile_d1")]
    Percentile,
    /// D1, each well bin a pair of its own.
    #[serde(rename = "percentile_d1_single")]
    PercentileSingle,
    /// D2, empty bins seen and crevasses joined.
    #[serde(rename = "gradient_d2")]
    Gradient,
    /// D2 over occupied bins only; crevasses may overlap.
    #[serde(rename = "gradient_d2_original")]
    GradientOriginal,
}

impl Detection {
    /// Finds the structures of a compact profile.
    #[must_use]
    pub fn detect(self, bins: &[u32]) -> Structures {
        match self {
            Detection::Percentile => percentile(bins),
            Detection::PercentileSingle => {
                let found = percentile(bins);
                let single = |(first, last): &(usize, usize)| (*first..=*last).map(|i| (i, i));
                Structures { wells: found.wells.iter().flat_map(single).collect(), ..found }
            }
            Detection::Gradient => gradient::detect(bins, false),
            Detection::GradientOriginal => gradient::detect(bins, true),
        }
    }
}

/// Structures as indices into the compact profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Structures {
    /// Bins with much volume, ascending.
    pub nodes: Vec<usize>,
    /// First and last bins of stretches with little volume, ascending.
    pub wells: Vec<(usize, usize)>,
    /// First and last bins of voids, ascending; they overlap in the original D2
    /// only.
    pub crevasses: Vec<(usize, usize)>,
}

fn percentile(bins: &[u32]) -> Structures {
    let mut positive: Vec<u32> = bins.iter().copied().filter(|bin| *bin > 0).collect();
    positive.sort_unstable();
    let at = |share: f64| positive.get((share * positive.len() as f64) as usize).copied();
    let (Some(node), Some(well)) = (at(NODE_PERCENTILE), at(WELL_PERCENTILE)) else {
        return Structures::default();
    };
    Structures {
        nodes: (0..bins.len()).filter(|i| bins[*i] >= node).collect(),
        wells: runs(bins, |bin| bin > 0 && bin <= well && bin < node),
        crevasses: runs(bins, |bin| bin <= well)
            .into_iter()
            .filter(|(first, last)| last - first + 1 >= CREVASSE_BINS)
            .collect(),
    }
}

/// First and last indices of the longest runs of bins that belong.
fn runs(bins: &[u32], belongs: impl Fn(u32) -> bool) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (i, _) in bins.iter().enumerate().filter(|(_, bin)| belongs(**bin)) {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == i => *last = i,
            _ => runs.push((i, i)),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_golden_profile_of_the_contract() {
        let found = percentile(&[100, 500, 1000, 50, 0, 10, 10, 800, 900, 30]);
        assert_eq!(found.nodes, [2, 7, 8]);
        assert_eq!(found.wells, [(5, 6)]);
        assert_eq!(found.crevasses, [(4, 6)]);
    }

    #[test]
    fn nothing_has_no_structure() {
        assert_eq!(percentile(&[]), Structures::default());
        assert_eq!(percentile(&[0, 0, 0]), Structures::default());
    }

    #[test]
    fn a_bin_that_is_both_is_a_node() {
        // One positive value: both thresholds are equal to it.
        let found = percentile(&[7, 7]);
        assert_eq!((found.nodes.len(), found.wells.len()), (2, 0));
    }

    #[test]
    fn a_crevasse_may_reach_the_end() {
        let found = percentile(&[1000, 900, 800, 700, 600, 10, 0, 10]);
        assert_eq!(found.crevasses, [(5, 7)]);
        assert_eq!(found.wells, [(5, 5), (7, 7)]);
    }

    #[test]
    fn single_wells_are_pairs_of_one_bin() {
        let bins = [100, 500, 1000, 50, 0, 10, 10, 800, 900, 30];
        let found = Detection::PercentileSingle.detect(&bins);
        assert_eq!(found.wells, [(5, 5), (6, 6)]);
        assert_eq!(found.crevasses, Detection::Percentile.detect(&bins).crevasses);
    }
}
