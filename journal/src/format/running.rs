//! The two hashes that lead through the whole journal: the chain of page
//! addresses and, for the watermark, the running hash at its last event.

use crate::units::Address;

/// The chain of page addresses: 32 zero bytes, then for each page
/// blake3(chain so far, address).
pub(crate) fn chain(before: Address, page: Address) -> Address {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&before.0).update(&page.0);
    Address(*hasher.finalize().as_bytes())
}

/// Chain of the pages, then the rows behind them.
pub(crate) struct Running {
    chain: Address,
    /// Over the chain and the rows behind the last page.
    rows: blake3::Hasher,
}

impl Running {
    /// Behind the pages of this chain.
    pub(crate) fn behind(chain: Address) -> Running {
        let mut rows = blake3::Hasher::new();
        rows.update(&chain.0);
        Running { chain, rows }
    }

    /// A page was sealed; it replaces all rows so far.
    pub(crate) fn page(&mut self, address: Address) {
        *self = Running::behind(chain(self.chain, address));
    }

    /// More rows behind the last page.
    pub(crate) fn rows(&mut self, rows: &[u8]) {
        self.rows.update(rows);
    }

    /// The hash at the last row.
    pub(crate) fn hash(&self) -> Address {
        Address(*self.rows.finalize().as_bytes())
    }
}
