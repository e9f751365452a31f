//! Which events a session leaves out, and from where on.

use orrery_journal::Filter;
use orrery_journal::event::{Body, Event};
use orrery_journal::units::{Address, InstrumentId, Seq};

/// Events that the folds are not told of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Mask {
    /// Only these are told; all when nothing is said.
    pub only: Filter,
    /// These are not, also when they are among the others.
    pub without: Option<Filter>,
}

impl Mask {
    /// Whether an event is left out. Definitions never are: they only name what
    /// later events speak of.
    #[must_use]
    pub fn hides(&self, event: &Event) -> bool {
        let (kind, instrument) = (event.body.kind(), event.instrument);
        !kind.is_bookkeeping()
            && (!self.only.admits(kind, instrument)
                || self.without.as_ref().is_some_and(|f| f.admits(kind, instrument)))
    }
}

/// A mask and where it begins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Layer {
    /// The first event that it concerns.
    pub from: Seq,
    /// What it leaves out.
    pub mask: Mask,
}

/// All masks of a session; one that branched off has those of its origin, too.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Layers(Vec<Layer>);

impl Layers {
    /// Adds one, unless it leaves nothing out.
    pub fn add(&mut self, layer: Layer) {
        if layer.mask != Mask::default() {
            self.0.push(layer);
        }
    }

    /// Whether an event is left out.
    #[must_use]
    pub fn hide(&self, seq: Seq, event: &Event) -> bool {
        self.0.iter().any(|layer| layer.from <= seq && layer.mask.hides(event))
    }

    /// The last event before anything may be left out.
    #[must_use]
    pub fn clear_until(&self) -> Seq {
        let first = self.0.iter().map(|layer| layer.from).min();
        first.map_or(Seq::MAX, |from| Seq(from.0.saturating_sub(1)))
    }
}

/// What stands in for an event that is left out: its time passes, and nothing
/// else happens.
#[must_use]
pub fn hidden(event: &Event) -> Event {
    Event {
        recv: event.recv,
        vendor_time: None,
        instrument: InstrumentId::NONE,
        source: event.source,
        extended: false,
        body: Body::Extension(Address::default()),
    }
}

#[cfg(test)]
mod tests {
    use orrery_journal::event::{InlineText, Kind, Quote};
    use orrery_journal::units::{RecvTime, SourceId};

    use super::*;

    fn event(instrument: u32, body: Body) -> Event {
        let (recv, instrument) = (RecvTime(1), InstrumentId(instrument));
        Event { recv, vendor_time: None, instrument, source: SourceId(1), extended: false, body }
    }

    #[test]
    fn layers_add_up_and_begin_where_they_were_laid() {
        let quote = |id| event(id, Body::Quote(Quote::default()));
        let mut layers = Layers::default();
        assert_eq!(layers.clear_until(), Seq::MAX);
        layers.add(Layer { from: Seq(1), mask: Mask::default() });
        assert_eq!(layers, Layers::default(), "a mask that hides nothing is none");
        let only = Filter::new().instruments([InstrumentId(1), InstrumentId(2)]);
        layers.add(Layer { from: Seq(10), mask: Mask { only, without: None } });
        let without = Some(Filter::new().kinds([Kind::Quote]).instruments([InstrumentId(2)]));
        layers.add(Layer { from: Seq(20), mask: Mask { without, ..Mask::default() } });
        assert_eq!(layers.clear_until(), Seq(9));
        assert!(!layers.hide(Seq(9), &quote(3)));
        assert!(layers.hide(Seq(10), &quote(3)));
        assert!(!layers.hide(Seq(19), &quote(2)));
        assert!(layers.hide(Seq(20), &quote(2)));
        assert!(!layers.hide(Seq(20), &quote(1)));
        let text = InlineText::Inline("O:X".into());
        assert!(!layers.hide(Seq(30), &event(3, Body::InstrumentDefined(text))));
        assert!(layers.hide(Seq(30), &event(0, Body::ClockBeat)), "about none of the two");
    }
}
