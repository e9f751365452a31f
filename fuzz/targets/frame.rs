#![no_main]
use libfuzzer_sys::fuzz_target;
use orrery_journal::fuzzing::{frame, frame_seeds};

fuzz_target!(init: orrery_fuzz::sow(&frame_seeds()), |data: &[u8]| frame(data));
