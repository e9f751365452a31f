//! Proofs that others can check without this program and without the journal.
//!
//! The addresses of all pages are the leaves of a Merkle log ([`merkle`]) of
//! the kind that certificate transparency and the C2SP tlog documents describe.
//! A signed [`checkpoint`] fixes the log's first `size` pages; it is a signed
//! [`note`]. A path through the log proves that a page is one of them; a path
//! through the page's own blake3 tree ([`slice`](mod@slice)) proves that some of its bytes
//! are in the page. [`bundle`] puts these together and checks them; [`prover`]
//! takes them from a journal; [`notary`] signs, and never two histories. Its
//! key lies in a file ([`keys`]), gives way to another one by a [`handover`],
//! and signs what is kept of each trading day ([`certificates`]), whose text is
//! the business of the room that folds.
//!
//! Pages depend on the events alone, so two machines that took the same events
//! have the same roots. Not known here: JSON, whom to trust. `FORMAT.md` has
//! the bytes, `docs/proofs.md` the use.

pub mod bundle;
pub mod certificates;
pub mod checkpoint;
pub mod handover;
pub mod keys;
pub mod merkle;
pub mod notary;
pub mod note;
pub mod prover;
pub mod slice;
