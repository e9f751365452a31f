//! Detection D2 (gradient): volume nodes are the edges of a profile.
//!
//! Over levels i, s = mean of the volumes from i - 2 to i + 2 (as many as there
//! are), gradient g = s(i+1) - s(i-1).
//! - **Nodes**: levels with |g| > 0.8 mean |g|, scored |g| / largest volume; and
//!   levels after which the gradient changes sign by more than 0.002 of the
//!   largest volume, scored twice that. By descending score, the lower price on
//!   a tie, at least 5 bins apart, ten at most.
//! - **Wells**: strict local minima of s below 0.3 mean s, from the lowest, at
//!   least 15 bins apart, ten at most.
//! - **Crevasses**: levels with s below half of the largest s among the ten to
//!   either side, joined over gaps of up to 5 bins; and runs of volumes below
//!   0.35 of the mean, at least 2 bins wide, joined with the first crevasse that
//!   is not more than 3 bins away.
//!
//! The original takes occupied bins for neighbours, however far apart they lie,
//! and its crevasses may overlap. Repaired, every bin is a level and crevasses
//! that overlap or touch are one.

use super::Structures;

/// Levels to either side that are averaged.
const SMOOTH: usize = 2;
const EDGE: f64 = 0.8;
const TURN: f64 = 0.002;
const NODES_APART: usize = 5;
const NODES_MAX: usize = 10;
const WELL: f64 = 0.3;
const WELLS_APART: usize = 15;
const WELLS_MAX: usize = 10;
/// Levels to either side that make a crevasse one.
const FLANK: usize = 10;
/// Levels at either end that are none.
const MARGIN: usize = 5;
const FLANK_SHARE: f64 = 0.5;
const POINTS_APART: usize = 5;
const THIN: f64 = 0.35;
const THIN_WIDTH: usize = 2;
const THIN_APART: usize = 3;

/// A stretch of bins, both ends included.
type Stretch = (usize, usize);

/// Finds the structures of a compact profile.
#[must_use]
pub fn detect(bins: &[u32], original: bool) -> Structures {
    let levels: Vec<usize> = (0..bins.len()).filter(|i| !original || bins[*i] > 0).collect();
    let volumes: Vec<f64> = levels.iter().map(|i| f64::from(bins[*i])).collect();
    let largest = volumes.iter().copied().fold(0.0, f64::max);
    if levels.len() < 3 || largest <= 0.0 {
        return Structures::default();
    }
    let smooth: Vec<f64> = (0..volumes.len())
        .map(|i| mean(&volumes[i.saturating_sub(SMOOTH)..(i + SMOOTH + 1).min(volumes.len())]))
        .collect();
    let mut crevasses = flanked(&levels, &smooth);
    for run in thin(&levels, &volumes) {
        join_near(&mut crevasses, run);
    }
    crevasses.sort_unstable();
    if !original {
        crevasses = united(&crevasses);
    }
    Structures {
        nodes: edges(&levels, &smooth, largest),
        wells: minima(&levels, &smooth).into_iter().map(|i| (i, i)).collect(),
        crevasses,
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |sum, v| sum + v) / values.len().max(1) as f64
}

fn edges(levels: &[usize], smooth: &[f64], largest: f64) -> Vec<usize> {
    // The gradient at level k + 1.
    let gradients: Vec<f64> = smooth.windows(3).map(|w| w[2] - w[0]).collect();
    let steep = EDGE * mean(&gradients.iter().map(|g| g.abs()).collect::<Vec<_>>());
    let steep_ones = gradients
        .iter()
        .enumerate()
        .filter(|(_, g)| g.abs() > steep)
        .map(|(k, g)| (g.abs() / largest, levels[k + 1]));
    let turns = gradients.windows(2).enumerate().filter_map(|(k, pair)| {
        let change = (pair[1] - pair[0]).abs() / largest;
        (pair[0] * pair[1] < 0.0 && change > TURN).then(|| (2.0 * change, levels[k + 1]))
    });
    let mut found: Vec<(f64, usize)> = steep_ones.chain(turns).collect();
    found.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut nodes: Vec<usize> = Vec::new();
    for (_, at) in found {
        if nodes.len() < NODES_MAX && nodes.iter().all(|n| n.abs_diff(at) >= NODES_APART) {
            nodes.push(at);
        }
    }
    nodes.sort_unstable();
    nodes
}

fn minima(levels: &[usize], smooth: &[f64]) -> Vec<usize> {
    let low = WELL * mean(smooth);
    let mut wells: Vec<usize> = Vec::new();
    for (k, w) in smooth.windows(3).enumerate() {
        let at = levels[k + 1];
        let apart = wells.last().is_none_or(|last| at - last >= WELLS_APART);
        if w[1] < w[0] && w[1] < w[2] && w[1] < low && apart && wells.len() < WELLS_MAX {
            wells.push(at);
        }
    }
    wells
}

