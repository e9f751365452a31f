//! What docs/operations.md and docs/redis.md say is so: their commands and
//! options exist, their links lead somewhere, their tables are whole.

use std::fs;
use std::path::{Path, PathBuf};

use super::*;

const GUIDES: [&str; 2] = ["operations.md", "redis.md"];

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")
}

fn read(name: &str) -> String {
    fs::read_to_string(docs().join(name)).unwrap_or_else(|e| panic!("docs/{name}: {e}"))
}

/// Arguments of the commands in the blocks of a guide.
fn commands(text: &str) -> Vec<Vec<String>> {
    let blocks = text.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(str::lines).map(|line| line.trim_start_matches("$ "));
    let ours = lines.filter_map(|line| line.strip_prefix("orrery "));
    let plain = ours.map(|line| line.split(" #").next().unwrap_or(line));
    plain.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

/// Words of a text that begin so: `--dry-run`, `ORRERY_REDIS`.
fn words<'a>(text: &'a str, begin: &str) -> BTreeSet<&'a str> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let all = text.split(|c| !is_word(c));
    all.filter(|w| w.starts_with(begin) && w.len() > begin.len() && !w.ends_with('-')).collect()
}

/// Help of every command, with its options and variables.
fn help() -> String {
    let orrery = Orrery::new();
    let own = |args: &[&str]| orrery.run(&[args, &["--help"]].concat()).expect(0).stdout;
    let names = |text: &str| -> Vec<String> {
        let list = text.split("Commands:\n").nth(1).unwrap_or_default();
        let rows = list.lines().take_while(|line| line.starts_with("  "));
        // What a row goes on with stands further in.
        let rows = rows.filter(|line| !line.starts_with("   "));
        rows.filter_map(|row| row.split_whitespace().next().map(str::to_owned)).collect()
    };
    let top = own(&[]);
    let mut all = top.clone();
    for command in names(&top).iter().filter(|name| *name != "help") {
        let told = own(&[command]);
        for below in names(&told).iter().filter(|name| *name != "help") {
            all.push_str(&own(&[command, below]));
        }
        all.push_str(&told);
    }
    all
}

#[test]
fn commands_options_and_variables_of_the_guides_exist() {
    let orrery = Orrery::new();
    let help = help();
    let (options, variables) = (words(&help, "--"), words(&help, "ORRERY_"));
    assert!(options.len() > 40 && variables.len() > 8, "{options:?} {variables:?}");
    for name in GUIDES {
        let text = read(name);
        let commands = commands(&text);
        assert!(commands.len() > 4, "docs/{name} shows {} commands", commands.len());
        for command in commands {
            // The words before are parsed first: an unknown one is an error.
            let args: Vec<&str> = command.iter().map(String::as_str).chain(["--help"]).collect();
            let ended = orrery.run(&args);
            assert_eq!(ended.code, 0, "docs/{name}: orrery {}: {ended:?}", command.join(" "));
        }
        // What follows another program is that program's.
        let ours: Vec<&str> = text
            .lines()
            .filter(|l| {
                !["grpcurl", "redis-cli", "promtool", "cargo"].iter().any(|p| l.contains(p))
            })
            .collect();
        let ours = ours.join("\n");
        for (told, known) in [(words(&ours, "--"), &options), (words(&ours, "ORRERY_"), &variables)]
        {
            assert!(!told.is_empty(), "docs/{name} tells of nothing");
            let unknown: Vec<&&str> = told.difference(known).collect();
            assert!(unknown.is_empty(), "docs/{name} tells of {unknown:?}");
        }
    }
    assert_ne!(orrery.run(&["redis", "audit", "--never", "--help"]).code, 0, "the check can fail");
}

/// The anchor of a heading, as pages make it.
fn anchor(heading: &str) -> String {
    let plain = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = plain.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-');
    kept.collect::<String>().replace(' ', "-")
}

#[test]
fn links_of_the_guides_lead_somewhere() {
    let mut links = 0;
    for name in GUIDES {
        let text = read(name);
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split(')').next().expect("an end");
            if link.contains("://") {
                continue;
            }
            links += 1;
            let (file, place) = link.split_once('#').unwrap_or((link, ""));
            let target = if file.is_empty() { text.clone() } else { read(file) };
            let anchors: Vec<String> =
                target.lines().filter(|l| l.starts_with('#')).map(anchor).collect();
            assert!(
                place.is_empty() || anchors.iter().any(|a| a == place),
                "docs/{name}: {link} leads nowhere; there are {anchors:?}"
            );
        }
    }
    assert!(links > 5, "only {links} links");
}

#[test]
fn every_problem_and_remedy_stands_in_the_guide() {
    let text = read("operations.md");
    for problem in Problem::ALL {
        let name = format!("`{}`", problem.as_str());
        let row = text.lines().any(|l| l.starts_with('|') && l.contains(&name));
        assert!(row, "docs/operations.md has no row for {name}");
    }
    let told: BTreeSet<&str> =
        text.lines().filter(|l| l.starts_with("| `")).flat_map(|l| l.split('`')).collect();
    assert!(told.contains("foreign"), "the check reads rows");
}
