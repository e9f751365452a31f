//! The journal beside its peers, both sides in one run on the same ticks.
//!
//! `tick`, `workload` and `fold` are what everybody is given to do; `ours`,
//! `segment`, `kv`, `redis` and `outside` are who does it; `latency` and
//! `memory` are the journal alone; `compare` and `own` run the rounds;
//! `measure` turns them into rows. `docs/benchmarks.md` says what is fair.

// A bench reads the clock and may stop at the first surprise.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "../../at_hand.rs"]
pub mod at_hand;
pub mod compare;
pub mod fold;
pub mod kv;
pub mod latency;
pub mod measure;
pub mod memory;
pub mod ours;
pub mod outside;
pub mod own;
pub mod redis;
pub mod segment;
pub mod server;
pub mod tick;
pub mod workload;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use compare::Plan;

/// Group commit of the peers that have one.
pub const GROUP: Duration = Duration::from_millis(10);

const USAGE: &str = "\
usage: cargo bench --bench journal [-- OPTIONS]
  without options   the whole table: some 15 minutes with every peer
  --ticks N         ticks of the workload (5000000)
  --rounds N        interleaved rounds (5)
  --only A,B        only these rows: fold segment fjall sqlite rocksdb streams contracts
                    nats nautilus hftbacktest latency memory
  --full            the slow peers take all ticks, too
  --memory-ticks N  length of the journal whose memory is measured (50000000; 0: none)
  --self            only ratios against this machine's own limits
  --short           with --self: small counts, for a continuous run
  --install         install the peers (apt-get, pip, cargo), run nothing";

/// What the arguments ask for.
#[derive(Debug)]
enum Asked {
    Compare(Plan),
    Own(Plan),
    Install,
}

impl Asked {
    fn from(args: &[String]) -> Result<Asked, String> {
        // `cargo bench` says so; `cargo test --benches` does not, and then one
        // small round shows that everything still runs.
        let bench = args.iter().any(|a| a == "--bench") && !args.iter().any(|a| a == "--test");
        let mut plan = Plan {
            ticks: if bench { 5_000_000 } else { 20_000 },
            rounds: if bench { 5 } else { 1 },
            full: false,
            only: Vec::new(),
            outside: bench,
            latency_s: if bench { 4 } else { 1 },
            memory_ticks: if bench { 50_000_000 } else { 100_000 },
        };
        let (mut own, mut short) = (false, false);
        let mut left = args.iter();
        while let Some(arg) = left.next() {
            let mut value = || left.next().ok_or(format!("{arg} needs a value\n{USAGE}"));
            let number = |text: &String| {
                let plain = text.replace('_', "");
                plain.parse::<usize>().map_err(|e| format!("{arg} {text}: {e}"))
            };
            match arg.as_str() {
                "--bench" | "--test" => {}
                "--ticks" => plan.ticks = number(value()?)?.max(1),
                "--rounds" => plan.rounds = number(value()?)?.max(1),
                "--memory-ticks" => plan.memory_ticks = number(value()?)?,
                "--only" => plan.only = value()?.split(',').map(Into::into).collect(),
                "--full" => plan.full = true,
                "--self" => own = true,
                "--short" => short = true,
                "--install" => return Ok(Asked::Install),
                other => return Err(format!("unknown argument {other}\n{USAGE}")),
            }
        }
        if let Some(key) = plan.only.iter().find(|k| Plan::keys().all(|known| known != *k)) {
            return Err(format!("there is nothing called {key}\n{USAGE}"));
        }
        if own && bench {
            plan.ticks = plan.ticks.min(if short { 500_000 } else { 2_000_000 });
            plan.latency_s = if short { 1 } else { 3 };
        }
        Ok(if own { Asked::Own(plan) } else { Asked::Compare(plan) })
    }
}

/// Runs what the arguments ask for; temporary files go below `tmp`.
pub fn run(args: &[String], tmp: &Path) -> ExitCode {
    if args.first().is_some_and(|a| a == memory::CHILD) {
        memory::be_child(args);
        return ExitCode::SUCCESS;
    }
    let done = std::fs::create_dir_all(tmp)
        .map_err(|e| e.to_string())
        .and_then(|()| Asked::from(args))
        .and_then(|asked| match asked {
            Asked::Compare(plan) => compare::compare(&plan, tmp),
            Asked::Own(plan) => {
                own::own(&plan, tmp);
                Ok(())
            }
            Asked::Install => match outside::Places::new(tmp).install() {
                failed if failed.is_empty() => Ok(()),
                failed => Err(failed.join("\n")),
            },
        });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str) -> Result<Asked, String> {
        let args: Vec<String> = text.split_whitespace().map(Into::into).collect();
        Asked::from(&args)
    }

    #[test]
    fn only_cargo_bench_runs_at_length() {
        let Ok(Asked::Compare(plan)) = asked("") else { panic!("a smoke round") };
        assert!(plan.ticks <= 20_000 && plan.rounds == 1 && !plan.outside);
        let Ok(Asked::Compare(plan)) = asked("--bench --rounds 3 --only nats,sqlite") else {
            panic!("the table")
        };
        assert_eq!((plan.ticks, plan.rounds, plan.only.len()), (5_000_000, 3, 2));
        let Ok(Asked::Own(plan)) = asked("--self --short --bench") else { panic!("own ratios") };
        assert_eq!((plan.ticks, plan.rounds), (500_000, 5));
        assert!(asked("--bench --ticks").is_err());
        assert!(asked("--bench everything").is_err());
        assert!(asked("--bench --only sqlight").is_err());
        assert!(Plan::keys().all(|key| USAGE.contains(key)));
    }
}
