//! The one encoding of saved state, of headers and of everything that is
//! hashed: fixed-width little-endian numbers, a length (u64) before everything
//! variable, one byte 0 or 1 before everything optional.
//!
//! Whoever saves writes with [`Encoder`] and reads with [`Decoder`]; nothing
//! here knows what the bytes mean. One state has one encoding. The decoder
//! never panics and never allocates more than its input could hold.

use orrery_journal::units::{Address, Price, RecvTime, Seq, TradingDay, VendorTime};

use crate::fold::RestoreError;

/// Appends to a state.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Goes on at the end of `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Encoder<'a> {
        Encoder { out }
    }

    /// Bytes of the state so far: where the next one goes.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.out.len()
    }

    /// One byte.
    pub fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    /// One byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Four bytes.
    pub fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Four bytes.
    pub fn i32(&mut self, value: i32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Eight bytes.
    pub fn i64(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// The eight bytes of the number, so that it comes back exactly.
    pub fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    /// How many items follow.
    pub fn count(&mut self, value: usize) {
        self.u64(value as u64);
    }

    /// Length and bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.count(value.len());
        self.out.extend_from_slice(value);
    }

    /// Bytes whose length both sides know.
    pub fn raw(&mut self, value: &[u8]) {
        self.out.extend_from_slice(value);
    }

    /// Length and UTF-8.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// Presence, then the value.
    pub fn option<T>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    /// Presence, then the value in any case: zeros where there is none, so that
    /// the width is always the same.
    pub fn padded<T: Default>(&mut self, value: Option<T>, put: impl FnOnce(&mut Self, T)) {
        self.bool(value.is_some());
        put(self, value.unwrap_or_default());
    }

    /// What `write` appends, with its length in front.
    pub fn nested(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.out.len();
        self.u64(0);
        write(self.out);
        let length = (self.out.len() - at - 8) as u64;
        if let Some(place) = self.out.get_mut(at..at + 8) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    /// A moment.
    pub fn recv(&mut self, value: RecvTime) {
        self.i64(value.0);
    }

    /// A vendor's moment.
    pub fn vendor(&mut self, value: VendorTime) {
        self.i64(value.0);
    }

    /// A position.
    pub fn seq(&mut self, value: Seq) {
        self.u64(value.0);
    }

    /// A hash.
    pub fn address(&mut self, value: Address) {
        self.raw(&value.0);
    }

    /// A price.
    pub fn price(&mut self, value: Price) {
        self.i64(value.0);
    }

    /// A day.
    pub fn day(&mut self, value: TradingDay) {
        self.i32(value.0);
    }
}

/// Reads a state from its front.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
    total: usize,
}