/// Levels well below both flanks, joined over small gaps.
fn flanked(levels: &[usize], smooth: &[f64]) -> Vec<Stretch> {
    let n = smooth.len();
    let largest = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let mut found: Vec<Stretch> = Vec::new();
    for i in MARGIN..n.saturating_sub(MARGIN) {
        let left = largest(&smooth[i.saturating_sub(FLANK)..i]);
        let right = largest(&smooth[i + 1..(i + FLANK + 1).min(n)]);
        if smooth[i] < FLANK_SHARE * left && smooth[i] < FLANK_SHARE * right {
            match found.last_mut() {
                Some((_, last)) if levels[i] - *last <= POINTS_APART => *last = levels[i],
                _ => found.push((levels[i], levels[i])),
            }
        }
    }
    found
}

/// Runs of little volume, wide enough to matter.
fn thin(levels: &[usize], volumes: &[f64]) -> Vec<Stretch> {
    let low = THIN * mean(volumes);
    let mut runs: Vec<Stretch> = Vec::new();
    let mut open = false;
    for (level, volume) in levels.iter().zip(volumes) {
        let belongs = *volume < low;
        match runs.last_mut() {
            Some((_, last)) if belongs && open => *last = *level,
            _ if belongs => runs.push((*level, *level)),
            _ => {}
        }
        open = belongs;
    }
    runs.retain(|(first, last)| last - first >= THIN_WIDTH);
    runs
}

fn join_near(crevasses: &mut Vec<Stretch>, (first, last): Stretch) {
    let near = |c: &&mut Stretch| first <= c.1 + THIN_APART && c.0 <= last + THIN_APART;
    match crevasses.iter_mut().find(near) {
        Some(crevasse) => *crevasse = (crevasse.0.min(first), crevasse.1.max(last)),
        None => crevasses.push((first, last)),
    }
}

/// Ascending stretches, those that overlap or touch made one.
fn united(stretches: &[Stretch]) -> Vec<Stretch> {
    let mut found: Vec<Stretch> = Vec::new();
    for (first, last) in stretches {
        match found.last_mut() {
            Some((_, end)) if *first <= *end + 1 => *end = (*end).max(*last),
            _ => found.push((*first, *last)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Two plateaus with a void between them.
    fn plateaus() -> Vec<u32> {
        let mut bins = vec![800; 20];
        bins.extend([10; 12]);
        bins.extend([1000; 20]);
        bins
    }

    #[test]
    fn edges_of_plateaus_are_nodes_and_the_void_is_a_crevasse() {
        let found = detect(&plateaus(), false);
        assert_eq!(found.crevasses, [(20, 31)], "{found:?}");
        assert!(found.nodes.iter().any(|n| (17..=22).contains(n)), "{found:?}");
        assert!(found.nodes.iter().any(|n| (29..=34).contains(n)), "{found:?}");
        assert_eq!(found.wells, [], "a flat floor has no strict minimum");
    }

    #[test]
    fn a_strict_minimum_is_a_well() {
        let mut bins = vec![900; 12];
        bins.extend([500, 100, 40, 10, 40, 100, 500]);
        bins.extend([900; 12]);
        assert_eq!(detect(&bins, false).wells, [(15, 15)]);
    }

    #[test]
    fn voids_are_seen_only_when_empty_bins_count() {
        let mut bins = vec![900; 20];
        bins.extend([0; 15]);
        bins.extend([900; 20]);
        assert_eq!(detect(&bins, false).crevasses, [(20, 34)]);
        assert_eq!(detect(&bins, true).crevasses, []);
    }

    /// A thin stretch that runs over two crevasses is joined with the first of
    /// them only, and then lies over the second.
    #[test]
    fn crevasses_of_the_original_overlap_and_ours_do_not() {
        let mut bins = vec![1000; 15];
        for (volume, count) in [(100, 6), (5, 5), (100, 9), (5, 5), (100, 6), (1000, 15)] {
            bins.extend(vec![volume; count]);
        }
        assert_eq!(detect(&bins, true).crevasses, [(15, 45), (35, 39)]);
        assert_eq!(detect(&bins, false).crevasses, [(15, 45)]);
    }

    #[test]
    fn little_has_no_structure() {
        for bins in [&[][..], &[0, 0, 0, 0], &[1000], &[0, 1000, 0]] {
            assert_eq!(detect(bins, true), Structures::default(), "{bins:?}");
        }
        assert_eq!(detect(&[], false), Structures::default());
    }

    proptest! {
        #[test]
        fn structures_are_ordered_bounded_and_apart(
            bins in prop::collection::vec(0u32..=1000, 0..200), original in any::<bool>()
        ) {
            let found = detect(&bins, original);
            prop_assert!(found.nodes.len() <= 10 && found.wells.len() <= 10);
            prop_assert!(found.nodes.windows(2).all(|w| w[1] - w[0] >= 5));
            prop_assert!(found.wells.windows(2).all(|w| w[1].0 - w[0].0 >= 15));
            for (first, last) in found.crevasses.iter().chain(&found.wells) {
                prop_assert!(first <= last && *last < bins.len());
            }
            prop_assert!(found.nodes.iter().all(|n| *n < bins.len()));
            if !original {
                prop_assert!(found.crevasses.windows(2).all(|w| w[0].1 + 1 < w[1].0));
            }
        }
    }
}
