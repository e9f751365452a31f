#![no_main]
use libfuzzer_sys::fuzz_target;
use orrery_journal::fuzzing::{log, log_seeds};

fuzz_target!(init: orrery_fuzz::sow(&log_seeds()), |data: &[u8]| log(data));
