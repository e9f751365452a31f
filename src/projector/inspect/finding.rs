//! What is wrong with a key, in words for people and names for machines.

use serde::Serialize;

/// What is wrong.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// A key in our namespaces that the registry does not know.
    Stranger,
    /// Raw or intermediate data: ticks, contracts, volumes, an array of them.
    Raw,
    /// A registered key on the bus that it does not belong to.
    WrongBus,
    /// A registered key that holds another kind of value.
    WrongType,
    /// A key that has to expire and does not.
    NoTtl,
    /// A key that lives longer than it may.
    LongTtl,
    /// A key that has to stay and will expire.
    UnexpectedTtl,
    /// A value beyond the limit of its entry.
    Oversized,
    /// A capped log with far more entries than its cap.
    Overlong,
    /// A value that is not what its entry promises.
    Schema,
    /// Documents of one family that tell of different versions.
    Torn,
    /// A document that should be there and is not.
    Missing,
    /// A version older than the newest.
    Stale,
    /// The version is right and the content is not.
    Differs,
    /// Redis holds a newer version than we do.
    Ahead,
    /// Redis holds versions of another journal.
    Foreign,
}

impl Problem {
    /// All of them, in the order of the table in docs/operations.md.
    pub const ALL: [Problem; 16] = [
        Problem::Stranger,
        Problem::Raw,
        Problem::WrongBus,
        Problem::WrongType,
        Problem::NoTtl,
        Problem::LongTtl,
        Problem::UnexpectedTtl,
        Problem::Oversized,
        Problem::Overlong,
        Problem::Schema,
        Problem::Torn,
        Problem::Missing,
        Problem::Stale,
        Problem::Differs,
        Problem::Ahead,
        Problem::Foreign,
    ];

    /// Its name in JSON, metrics and gRPC.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Problem::Stranger => "stranger",
            Problem::Raw => "raw",
            Problem::WrongBus => "wrong_bus",
            Problem::WrongType => "wrong_type",
            Problem::NoTtl => "no_ttl",
            Problem::LongTtl => "long_ttl",
            Problem::UnexpectedTtl => "unexpected_ttl",
            Problem::Oversized => "oversized",
            Problem::Overlong => "overlong",
            Problem::Schema => "schema",
            Problem::Torn => "torn",
            Problem::Missing => "missing",
            Problem::Stale => "stale",
            Problem::Differs => "differs",
            Problem::Ahead => "ahead",
            Problem::Foreign => "foreign",
        }
    }
}

/// One key, and what is wrong with it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Finding {
    /// `system`, `market`, or `system+market` where both are one server.
    pub bus: String,
    /// The key as it stands in Redis.
    pub key: String,
    /// What is wrong.
    pub problem: Problem,
    /// Symbol and family that the key belongs to, if the registry knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<(String, String)>,
    /// The same in words, with what was found.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_json_and_elsewhere_are_the_same() {
        for problem in Problem::ALL {
            let json = serde_json::to_value(problem).expect("JSON");
            assert_eq!(json, problem.as_str());
        }
    }
}
