//! Damage of every kind to every file: found with its place, or harmless.

mod image;
mod python;
mod trial;

use std::path::{Path, PathBuf};

use self::image::{HEAD, Image, LOG, Sample, history, labels, large, small};
use self::trial::{Bench, Outcome, Results, Tally, kind, merge, places, total};

use crate::support::Random;

/// Tests share two cores.
const THREADS: usize = 2;

type Flip<'a> = (&'a Path, usize, u8);

/// Does the work of each item on two threads.
fn share<T: Sync>(
    sample: &Sample,
    items: &[T],
    work: impl Fn(&mut Bench<'_>, &T, &mut Results) + Sync,
) -> Results {
    // In turns, so that both get some of what takes long.
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|n| {
                let work = &work;
                scope.spawn(move || {
                    let (mut results, mut bench) = (Results::new(), Bench::new(sample));
                    items
                        .chunks(16)
                        .skip(n)
                        .step_by(THREADS)
                        .flatten()
                        .for_each(|item| work(&mut bench, item, &mut results));
                    assert!(bench.untouched(), "a refused start wrote");
                    results
                })
            })
            .collect();
        let mut out = Results::new();
        threads.into_iter().for_each(|thread| merge(&mut out, thread.join().expect("no panic")));
        out
    })
}

fn flip(sample: &Sample, flips: &[Flip<'_>]) -> Results {
    share(sample, flips, |bench, (path, at, bit), results| {
        let outcome = bench.flip(path, *at, *bit);
        let what = format!("{} byte {at} bit {bit}", path.display());
        results.entry(kind(path)).or_default().count(&what, outcome);
    })
}

fn print(title: &str, results: &Results) -> Tally {
    eprintln!("{title}");
    eprintln!(
        "kind      trials  refused     file   offset      seq    loss late verified harmless told"
    );
    let row = |kind: &str, t: &Tally| {
        let ([file, offset, seq], late) = (t.located, t.late.len());
        eprintln!(
            "{kind:8} {:7} {:8} {file:8} {offset:8} {seq:8} {:7} {late:4} {:8} {:8} {:4}",
            t.trials, t.refused, t.loss, t.verified, t.harmless, t.told
        );
    };
    results.iter().for_each(|(kind, tally)| row(kind, tally));
    let all = total(results);
    row("all", &all);
    all.late.iter().take(20).for_each(|why| eprintln!("late: {why}"));
    all.failures.iter().take(20).for_each(|why| eprintln!("FAILURE {why}"));
    all
}

fn every_bit(sample: &Sample) -> Vec<Flip<'_>> {
    let bits = |path: &'_ PathBuf| {
        let all = places(sample, path, false);
        all.into_iter().flat_map(|at| (0..8).map(move |bit| (at, bit))).collect::<Vec<_>>()
    };
    let of = |path| bits(path).into_iter().map(|(at, bit)| (path.as_path(), at, bit));
    sample.image.files.keys().flat_map(of).collect()
}

#[test]
fn every_bit_of_a_small_journal_is_found_or_harmless() {
    let sample = small();
    let results = flip(&sample, &every_bit(&sample));
    let all = print("every bit", &results);
    assert!(all.refused > 300_000 && all.share() >= 0.999, "located {}", all.share());
    assert_eq!((all.failures, all.late, all.verified), (Vec::new(), Vec::new(), 0));
}

/// `cargo xtask bits` asks for more of them.
#[test]
fn sampled_bits_of_a_large_journal_are_found_or_harmless() {
    #[allow(clippy::disallowed_methods)]
    let asked = |name: &str, default: u64| {
        std::env::var(name).map_or(default, |n| n.parse().expect("a number"))
    };
    let (samples, seed) = (asked("ORRERY_BITS_SAMPLES", 1_000), asked("ORRERY_BITS_SEED", 1));
    let sample = large();
    let files: Vec<_> = sample.image.files.iter().collect();
    let bytes: usize = files.iter().map(|(_, bytes)| bytes.len()).sum();
    let mut random = Random(seed);
    let mut flips: Vec<Flip<'_>> = Vec::new();
    for _ in 0..samples {
        let mut at = random.below(bytes as u64) as usize;
        for (path, bytes) in &files {
            match at.checked_sub(bytes.len()) {
                Some(rest) => at = rest,
                None => {
                    flips.push((path, at, random.below(8) as u8));
                    break;
                }
            }
        }
    }
    // So that a file is opened once for all of its flips.
    flips.sort();
    let all =
        print(&format!("{samples} bits of {bytes} bytes, seed {seed}"), &flip(&sample, &flips));
    let (found, failures) = (all.refused + all.loss, all.failures.len());
    let (late, located, harmless) = (all.late.len(), all.located[2], all.harmless);
    eprintln!(
        "bits: trials={} failures={failures} found={found} located={located} late={late} \
         verified={} harmless={harmless} bytes={bytes} seed={seed}",
        all.trials, all.verified
    );
    assert!(all.share() >= 0.99, "located {}", all.share());
    assert_eq!((all.failures, all.late, all.verified), (Vec::new(), Vec::new(), 0));
    assert_eq!(all.trials, samples);
}

