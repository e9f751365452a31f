//! A saved state, and where its parts begin.
//!
//! The bytes are one canonical encoding, whatever their parts: marks only say
//! where a model, an epoch or a partition begins in them, so that what did not
//! change since the last checkpoint need not be written again, and so that
//! damage has a name.

use bytes::Bytes;

/// Where a part begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// Its first byte.
    pub at: u64,
    /// What it is: `SPX active gex`.
    pub name: String,
}

/// The parts of a state that is being saved, in order.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Marks {
    marks: Vec<Mark>,
    /// What the parts that come now belong to.
    within: String,
}

impl Marks {
    /// A part begins at the byte `at`, which is where the last one ends.
    pub fn part(&mut self, at: usize, name: &str) {
        let name = match self.within.is_empty() {
            true => name.to_owned(),
            false => format!("{} {name}", self.within),
        };
        self.marks.push(Mark { at: at as u64, name });
    }

    /// Parts of a part: their names begin with its own.
    pub fn within<T>(&mut self, name: &str, save: impl FnOnce(&mut Marks) -> T) -> T {
        let outer = self.within.len();
        if outer > 0 {
            self.within.push(' ');
        }
        self.within.push_str(name);
        let saved = save(self);
        self.within.truncate(outer);
        saved
    }
}

/// A saved state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct State {
    /// Canonical bytes.
    pub bytes: Bytes,
    /// Where its parts begin, ascending.
    pub marks: Vec<Mark>,
}

impl State {
    /// Bytes with their parts.
    #[must_use]
    pub fn new(bytes: Vec<u8>, marks: Marks) -> State {
        State { bytes: bytes.into(), marks: marks.marks }
    }

    /// Bytes of which no parts are known.
    #[must_use]
    pub fn whole(bytes: impl Into<Bytes>) -> State {
        State { bytes: bytes.into(), marks: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_named_by_what_they_belong_to() {
        let mut marks = Marks::default();
        marks.part(0, "engine");
        marks.within("SPX", |marks| {
            marks.part(8, "ledger");
            marks.within("active", |marks| marks.part(9, "gex"));
            marks.part(12, "tape");
        });
        marks.part(20, "end");
        let state = State::new(vec![0; 30], marks);
        let names: Vec<_> = state.marks.iter().map(|m| (m.at, m.name.as_str())).collect();
        let expected = [
            (0, "engine"),
            (8, "SPX ledger"),
            (9, "SPX active gex"),
            (12, "SPX tape"),
            (20, "end"),
        ];
        assert_eq!(names, expected);
    }
}
