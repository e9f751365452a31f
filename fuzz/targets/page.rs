#![no_main]
use libfuzzer_sys::fuzz_target;
use orrery_journal::fuzzing::{page, page_seeds};

fuzz_target!(init: orrery_fuzz::sow(&page_seeds()), |data: &[u8]| page(data));
