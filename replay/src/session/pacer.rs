//! The virtual clock: how much of the market's time may pass in how much of the
//! listener's.
//!
//! Wall time is handed in, in nanoseconds of any clock that does not run
//! backwards; nothing here reads one. While the clock runs, wall time times
//! speed becomes credit, and passing from one moment of the market to the next
//! costs the time between them, at most the gap cap. What cannot be paid for
//! yet waits. Credit is counted in whole thousandths of nanoseconds, so nothing
//! is lost to rounding however often somebody looks.

use std::fmt;
use std::num::NonZeroU64;

use orrery_journal::units::{NANOS_PER_SECOND, RecvTime};

/// Thousandths per one.
const MILLI: i128 = 1_000;

/// How many seconds of the market pass in a second, in thousandths.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Speed {
    /// So many thousandths.
    Thousandths(NonZeroU64),
    /// As fast as it can be folded.
    Max,
}

/// A speed that there is not.
#[derive(Clone, Copy, PartialEq, Debug, thiserror::Error)]
#[error(
    "{asked} is no speed; {} to {} times are, and as fast as possible",
    Speed::LEAST,
    Speed::MOST
)]
pub struct SpeedError {
    /// As asked for.
    pub asked: f64,
}

impl Speed {
    /// The slowest.
    pub const LEAST: f64 = 0.1;
    /// The fastest that is still paced: a trading day in a quarter of a second.
    pub const MOST: f64 = 100_000.0;
    /// One second in one second.
    pub const REAL: Speed = Speed::Thousandths(NonZeroU64::MIN.saturating_add(999));

    /// A speed of so many times, to three decimals.
    ///
    /// # Errors
    /// When it is no number, or outside of [`Speed::LEAST`] to [`Speed::MOST`].
    pub fn times(factor: f64) -> Result<Speed, SpeedError> {
        if !(Speed::LEAST..=Speed::MOST).contains(&factor) {
            return Err(SpeedError { asked: factor });
        }
        let thousandths = NonZeroU64::new((factor * 1_000.0).round() as u64);
        thousandths.map(Speed::Thousandths).ok_or(SpeedError { asked: factor })
    }

    /// How many times; `None` for as fast as possible.
    #[must_use]
    pub fn factor(self) -> Option<f64> {
        match self {
            Speed::Thousandths(n) => Some(n.get() as f64 / 1_000.0),
            Speed::Max => None,
        }
    }
}

impl Default for Speed {
    fn default() -> Speed {
        Speed::REAL
    }
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.factor() {
            Some(factor) => write!(f, "{factor}x"),
            None => f.write_str("max"),
        }
    }
}

/// The virtual clock of a session.
#[derive(Clone, Debug)]
pub struct Pacer {
    speed: Speed,
    /// Longest time of the market that a wait may stand for, ns.
    gap_cap: Option<i64>,
    /// The moment of the market that was passed last.
    last: RecvTime,
    /// Thousandths of ns of the market that are paid for and not yet used.
    credit: i128,
    /// Wall time up to which credit was counted; `None` while it stands still.
    counted: Option<i64>,
}

impl Pacer {
    /// A clock that stands still.
    #[must_use]
    pub const fn new(speed: Speed, gap_cap: Option<i64>) -> Pacer {
        Pacer { speed, gap_cap, last: RecvTime(i64::MIN), credit: 0, counted: None }
    }

    /// How fast it runs when it runs.
    #[must_use]
    pub const fn speed(&self) -> Speed {
        self.speed
    }

    /// The longest stretch of silence that it keeps, ns.
    #[must_use]
    pub const fn gap_cap(&self) -> Option<i64> {
        self.gap_cap
    }

    /// Lets it run from a wall time on; what runs already goes on.
    pub fn run(&mut self, wall: i64) {
        self.counted.get_or_insert(wall);
    }

    /// Lets it stand still. Waiting begins again when it runs on.
    pub fn halt(&mut self) {
        self.counted = None;
        self.credit = 0;
    }

    /// Another speed from a wall time on. What was behind stays behind.
    pub fn set_speed(&mut self, speed: Speed, wall: i64) {
        self.speed = speed;
        self.credit = 0;
        if self.counted.is_some() {
            self.counted = Some(wall);
        }
    }

    /// Another cap.
    pub fn set_gap_cap(&mut self, gap_cap: Option<i64>) {
        self.gap_cap = gap_cap;
    }

    /// Puts it at a moment of the market, as a seek does.
    pub fn place(&mut self, at: RecvTime) {
        self.last = at;
        self.credit = 0;
    }

    /// How long to wait at a wall time until a moment of the market may pass,
    /// ns; `None` while it stands still.
    pub fn wait(&mut self, next: RecvTime, wall: i64) -> Option<i64> {
        let since = self.counted?;
        let thousandths = match self.speed {
            Speed::Max => return Some(0),
            Speed::Thousandths(n) => i128::from(n.get()),
        };
        let passed = i128::from(wall).saturating_sub(i128::from(since)).max(0);
        self.credit = self.credit.saturating_add(passed * thousandths);
        self.counted = Some(wall.max(since));
        let missing = self.cost(next) - self.credit;
        let nanos = (missing.max(0) + thousandths - 1) / thousandths;
        Some(i64::try_from(nanos).unwrap_or(i64::MAX))
    }

    /// The moment passes. Whoever steps passes without waiting.
    pub fn pass(&mut self, next: RecvTime) {
        self.credit = (self.credit - self.cost(next)).max(0);
        self.last = self.last.max(next);
    }

