//! What the conditions of an option trade say about it.
//!
//! Condition codes are a vendor's numbers, so the table is one of them, it has a
//! version, and every artifact that depends on it names it. This one is that of
//! the options trades of `/v3/reference/conditions?asset_class=options`: OPRA's
//! letters as numbers, 200 + 1..26 for A to Z and 200 + 27..52 for a to z (OPRA
//! Participant Interface Specification, trade message types). A published table
//! never changes its meaning; another reading is another version.

use serde::Serialize;

/// Name and version of the table.
pub const TABLE: &str = "opra-massive@1";

/// How a trade came about: whether its price says who wanted it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// One leg against the book.
    Regular,
    /// One leg, in an auction (price improvement, facilitation).
    Auction,
    /// One leg, both sides brought along by one participant; compressions.
    Cross,
    /// One leg, on a trading floor.
    Floor,
    /// A leg of several, or tied to stock: its price is a part of another one.
    MultiLeg,
    /// Reported late or out of sequence: the quote of its moment is over.
    Late,
    /// A code that this table does not have.
    Unlisted,
}

impl Class {
    /// All classes, by their tags in saved states.
    pub const ALL: [Class; 7] = [
        Class::Regular,
        Class::Auction,
        Class::Cross,
        Class::Floor,
        Class::MultiLeg,
        Class::Late,
        Class::Unlisted,
    ];
}

/// What a list of conditions makes of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Meaning {
    /// A trade.
    Trade(Class),
    /// An earlier trade of the same contract, price and size never was.
    Cancel,
}

const fn trade(class: Class) -> Meaning {
    Meaning::Trade(class)
}

/// Codes 201 to 248, by number. OPRA's mnemonics stand beside them.
const CODES: [(u32, Meaning); 33] = [
    (201, Meaning::Cancel),        // CANC
    (202, trade(Class::Late)),     // OSEQ late and out of sequence
    (203, Meaning::Cancel),        // CNCL last and cancelled
    (204, trade(Class::Late)),     // LATE
    (205, Meaning::Cancel),        // CNCO opening and cancelled
    (206, trade(Class::Late)),     // OPEN opening, late, out of sequence
    (207, Meaning::Cancel),        // CNOL only and cancelled
    (208, trade(Class::Late)),     // OPNL opening and late
    (209, trade(Class::Regular)),  // AUTO
    (210, trade(Class::Regular)),  // REOP
    (219, trade(Class::Regular)),  // ISOI intermarket sweep
    (227, trade(Class::Auction)),  // SLAN
    (228, trade(Class::Auction)),  // SLAI
    (229, trade(Class::Cross)),    // SLCN
    (230, trade(Class::Cross)),    // SCLI
    (231, trade(Class::Floor)),    // SLFT
    (232, trade(Class::MultiLeg)), // MLET
    (233, trade(Class::MultiLeg)), // MLAT
    (234, trade(Class::MultiLeg)), // MLCT
    (235, trade(Class::MultiLeg)), // MLFT
    (236, trade(Class::MultiLeg)), // MESL
    (237, trade(Class::MultiLeg)), // TLAT stock and options
    (238, trade(Class::MultiLeg)), // MASL
    (239, trade(Class::MultiLeg)), // MFSL
    (240, trade(Class::MultiLeg)), // TLET
    (241, trade(Class::MultiLeg)), // TLCT
    (242, trade(Class::MultiLeg)), // TLFT
    (243, trade(Class::MultiLeg)), // TESL
    (244, trade(Class::MultiLeg)), // TASL
    (245, trade(Class::MultiLeg)), // TFSL
    (246, trade(Class::MultiLeg)), // CBMO
    (247, trade(Class::Cross)),    // MCTP multilateral compression
    (248, trade(Class::Regular)),  // EXHT extended hours
];

/// The meaning of a condition list. Of several codes the one that tells most
/// against the price counts: a cancel, then late, unlisted, several legs, floor,
/// cross, auction. No codes are a regular trade; a list that could not be
/// resolved (`None`) is [`Class::Unlisted`].
#[must_use]
pub fn meaning(codes: Option<&[u32]>) -> Meaning {
    let Some(codes) = codes else { return Meaning::Trade(Class::Unlisted) };
    let mut class = Class::Regular;
    for code in codes {
        let known = CODES.binary_search_by_key(code, |(code, _)| *code);
        match known.ok().and_then(|at| CODES.get(at)) {
            Some((_, Meaning::Cancel)) => return Meaning::Cancel,
            Some((_, Meaning::Trade(one))) => class = stronger(class, *one),
            None => class = stronger(class, Class::Unlisted),
        }
    }
    Meaning::Trade(class)
}

fn stronger(a: Class, b: Class) -> Class {
    let rank = |class| match class {
        Class::Late => 6,
        Class::Unlisted => 5,
        Class::MultiLeg => 4,
        Class::Floor => 3,
        Class::Cross => 2,
        Class::Auction => 1,
        Class::Regular => 0,
    };
    if rank(b) > rank(a) { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_ascending_and_follow_the_letters_of_opra() {
        assert!(CODES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let code = |letter: char| match letter {
            'A'..='Z' => 201 + letter as u32 - 'A' as u32,
            _ => 227 + letter as u32 - 'a' as u32,
        };
        let of = |letter| meaning(Some(&[code(letter)]));
        assert_eq!(of('A'), Meaning::Cancel);
        assert_eq!(of('D'), Meaning::Trade(Class::Late));
        assert_eq!(of('I'), Meaning::Trade(Class::Regular));
        assert_eq!(of('S'), Meaning::Trade(Class::Regular));
        assert_eq!(of('a'), Meaning::Trade(Class::Auction));
        assert_eq!(of('d'), Meaning::Trade(Class::Cross));
        assert_eq!(of('e'), Meaning::Trade(Class::Floor));
        for letter in 'f'..='t' {
            assert_eq!(of(letter), Meaning::Trade(Class::MultiLeg), "{letter}");
        }
        assert_eq!(of('u'), Meaning::Trade(Class::Cross));
        assert_eq!(of('v'), Meaning::Trade(Class::Regular));
        assert_eq!(of('w'), Meaning::Trade(Class::Unlisted));
    }

    #[test]
    fn the_strongest_of_several_codes_counts() {
        assert_eq!(meaning(Some(&[])), Meaning::Trade(Class::Regular));
        assert_eq!(meaning(None), Meaning::Trade(Class::Unlisted));
        assert_eq!(meaning(Some(&[209, 227])), Meaning::Trade(Class::Auction));
        assert_eq!(meaning(Some(&[232, 227])), Meaning::Trade(Class::MultiLeg));
        assert_eq!(meaning(Some(&[232, 204])), Meaning::Trade(Class::Late));
        assert_eq!(meaning(Some(&[232, 1])), Meaning::Trade(Class::Unlisted));
        assert_eq!(meaning(Some(&[204, 203])), Meaning::Cancel);
    }
}