/// What the engine itself makes of the same: the harness would see a loss.
#[test]
fn without_the_look_at_the_files_events_are_lost() {
    let sample = small();
    let log = Path::new("journal/db/2.jnl");
    let flips: Vec<Flip<'_>> = (0..sample.image.files[log].len() - 16)
        .step_by(23)
        .map(|at| (log, at, at as u8 % 8))
        .collect();
    let results = share(&sample, &flips, |bench, (path, at, bit), results| {
        bench.blind = true;
        results.entry(kind(path)).or_default().count("a flip", bench.flip(path, *at, *bit));
    });
    let all = print("without preflight", &results);
    let silent = all.failures.iter().filter(|why| why.contains("silent")).count();
    assert!(silent * 50 > flips.len(), "{silent} of {} silent", flips.len());
}

#[test]
fn every_cut_is_found() {
    let sample = small();
    let paths: Vec<&PathBuf> =
        sample.image.files.iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(p, _)| p).collect();
    let results = share(&sample, &paths, |bench, path, results| {
        let tally = bench.cut(path);
        results.entry(kind(path)).or_default().add(tally);
    });
    let all = print("every cut", &results);
    assert_eq!((all.failures, all.late, all.verified), (Vec::new(), Vec::new(), 0));
    // Zeros behind the log in use, and who holds the directory.
    assert!(all.harmless < 60, "{}", all.harmless);
}

/// Puts each of these in place of the good files.
fn replace(sample: &Sample, title: &str, cases: &[(String, PathBuf, Image)]) -> Tally {
    let mut results = Results::new();
    let mut bench = Bench::new(sample);
    for (what, path, image) in cases {
        let outcome = bench.replace(image, path);
        if matches!(outcome, Outcome::Harmless { .. }) {
            eprintln!("harmless: {what}");
        }
        results.entry(kind(path)).or_default().count(what, outcome);
    }
    print(title, &results)
}

fn changed(
    sample: &Sample,
    what: String,
    path: &Path,
    bytes: Option<Vec<u8>>,
) -> (String, PathBuf, Image) {
    let mut image = sample.image.clone();
    match bytes {
        Some(bytes) => image.files.insert(path.to_owned(), bytes),
        None => image.files.remove(path),
    };
    (what, path.to_owned(), image)
}

#[test]
fn every_deleted_file_or_folder_is_found() {
    let sample = small();
    let mut cases: Vec<_> = sample
        .image
        .files
        .keys()
        .map(|path| changed(&sample, format!("{} deleted", path.display()), path, None))
        .collect();
    // Without `journal` itself there is no journal, and a new one begins.
    for folder in sample.image.folders.iter().filter(|path| path.components().count() > 1) {
        let mut image = sample.image.clone();
        image.files.retain(|path, _| !path.starts_with(folder));
        image.folders.retain(|path| !path.starts_with(folder));
        cases.push((format!("folder {} deleted", folder.display()), folder.clone(), image));
    }
    let all = replace(&sample, "deleted", &cases);
    assert_eq!((all.failures, all.late, all.verified), (Vec::new(), Vec::new(), 0));
}

/// Two stretches of a file exchanged, two files exchanged.
#[test]
fn whatever_is_exchanged_is_found() {
    let sample = small();
    let mut cases = Vec::new();
    for (path, bytes) in &sample.image.files {
        let places: Vec<usize> = labels(bytes).into_iter().map(|(at, _)| at).collect();
        for pair in places.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            let len = (b - a).min(bytes.len() - b).min(200);
            let mut bad = bytes.clone();
            let (left, right) = bad.split_at_mut(b);
            left[a..a + len].swap_with_slice(&mut right[..len]);
            if bad != *bytes {
                let what = format!("{} {a} and {b} exchanged", path.display());
                cases.push(changed(&sample, what, path, Some(bad)));
            }
        }
    }
    let stretches = cases.len();
    let paths: Vec<_> = sample.image.files.iter().collect();
    for (n, (one, a)) in paths.iter().enumerate() {
        for (other, b) in &paths[n + 1..] {
            if kind(one) == kind(other) && a != b {
                let mut image = sample.image.clone();
                image.files.insert((*one).clone(), (*b).clone());
                image.files.insert((*other).clone(), (*a).clone());
                let what = format!("{} and {} exchanged", one.display(), other.display());
                cases.push((what, (*one).clone(), image));
            }
        }
    }
    assert!(stretches > 30 && cases.len() > stretches + 60, "{stretches} of {}", cases.len());
    let all = replace(&sample, "exchanged", &cases);
    assert_eq!((all.failures, all.late, all.verified), (Vec::new(), Vec::new(), 0));
    assert_eq!(all.harmless, 0);
}

#[test]
fn an_older_copy_of_a_file_is_found_or_costs_nothing() {
    let (sample, earlier) = history();
    let mut cases = Vec::new();
    for (n, image) in earlier.iter().enumerate() {
        for (path, bytes) in &image.files {
            if path != Path::new("LOCK") && sample.image.files.get(path) != Some(bytes) {
                let what = format!("{} as of step {n}", path.display());
                cases.push(changed(&sample, what, path, Some(bytes.clone())));
            }
        }
    }
    let all = replace(&sample, "an older copy", &cases);
    assert_eq!((all.failures, all.late, all.verified), (Vec::new(), Vec::new(), 0));
    assert!(cases.iter().any(|(_, path, _)| path == Path::new(LOG)));
    assert!(cases.iter().any(|(_, path, _)| path == Path::new(HEAD)));
}
