#![no_main]
use libfuzzer_sys::fuzz_target;
use orrery_journal::fuzzing::{index, index_seeds};

fuzz_target!(init: orrery_fuzz::sow(&index_seeds()), |data: &[u8]| index(data));
