//! All tables of the journal's store and the layout of their keys.
//!
//! | table | key | value | lifetime |
//! |---|---|---|---|
//! | `meta` | `journal` | format and calendar (`recover.rs`) | forever |
//! | `meta` | `cut` | what retention dropped (`retention/cut.rs`) | forever |
//! | `frames` | first seq, u64 big-endian | a frame (`frame.rs`) | until its page is sealed |
//! | `pages` | first seq, u64 big-endian | a stored page (`page.rs`) | forever |
//! | `summaries` | first seq, u64 big-endian | what the page holds (`summary.rs`) | with its page |
//! | `definitions` | first seq, u64 big-endian | the definitions of a page that has any (`definitions.rs`) | with its page |
//! | `blobs` | blake3 of the value | the blob itself | forever |

use crate::store::Table;

/// Format and calendar.
pub const META: Table = Table { name: "meta", compress: false };
/// What commits wrote since the last page.
pub const FRAMES: Table = Table { name: "frames", compress: false };
/// Sealed pages.
pub const PAGES: Table = Table { name: "pages", compress: false };
/// What each page holds, so that opening decodes no page.
pub const SUMMARIES: Table = Table { name: "summaries", compress: false };
/// Tickers, condition lists and sources that a page defines.
pub const DEFINITIONS: Table = Table { name: "definitions", compress: true };
/// Content-addressed bytes.
pub const BLOBS: Table = Table { name: "blobs", compress: true };

/// Every table of the journal.
pub const ALL: [Table; 6] = [META, FRAMES, PAGES, SUMMARIES, DEFINITIONS, BLOBS];

/// The key of [`META`] that is always there.
pub const META_KEY: &[u8] = b"journal";
/// The key of [`META`] that says what retention dropped, once it has.
pub const CUT_KEY: &[u8] = b"cut";
