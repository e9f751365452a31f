//! The simple fold that every replay feeds: the state of each contract, and
//! every 250 ms of capture time a small tile of each contract that changed.
//!
//! Integers only, so that one digest tells whether two replays did the same
//! work. The C++ peer has a twin of this file; the digests must be equal.

use crate::tick::{CONTRACTS, Tick};

/// Time between passes, ns.
pub const PASS_NS: i64 = 250_000_000;

#[derive(Clone, Copy, Default)]
struct Contract {
    bid: i64,
    ask: i64,
    last: i64,
    /// Contracts bought at the ask less those sold at the bid.
    flow: i64,
    recv: i64,
    volume: u64,
    bid_size: u32,
    ask_size: u32,
    trades: u32,
    updates: u32,
}

/// State of all contracts.
pub struct Fold {
    contracts: Vec<Contract>,
    dirty: Vec<u64>,
    tiles: Vec<[i64; 4]>,
    next_pass: i64,
    passes: u64,
    made: u64,
}

impl Default for Fold {
    fn default() -> Self {
        Fold {
            contracts: vec![Contract::default(); CONTRACTS],
            dirty: vec![0; CONTRACTS.div_ceil(64)],
            tiles: vec![[0; 4]; CONTRACTS],
            next_pass: i64::MIN,
            passes: 0,
            made: 0,
        }
    }
}

impl Fold {
    /// Takes a tick.
    #[inline]
    pub fn tick(&mut self, t: &Tick) {
        if t.trade {
            self.trade(t.recv, t.contract, t.price, u64::from(t.size));
        } else {
            self.quote(t.recv, t.contract, (t.price, t.ask), (t.size, t.ask_size));
        }
    }

    /// Takes a quote: prices and sizes of bid and ask.
    #[inline]
    pub fn quote(&mut self, recv: i64, contract: u32, prices: (i64, i64), sizes: (u32, u32)) {
        let c = self.touch(recv, contract);
        (c.bid, c.ask) = prices;
        (c.bid_size, c.ask_size) = sizes;
    }

    /// Takes a trade.
    #[inline]
    pub fn trade(&mut self, recv: i64, contract: u32, price: i64, size: u64) {
        let c = self.touch(recv, contract);
        c.flow += (2 * price - c.bid - c.ask).signum() * size as i64;
        c.volume += size;
        c.last = price;
        c.trades += 1;
    }

    #[inline]
    fn touch(&mut self, recv: i64, contract: u32) -> &mut Contract {
        if recv >= self.next_pass {
            self.pass(recv);
        }
        self.dirty[(contract >> 6) as usize] |= 1 << (contract & 63);
        let c = &mut self.contracts[contract as usize];
        c.recv = recv;
        c.updates += 1;
        c
    }

    #[inline(never)]
    fn pass(&mut self, recv: i64) {
        self.next_pass = (recv.div_euclid(PASS_NS) + 1) * PASS_NS;
        self.passes += 1;
        for (word, bits) in self.dirty.iter_mut().enumerate() {
            let mut left = std::mem::take(bits);
            while left != 0 {
                let at = word * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                let c = &self.contracts[at];
                let sizes = i64::from(c.bid_size) + i64::from(c.ask_size);
                let lean = (i64::from(c.bid_size) - i64::from(c.ask_size)) * 1000 / sizes.max(1);
                self.tiles[at] = [c.bid + c.ask, c.ask - c.bid, lean, c.flow];
                self.made += 1;
            }
        }
    }

    /// A number that differs when anything in the state differs.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let mut h = 0x9E37_79B9_7F4A_7C15u64;
        let mut mix = |x: u64| {
            h = (h ^ x).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
            h ^= h >> 32;
        };
        mix(self.passes);
        mix(self.made);
        for (c, tile) in self.contracts.iter().zip(&self.tiles) {
            for x in [c.bid, c.ask, c.last, c.flow, c.recv] {
                mix(x as u64);
            }
            mix(c.volume);
            for x in [c.bid_size, c.ask_size, c.trades, c.updates] {
                mix(u64::from(x));
            }
            tile.iter().for_each(|x| mix(*x as u64));
        }
        h
    }
}
