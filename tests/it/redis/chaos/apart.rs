//! The control: SET and PUBLISH sent apart, as one would without thinking.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orrery::projector::render::{self, Held, Write};
use orrery::shelf::Shelf;

use crate::support::redis::try_connect;

pub fn publish(shelf: &Shelf, ports: [u16; 2], stop: &AtomicBool) {
    let mut sent: BTreeMap<Box<str>, u64> = BTreeMap::new();
    let mut connections = [None, None];
    while !stop.load(Ordering::Relaxed) {
        for artifact in shelf.all() {
            let header = &artifact.header;
            if sent.insert(header.family.clone(), header.version) == Some(header.version) {
                continue;
            }
            let Ok(rendering) = render::documents(&artifact, &Held::default()) else { continue };
            let mut say = |bus: usize, cmd: &mut redis::Cmd| {
                if connections[bus].is_none() {
                    connections[bus] = try_connect(ports[bus]);
                }
                let Some(connection) = &mut connections[bus] else { return };
                let said: redis::RedisResult<redis::Value> = cmd.query(connection);
                if said.is_err_and(|error| error.is_unrecoverable_error()) {
                    connections[bus] = None;
                }
            };
            let of = |bus| usize::from(bus == orrery::projector::registry::Bus::Market);
            for put in rendering.puts.iter().filter(|put| put.write == Write::Replace) {
                let bus = of(put.key.entry().bus);
                say(bus, redis::cmd("SET").arg(put.key.as_str()).arg(&*put.value));
            }
            for told in &rendering.publishes {
                let bus = of(told.channel.entry().bus);
                say(bus, redis::cmd("PUBLISH").arg(told.channel.as_str()).arg(&*told.payload));
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