impl<'a> Decoder<'a> {
    /// Starts at the front of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Decoder<'a> {
        Decoder { rest: bytes, total: bytes.len() }
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], RestoreError> {
        let (head, rest) = self.rest.split_at_checked(n).ok_or_else(|| {
            let (at, left) = (self.total - self.rest.len(), self.rest.len());
            RestoreError(format!("{left} bytes are left at byte {at}, where {n} belong"))
        })?;
        self.rest = rest;
        Ok(head)
    }

    /// How many bytes are left.
    #[must_use]
    pub const fn left(&self) -> usize {
        self.rest.len()
    }

    /// The byte that says which layout follows; no other than `ours` is read.
    ///
    /// # Errors
    /// When the state ends before, or the byte is another.
    pub fn version(&mut self, ours: u8) -> Result<(), RestoreError> {
        match self.u8()? {
            version if version == ours => Ok(()),
            version => Err(RestoreError(format!("version {version}; this orrery reads {ours}"))),
        }
    }

    /// Bytes whose length both sides know.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn raw<const N: usize>(&mut self) -> Result<[u8; N], RestoreError> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N)?);
        Ok(bytes)
    }

    /// One byte.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn u8(&mut self) -> Result<u8, RestoreError> {
        self.raw().map(u8::from_le_bytes)
    }

    /// One byte, 0 or 1.
    ///
    /// # Errors
    /// When the state ends before, or the byte is another.
    pub fn bool(&mut self) -> Result<bool, RestoreError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(RestoreError(format!("{other} where 0 or 1 belongs"))),
        }
    }

    /// Four bytes.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn u32(&mut self) -> Result<u32, RestoreError> {
        self.raw().map(u32::from_le_bytes)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn i32(&mut self) -> Result<i32, RestoreError> {
        self.raw().map(i32::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn u64(&mut self) -> Result<u64, RestoreError> {
        self.raw().map(u64::from_le_bytes)
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn i64(&mut self) -> Result<i64, RestoreError> {
        self.raw().map(i64::from_le_bytes)
    }

    /// A number, exactly as it was.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn f64(&mut self) -> Result<f64, RestoreError> {
        self.u64().map(f64::from_bits)
    }

    /// How many items follow; never more than bytes are left, so that a count
    /// may be used to reserve memory.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn count(&mut self) -> Result<usize, RestoreError> {
        let count = self.u64()?;
        usize::try_from(count)
            .ok()
            .filter(|n| *n <= self.rest.len())
            .ok_or_else(|| RestoreError(format!("{count} items in {} bytes", self.rest.len())))
    }

    /// Length and bytes.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn bytes(&mut self) -> Result<&'a [u8], RestoreError> {
        let n = self.count()?;
        self.take(n)
    }

    /// Length and UTF-8.
    ///
    /// # Errors
    /// When the state ends before, or the bytes are no text.
    pub fn text(&mut self) -> Result<&'a str, RestoreError> {
        std::str::from_utf8(self.bytes()?)
            .map_err(|e| RestoreError(format!("a text is not UTF-8: {e}")))
    }

    /// Presence, then the value.
    ///
    /// # Errors
    /// When the state ends before or `get` fails.
    pub fn option<T>(
        &mut self,
        get: impl FnOnce(&mut Self) -> Result<T, RestoreError>,
    ) -> Result<Option<T>, RestoreError> {
        self.bool()?.then(|| get(self)).transpose()
    }

    /// Presence, then the value in any case: zeros where there is none.
    ///
    /// # Errors
    /// When the state ends before, `get` fails, or something absent is not zero.
    pub fn padded<T>(
        &mut self,
        get: impl FnOnce(&mut Self) -> Result<T, RestoreError>,
    ) -> Result<Option<T>, RestoreError> {
        let present = self.bool()?;
        let before = self.rest;
        let value = get(self)?;
        let taken = before.len() - self.rest.len();
        if !present && before.iter().take(taken).any(|byte| *byte != 0) {
            return Err(RestoreError("something absent has a value".to_owned()));
        }
        Ok(present.then_some(value))
    }

    /// A count and that many items.
    ///
    /// # Errors
    /// When the state ends before or `get` fails.
    pub fn list<T>(
        &mut self,
        mut get: impl FnMut(&mut Self) -> Result<T, RestoreError>,
    ) -> Result<Vec<T>, RestoreError> {
        let n = self.count()?;
        (0..n).map(|_| get(self)).collect()
    }

    /// A moment.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn recv(&mut self) -> Result<RecvTime, RestoreError> {
        self.i64().map(RecvTime)
    }

    /// A vendor's moment.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn vendor(&mut self) -> Result<VendorTime, RestoreError> {
        self.i64().map(VendorTime)
    }

    /// A position.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn seq(&mut self) -> Result<Seq, RestoreError> {
        self.u64().map(Seq)
    }

    /// A hash.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn address(&mut self) -> Result<Address, RestoreError> {
        self.raw().map(Address)
    }

    /// A price.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn price(&mut self) -> Result<Price, RestoreError> {
        self.i64().map(Price)
    }

    /// A day.
    ///
    /// # Errors
    /// When the state ends before.
    pub fn day(&mut self) -> Result<TradingDay, RestoreError> {
        self.i32().map(TradingDay)
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// When bytes are left.
    pub fn end(&self) -> Result<(), RestoreError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(RestoreError(format!("{} bytes are left over", self.rest.len())))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same bytes on every machine and in every version: checkpoints,
    /// header hashes and epoch ids rest on them.
    #[test]
    fn the_layout_never_changes() {
        let mut out = vec![9];
        let mut e = Encoder::new(&mut out);
        e.u32(0x0102_0304);
        e.i64(-2);
        e.f64(1.0);
        e.text("SPX");
        e.option(Some(TradingDay(5)), Encoder::day);
        e.option(None, Encoder::address);
        e.padded(Some(RecvTime(6)), Encoder::recv);
        e.padded(None, Encoder::recv);
        e.nested(|inner| inner.push(7));
        let expected: [&[u8]; 10] = [
            &[9],
            &[4, 3, 2, 1],
            &[254, 255, 255, 255, 255, 255, 255, 255],
            &[0, 0, 0, 0, 0, 0, 240, 63],
            &[3, 0, 0, 0, 0, 0, 0, 0, b'S', b'P', b'X'],
            &[1, 5, 0, 0, 0],
            &[0],
            &[1, 6, 0, 0, 0, 0, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 0, 0, 7],
        ];
        assert_eq!(out, expected.concat());
    }

    #[test]
    fn what_went_in_comes_out_and_nothing_else_is_taken() {
        let mut out = Vec::new();
        let mut e = Encoder::new(&mut out);
        e.u8(3);
        e.f64(-0.0);
        e.option(Some(Price(7)), Encoder::price);
        e.option(None, Encoder::price);
        e.padded(Some(-1.5), Encoder::f64);
        e.padded(None, Encoder::f64);
        e.text("SPX");
        e.count(2);
        e.day(TradingDay(-1));
        e.day(TradingDay(1));
        e.address(Address([8; 32]));
        e.nested(|inner| inner.extend_from_slice(&[1, 2, 3]));
        let read = |bytes: &[u8]| -> Result<(), RestoreError> {
            let mut d = Decoder::new(bytes);
            d.version(3)?;
            assert_eq!(d.f64()?.to_bits(), (-0.0f64).to_bits());
            assert_eq!(d.option(Decoder::price)?, Some(Price(7)));
            assert_eq!(d.option(Decoder::price)?, None);
            assert_eq!(d.padded(Decoder::f64)?, Some(-1.5));
            assert_eq!(d.padded(Decoder::f64)?, None);
            assert_eq!(d.text()?, "SPX");
            assert_eq!(d.list(Decoder::day)?, [TradingDay(-1), TradingDay(1)]);
            assert_eq!(d.address()?, Address([8; 32]));
            assert_eq!(d.bytes()?, [1, 2, 3]);
            d.end()
        };
        assert_eq!(read(&out), Ok(()));
        for short in 0..out.len() {
            assert!(read(&out[..short]).is_err(), "{short}");
        }
        out.push(0);
        assert!(read(&out).is_err());
    }

    #[test]
    fn what_no_encoder_writes_is_refused() {
        assert!(Decoder::new(&[0]).end().is_err());
        assert!(Decoder::new(&[2]).bool().is_err());
        assert!(Decoder::new(&[2]).version(1).is_err());
        assert!(Decoder::new(&[1, 0, 0, 0, 0, 0, 0, 0, 255]).text().is_err());
        assert!(Decoder::new(&[0, 1, 0, 0, 0]).padded(Decoder::u32).is_err());
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused_before_anything_is_taken() {
        let claims = u64::MAX.to_le_bytes();
        assert!(Decoder::new(&claims).count().is_err());
        assert!(Decoder::new(&claims).bytes().is_err());
        let mut asked = 0;
        let list = Decoder::new(&claims).list(|_| {
            asked += 1;
            Ok(())
        });
        assert!(list.is_err());
        assert_eq!(asked, 0);
    }

    proptest! {
        #[test]
        fn any_values_come_back(
            a in any::<u32>(), b in any::<i64>(), c in any::<u64>(), text in ".{0,20}",
            bytes in proptest::collection::vec(any::<u8>(), 0..40),
            some in any::<Option<bool>>(), padded in any::<Option<i32>>(),
        ) {
            let mut out = Vec::new();
            let mut e = Encoder::new(&mut out);
            e.u32(a);
            e.i64(b);
            e.f64(f64::from_bits(c));
            e.text(&text);
            e.bytes(&bytes);
            e.option(some, Encoder::bool);
            e.padded(padded, Encoder::i32);
            let mut d = Decoder::new(&out);
            prop_assert_eq!(d.u32()?, a);
            prop_assert_eq!(d.i64()?, b);
            prop_assert_eq!(d.f64()?.to_bits(), c);
            prop_assert_eq!(d.text()?, text);
            prop_assert_eq!(d.bytes()?, bytes);
            prop_assert_eq!(d.option(Decoder::bool)?, some);
            prop_assert_eq!(d.padded(Decoder::i32)?, padded);
            d.end()?;
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut d = Decoder::new(&bytes);
            while d.list(Decoder::text).is_ok() && d.left() > 0 {}
        }
    }
}
