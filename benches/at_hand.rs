//! Memory that a virtual machine has handed back to its host.
//!
//! A guest with free page reporting (a balloon device) gives memory back two
//! seconds after it was freed. Who touches it then waits for the host, some
//! microseconds for every page, wherever that happens: in a decoder's buffer as in
//! the write of a file. A machine that keeps its memory does not know this, so a
//! bench says which of the two it measures.

use std::hint::black_box;
use std::time::Duration;

/// Longer than it takes until freed memory is given back.
const GIVEN_BACK: Duration = Duration::from_secs(3);

/// Has the host give so many bytes now, and frees them for whoever comes next.
pub fn take(bytes: usize) {
    let mut memory = vec![0u8; bytes];
    memory.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    black_box(&memory);
}

/// Waits until what was freed has been given back.
pub fn give_back() {
    std::thread::sleep(GIVEN_BACK);
}
