#![no_main]
use libfuzzer_sys::fuzz_target;
use orrery_journal::fuzzing::{proof, proof_seeds};

fuzz_target!(init: orrery_fuzz::sow(&proof_seeds()), |data: &[u8]| proof(data));
