//! Errors as gRPC statuses with an `ErrorInfo`: a reason that machines can
//! match, beside a sentence for people.

use std::error::Error as _;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::BackendError;

/// Domain of every `ErrorInfo` of ours.
const DOMAIN: &str = "orrery";

/// A status with a reason.
pub fn refusal(code: Code, reason: &str, message: &str) -> Status {
    refusal_with(code, reason, message, [])
}

/// The same with what a machine may want to know of it.
fn refusal_with<const N: usize>(
    code: Code,
    reason: &str,
    message: &str,
    known: [(&str, &str); N],
) -> Status {
    let known = known.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let details = ErrorDetails::with_error_info(reason, DOMAIN, known);
    Status::with_error_details(code, message, details)
}

/// A request that can never be answered, with the field that is wrong.
pub fn invalid(field: &str, message: &str) -> Status {
    let mut details = ErrorDetails::with_error_info("INVALID_FIELD", DOMAIN, []);
    details.add_bad_request_violation(field, message);
    Status::with_error_details(Code::InvalidArgument, format!("{field}: {message}"), details)
}

/// What a backend's refusal is called in gRPC.
pub fn status_of(error: &BackendError) -> Status {
    let (code, reason) = match error {
        BackendError::Invalid { field, why } => return invalid(field, why),
        BackendError::Field { field, why } => return invalid(field, why),
        BackendError::NoneLeft(_) => (Code::NotFound, "NONE_LEFT"),
        BackendError::Exhausted { reason, .. } => (Code::ResourceExhausted, *reason),
        BackendError::Unknown { what: "session", .. } => (Code::NotFound, "UNKNOWN_SESSION"),
        BackendError::Unknown { what: "family", .. } => (Code::NotFound, "UNKNOWN_FAMILY"),
        BackendError::Unknown { what: "profile", .. } => (Code::NotFound, "UNKNOWN_PROFILE"),
        BackendError::Unknown { what: "symbol", .. } => (Code::NotFound, "UNKNOWN_SYMBOL"),
        BackendError::Unknown { what: "day", .. } => (Code::NotFound, "UNKNOWN_DAY"),
        BackendError::Unknown { what: "epoch", .. } => (Code::NotFound, "UNKNOWN_EPOCH"),
        BackendError::Unknown { what: "instrument", .. } => (Code::NotFound, "UNKNOWN_INSTRUMENT"),
        BackendError::Unknown { what: "event", .. } => (Code::NotFound, "UNKNOWN_EVENT"),
        BackendError::Unknown { what: "page", .. } => (Code::NotFound, "UNKNOWN_PAGE"),
        BackendError::Unknown { what: "blob", .. } => (Code::NotFound, "UNKNOWN_BLOB"),
        BackendError::Unknown { .. } => (Code::NotFound, "UNKNOWN"),
        BackendError::OutOfRange { .. } => (Code::OutOfRange, "OUTSIDE_OF_JOURNAL"),
        BackendError::Precondition(_) => (Code::FailedPrecondition, "PRECONDITION"),
        BackendError::Unavailable(_) => (Code::Unavailable, "TRY_AGAIN"),
        BackendError::Damaged(_) => (Code::DataLoss, "DAMAGED"),
        BackendError::Internal(_) => (Code::Internal, "INTERNAL"),
    };
    if let BackendError::Internal(_) = error {
        // The chain may name paths of this machine: it belongs into our log,
        // not to the client.
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::error!(cause, "a gRPC question could not be answered");
    }
    let told = error.to_string();
    match error {
        BackendError::Unknown { what, name } => {
            refusal_with(code, reason, &told, [("kind", *what), ("name", name)])
        }
        BackendError::OutOfRange { asked, has } => {
            refusal_with(code, reason, &told, [("asked", asked), ("holds", has)])
        }
        _ => refusal(code, reason, &told),
    }
}

/// There is no such version.
pub fn no_artifact(symbol: &str, family: &str, which: &str) -> Status {
    let told = format!("there is no artifact {symbol}/{family} {which}");
    let known = [("symbol", symbol), ("family", family), ("which", which)];
    refusal_with(Code::NotFound, "UNKNOWN_ARTIFACT", &told, known)
}
