//! What is held, as canonical bytes and back.

use orrery_replay::canonical::{Decoder, Encoder};
use orrery_replay::fold::RestoreError;

use super::{Fact, Held, KeptBar, Key, Kind, TradeVolume, Volume};
use crate::models::gravity::microbins::BarVolume;

impl Held {
    pub(in crate::models::gravity) fn save(&self, e: &mut Encoder<'_>) {
        e.padded(self.forgotten, Encoder::i64);
        e.count(self.volumes.len());
        for (key, volume) in &self.volumes {
            key.save(e);
            e.u64(volume.lost);
            for histogram in [&volume.spread, &volume.raw] {
                e.count(histogram.iter().len());
                for (bin, units) in histogram.iter() {
                    e.i64(bin);
                    e.u64(units);
                }
            }
        }
        e.count(self.trades.len());
        for Fact { seq, key, what } in &self.trades {
            e.seq(*seq);
            key.save(e);
            e.f64(what.price);
            e.f64(what.size);
        }
        e.count(self.bars.len());
        for Fact { seq, key, what: KeptBar { span, bar } } in &self.bars {
            e.seq(*seq);
            key.save(e);
            e.option(*span, |e, (start, end)| {
                e.i64(start);
                e.i64(end);
            });
            for value in [bar.high, bar.low, bar.close, bar.volume] {
                e.f64(value);
            }
            e.option(bar.weighted, Encoder::f64);
        }
    }

    pub(in crate::models::gravity) fn restore(d: &mut Decoder<'_>) -> Result<Held, RestoreError> {
        let mut held = Held { forgotten: d.padded(Decoder::i64)?, ..Held::default() };
        for _ in 0..d.count()? {
            let key = Key::restore(d)?;
            let mut volume = Volume { lost: d.u64()?, ..Volume::default() };
            for histogram in [&mut volume.spread, &mut volume.raw] {
                for _ in 0..d.count()? {
                    histogram.add(d.i64()?, d.u64()?);
                }
            }
            held.volumes.insert(key, volume);
        }
        for _ in 0..d.count()? {
            let (seq, key) = (d.seq()?, Key::restore(d)?);
            let what = TradeVolume { price: d.f64()?, size: d.f64()? };
            held.trades.push_back(Fact { seq, key, what });
        }
        for _ in 0..d.count()? {
            let (seq, key) = (d.seq()?, Key::restore(d)?);
            let span = d.option(|d| Ok((d.i64()?, d.i64()?)))?;
            let [high, low, close, volume] = [d.f64()?, d.f64()?, d.f64()?, d.f64()?];
            let weighted = d.option(Decoder::f64)?;
            let bar = BarVolume { high, low, close, weighted, volume };
            held.bars.push_back(Fact { seq, key, what: KeptBar { span, bar } });
        }
        Ok(held)
    }
}

impl Key {
    fn save(self, e: &mut Encoder<'_>) {
        e.u8(self.source);
        e.day(self.day);
        let length = match self.kind {
            Kind::Trades => -1,
            Kind::Bars(length) => length,
        };
        e.i64(length);
    }

    fn restore(d: &mut Decoder<'_>) -> Result<Key, RestoreError> {
        let (source, day) = (d.u8()?, d.day()?);
        let kind = match d.i64()? {
            -1 => Kind::Trades,
            length => Kind::Bars(length),
        };
        Ok(Key { source, day, kind })
    }
}