    /// What the way to a moment costs, in thousandths of ns.
    fn cost(&self, next: RecvTime) -> i128 {
        let gap = (i128::from(next.0) - i128::from(self.last.0)).max(0);
        gap.min(self.gap_cap.map_or(gap, i128::from)) * MILLI
    }
}

/// Reads a speed: `60`, `60x`, `0.5x`, `max`.
///
/// # Errors
/// When it is no number; see [`Speed::times`] for the rest.
pub fn parse_speed(text: &str) -> Result<Speed, String> {
    if text == "max" {
        return Ok(Speed::Max);
    }
    let number = text.strip_suffix('x').unwrap_or(text).parse::<f64>();
    let factor = number.map_err(|_| "write a number such as 0.5, 1, 60, or max".to_owned())?;
    Speed::times(factor).map_err(|e| e.to_string())
}

/// The longest gap cap, ns: a week. A longer one caps nothing.
pub const GAP_CAP_MAX: i64 = 7 * 86_400 * NANOS_PER_SECOND;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn absurd_speeds_are_refused() {
        for factor in [0.0, -1.0, 0.099, 100_000.1, f64::NAN, f64::INFINITY, 1e300] {
            let told = Speed::times(factor).expect_err("absurd").to_string();
            assert!(told.contains("0.1 to 100000 times"), "{told}");
        }
        for (text, speed) in [("60", 60.0), ("0.1x", 0.1), ("1x", 1.0), ("100000", 1e5)] {
            assert_eq!(parse_speed(text).expect("a speed").factor(), Some(speed), "{text}");
        }
        assert_eq!(parse_speed("max"), Ok(Speed::Max));
        for text in ["", "x", "fast", "1e9", "-5x"] {
            assert!(parse_speed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_gap_is_waited_for_at_the_speed_that_is_set_and_capped() {
        let second = NANOS_PER_SECOND;
        let mut pacer = Pacer::new(Speed::times(2.0).expect("a speed"), Some(5 * second));
        pacer.place(RecvTime(0));
        assert_eq!(pacer.wait(RecvTime(second), 7), None, "it stands still");
        pacer.run(100);
        assert_eq!(pacer.wait(RecvTime(second), 100), Some(second / 2));
        assert_eq!(pacer.wait(RecvTime(second), 100 + second / 2), Some(0));
        pacer.pass(RecvTime(second));
        // Ten minutes of silence count as five seconds.
        let next = RecvTime(601 * second);
        assert_eq!(pacer.wait(next, 100 + second / 2), Some(5 * second / 2));
        pacer.set_speed(Speed::Max, 100 + second);
        assert_eq!(pacer.wait(next, 100 + second), Some(0));
    }

    /// What a listener may do.
    #[derive(Clone, Debug)]
    enum Act {
        Look(i64),
        Speed(u64),
        Pause(i64),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let act = prop_oneof![
            6 => (0i64..40_000_000).prop_map(Act::Look),
            1 => (100u64..200_000).prop_map(Act::Speed),
            1 => (0i64..80_000_000).prop_map(Act::Pause),
        ];
        prop::collection::vec(act, 1..200)
    }

    proptest! {
        /// However often and whenever somebody looks, pauses or changes the
        /// speed: the market's time (silence counted up to the cap) never
        /// exceeds what the speeds allow for the time that the clock ran, and
        /// a wait is exact to the nanosecond.
        #[test]
        fn virtual_time_never_runs_ahead_of_what_speed_allows(
            gaps in prop::collection::vec(0i64..300_000_000, 1..60),
            acts in acts(),
            cap in prop::option::of(1i64..100_000_000),
        ) {
            let mut speed = 1_000u64;
            let mut pacer = Pacer::new(Speed::REAL, cap);
            pacer.place(RecvTime(0));
            pacer.run(0);
            let (mut wall, mut allowed, mut used) = (0i64, 0i128, 0i128);
            let mut moments = Vec::new();
            for gap in &gaps {
                moments.push((moments.last().map_or(0, |(at, _): &(i64, i64)| *at) + gap, *gap));
            }
            let mut moments = moments.into_iter().peekable();
            for act in acts {
                match act {
                    Act::Look(later) => {
                        wall += later;
                        allowed += i128::from(later) * i128::from(speed);
                    }
                    Act::Speed(thousandths) => {
                        speed = thousandths;
                        let at = NonZeroU64::new(thousandths).expect("above 0");
                        pacer.set_speed(Speed::Thousandths(at), wall);
                    }
                    Act::Pause(later) => {
                        pacer.halt();
                        wall += later;
                        prop_assert_eq!(pacer.wait(RecvTime(i64::MAX), wall), None);
                        pacer.run(wall);
                    }
                }
                while let Some((at, gap)) = moments.peek().copied() {
                    let wait = pacer.wait(RecvTime(at), wall).expect("it runs");
                    if wait > 0 {
                        let mut ahead = pacer.clone();
                        prop_assert_eq!(ahead.wait(RecvTime(at), wall + wait - 1), Some(1));
                        prop_assert_eq!(ahead.wait(RecvTime(at), wall + wait), Some(0));
                        break;
                    }
                    pacer.pass(RecvTime(at));
                    used += i128::from(gap.min(cap.unwrap_or(gap))) * MILLI;
                    prop_assert!(used <= allowed, "{used} of {allowed}");
                    moments.next();
                }
            }
        }
    }
}
