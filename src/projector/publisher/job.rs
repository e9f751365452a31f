//! One version on its way.

use std::sync::Arc;

use orrery_replay::artifact::Artifact;

use super::call::Section;
use crate::projector::registry::{Bus, RegisteredKey};
use crate::projector::render::Rendering;
use crate::shelf::ShelfKey;

pub(super) struct Job {
    pub key: ShelfKey,
    pub artifact: Arc<Artifact>,
    pub paired: u64,
    pub meta: RegisteredKey,
    pub rendering: Rendering,
    pub force: bool,
    pub repaired: bool,
}

impl Job {
    /// What some buses store and tell of it.
    pub(super) fn section(&self, on: impl Fn(Bus) -> bool) -> Section<'_> {
        let puts = self.rendering.puts.iter().filter(|put| on(put.key.entry().bus));
        let publishes = &self.rendering.publishes;
        let publishes = publishes.iter().filter(|told| on(told.channel.entry().bus));
        Section {
            meta: self.meta.clone(),
            header: &self.artifact.header,
            paired: self.paired,
            force: self.force,
            puts: puts.collect(),
            publishes: publishes.collect(),
        }
    }

    /// Whether it has something on a bus.
    pub(super) fn is_on(&self, bus: Bus) -> bool {
        self.rendering.puts.iter().any(|put| put.key.entry().bus == bus)
    }
}
