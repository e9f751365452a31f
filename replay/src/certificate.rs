//! What a trading day comes down to, in a text that the log's key signs.
//!
//! [`text`] is the certificate as it is written and read, [`mod@facts`] finds what
//! it states: from what is recorded, or by folding the day again. [`proof`]
//! checks a certificate, and artifacts under it, with nothing but the key.
//!
//! Only a day that is over is certified: the next one has begun, all its events
//! lie in pages, and none can ever join it. So a day has one certificate, until
//! other definitions make other artifacts of the same events; then it may get
//! another one under the next number, and the first stays.

pub mod facts;
pub mod proof;
pub mod text;

pub use facts::{FactsError, Ground, How, facts};
pub use text::{Certificate, Facts, Maker, TextError};
