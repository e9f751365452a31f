//! What one run of one side gave, what several of them come down to, and how
//! two sides are set against each other.

use std::path::Path;

/// What one run of one side gave; `None` where the side has no such thing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Run {
    /// Ticks a second into durable storage.
    pub append: Option<f64>,
    /// Ticks a second out of it and through the fold.
    pub replay: Option<f64>,
    /// Bytes a tick at rest.
    pub bytes: Option<f64>,
    /// Digest of the fold after the replay.
    pub digest: Option<u64>,
    /// Ticks of this run.
    pub ticks: usize,
}

/// Median, lowest and highest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle one; the upper of two.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
    /// How many there were.
    pub runs: usize,
}

impl Spread {
    /// `None` of nothing.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Spread { median: sorted[sorted.len() / 2], min, max, runs: sorted.len() })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let n = |x: f64| match x.abs() {
            x if x >= 100.0 => 0,
            x if x >= 10.0 => 1,
            x if x >= 1.0 => 2,
            _ => 3,
        };
        let (a, b, c) = (self.median, self.min, self.max);
        let d = n(a);
        if self.runs == 1 {
            return write!(f, "{a:.d$}");
        }
        write!(f, "{a:.d$} [{b:.d$}..{c:.d$}]")
    }
}

/// What a ratio has to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// Not below this.
    AtLeast(f64),
    /// Not above this.
    AtMost(f64),
    /// Printed only.
    None,
}

impl Goal {
    /// How it is printed, and whether `ratio` reaches it.
    #[must_use]
    pub fn judge(self, ratio: f64) -> (String, &'static str) {
        let said = |reached| if reached { "yes" } else { "NO" };
        match self {
            Goal::AtLeast(goal) => (format!(">= {goal}"), said(ratio >= goal)),
            Goal::AtMost(goal) => (format!("<= {goal}"), said(ratio <= goal)),
            Goal::None => ("-".into(), "-"),
        }
    }
}

/// One row of the table: both sides' values, round by round.
pub struct Row {
    /// What was measured, and against whom.
    pub name: String,
    /// Ours and theirs of the same round.
    pub pairs: Vec<(f64, f64)>,
    /// What ours divided by theirs has to reach.
    pub goal: Goal,
    /// What a reader has to know to judge it.
    pub note: String,
}

impl Row {
    /// A value that stands for itself: `goal` is on it, not on a ratio.
    #[must_use]
    pub fn alone(name: String, values: Vec<f64>, goal: Goal, note: String) -> Row {
        Row { name, pairs: values.into_iter().map(|v| (v, f64::NAN)).collect(), goal, note }
    }
}

/// Width of the table's first column.
const NAME: usize = 48;

/// The names of the columns.
#[must_use]
pub fn heading() -> String {
    format!(
        "{:<NAME$} {:>22} {:>22} {:>22} {:>8} {:>7}  {}",
        "", "orrery", "the other", "ratio", "goal", "reached", "note"
    )
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Some(ours) = Spread::of(self.pairs.iter().map(|p| p.0)) else {
            return write!(f, "{:<NAME$} skipped: {}", self.name, self.note);
        };
        let theirs = Spread::of(self.pairs.iter().map(|p| p.1).filter(|t| t.is_finite()));
        let ratio = Spread::of(self.pairs.iter().map(|p| p.0 / p.1).filter(|r| r.is_finite()));
        let judged = ratio.unwrap_or(ours).median;
        let (goal, reached) = self.goal.judge(judged);
        let text = |spread: Option<Spread>, unit| match spread {
            Some(spread) => format!("{spread}{unit}"),
            None => "-".into(),
        };
        write!(
            f,
            "{:<NAME$} {:>22} {:>22} {:>22} {goal:>8} {reached:>7}  {}",
            self.name,
            ours.to_string(),
            text(theirs, ""),
            text(ratio, "x"),
            self.note
        )
    }
}

/// The machine and what else it does, in a few words.
#[must_use]
pub fn machine() -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let info = read("/proc/cpuinfo");
    let model = info.lines().find(|l| l.starts_with("model name"));
    let model = model.and_then(|l| l.split_once(": ")).map_or("unknown processor", |(_, m)| m);
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split_whitespace().next().unwrap_or("unknown");
    format!("{model}, {cores} cores, load average {load}")
}

/// Allocated bytes below a folder (engines preallocate sparse files); a file is
/// counted when `counts` says so.
#[must_use]
pub fn disk_bytes(dir: &Path, counts: &dyn Fn(&Path) -> bool) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => disk_bytes(&entry.path(), counts),
        Ok(meta) if counts(&entry.path()) => meta.blocks() * 512,
        _ => 0,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_the_median_of_the_ratios_of_each_round() {
        let row = Row {
            name: "append".into(),
            pairs: vec![(10.0, 5.0), (30.0, 10.0), (8.0, 8.0)],
            goal: Goal::AtLeast(2.5),
            note: "so".into(),
        };
        let text = row.to_string();
        let words: Vec<&str> = text.split_whitespace().collect();
        let expected = "append 10.0 [8.0..30.0] 8.00 [5.00..10.00] 2.00 [1.00..3.00]x >= 2.5 NO so";
        assert_eq!(words.join(" "), expected);
        assert_eq!(Goal::AtMost(2.0).judge(2.0).1, "yes");
        let alone = Row::alone("size".into(), vec![11.0], Goal::AtMost(12.0), "so".into());
        let text = alone.to_string();
        let words: Vec<&str> = text.split_whitespace().collect();
        assert_eq!(words.join(" "), "size 11.0 - - <= 12 yes so");
        let row = Row { pairs: Vec::new(), ..row };
        assert!(row.to_string().ends_with("skipped: so"));
    }
}
