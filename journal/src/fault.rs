//! Which calls of a faulty store or of faulty files fail: chance by seed.

use std::time::Duration;

/// How many calls of a thousand have which fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Faults {
    /// A write fails; a part of it, all or nothing may have happened.
    pub write: u32,
    /// The same, because the disk is full.
    pub full: u32,
    /// A write takes only a part and says so.
    pub short: u32,
    /// A sync fails; what it was to save is saved or lost for good, piece by
    /// piece, and a later sync does not try again.
    pub sync: u32,
    /// A rename fails; it has happened or not.
    pub rename: u32,
    /// A call takes up to 200 us longer.
    pub delay: u32,
    /// A sync says that it was done and was not: no disk we promise anything
    /// on does this, so it shows that a harness notices losses.
    pub lie: u32,
}

impl Faults {
    /// None at all.
    pub const NONE: Faults =
        Faults { write: 0, full: 0, short: 0, sync: 0, rename: 0, delay: 0, lie: 0 };
}

/// splitmix64, and the faults that it decides about.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
    pub faults: Faults,
    /// Faults that were given, delays left out.
    pub given: u64,
}

impl Dice {
    pub(crate) fn new(seed: u64, faults: Faults) -> Dice {
        Dice { state: seed, faults, given: 0 }
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.state;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % (n as u64).max(1)) as usize
    }

    pub(crate) fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    /// Whether a fault of this frequency happens now.
    pub(crate) fn happens(&mut self, of_a_thousand: u32) -> bool {
        // Not asked of the dice when it cannot happen, so that a seed gives the
        // same world whichever faults are switched on beside.
        let happens = of_a_thousand > 0 && self.below(1000) < of_a_thousand as usize;
        self.given += u64::from(happens);
        happens
    }

    /// How long this call is held up.
    pub(crate) fn delay(&mut self) -> Duration {
        let given = self.given;
        let late = self.happens(self.faults.delay);
        self.given = given;
        if late { Duration::from_micros(self.below(200) as u64) } else { Duration::ZERO }
    }
}
