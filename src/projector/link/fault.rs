//! What kind of trouble a server is in, for counters and logs.

use redis::RedisError;

/// Why a bus could not be used. Each has a counter of its own.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// Nobody answers at the address, or the connection broke.
    Unreachable,
    /// No answer in time: halted, too slow, or gone without a word.
    Silent,
    /// It is a replica, or was demoted to one.
    ReadOnly,
    /// It is still reading its data from disk.
    Loading,
    /// It is full (`maxmemory`).
    Full,
    /// Credentials are missing, wrong, or do not allow what is asked.
    Refused,
    /// It does not take writes, or waits for its master or its disk.
    Unwilling,
    /// The cluster is down, is moving slots, or has them elsewhere.
    Cluster,
    /// Anything else that it answered.
    Other,
}

impl Fault {
    /// Every fault, in the order of their counters.
    pub const ALL: [Fault; 9] = [
        Fault::Unreachable,
        Fault::Silent,
        Fault::ReadOnly,
        Fault::Loading,
        Fault::Full,
        Fault::Refused,
        Fault::Unwilling,
        Fault::Cluster,
        Fault::Other,
    ];

    /// The name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Fault::Unreachable => "unreachable",
            Fault::Silent => "silent",
            Fault::ReadOnly => "read_only",
            Fault::Loading => "loading",
            Fault::Full => "full",
            Fault::Refused => "refused",
            Fault::Unwilling => "unwilling",
            Fault::Cluster => "cluster",
            Fault::Other => "other",
        }
    }

    /// The fault behind an error.
    #[must_use]
    pub fn of(error: &RedisError) -> Fault {
        if error.is_timeout() {
            return Fault::Silent;
        }
        if error.kind() == redis::ErrorKind::AuthenticationFailed {
            return Fault::Refused;
        }
        // Older servers name what a script met inside a text of their own.
        let text = error.to_string();
        let code = error.code().unwrap_or_default();
        let says =
            |codes: &[&str]| codes.iter().any(|c| *c == code || text.contains(&format!("-{c} ")));
        match () {
            () if says(&["READONLY"]) => Fault::ReadOnly,
            () if says(&["LOADING"]) => Fault::Loading,
            () if says(&["OOM"]) => Fault::Full,
            () if says(&["NOAUTH", "WRONGPASS", "NOPERM"]) => Fault::Refused,
            // So long a request is not even read of whoever has said no password.
            () if text.contains("unauthenticated") => Fault::Refused,
            () if says(&["MISCONF", "MASTERDOWN", "NOREPLICAS", "BUSY"]) => Fault::Unwilling,
            () if says(&["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "CROSSSLOT"]) => Fault::Cluster,
            () if error.is_io_error() => Fault::Unreachable,
            () => Fault::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: &'static str) -> RedisError {
        let text = format!("-{code} something is the matter\r\n");
        let value = redis::parse_redis_value(text.as_bytes()).expect("an answer");
        value.extract_error().expect_err("an error")
    }

    #[test]
    fn each_fault_is_told_from_the_others() {
        for (code, fault) in [
            ("READONLY", Fault::ReadOnly),
            ("LOADING", Fault::Loading),
            ("OOM", Fault::Full),
            ("NOAUTH", Fault::Refused),
            ("WRONGPASS", Fault::Refused),
            ("NOPERM", Fault::Refused),
            ("ERR Protocol error: unauthenticated multibulk length", Fault::Refused),
            ("MISCONF", Fault::Unwilling),
            ("MASTERDOWN", Fault::Unwilling),
            ("CLUSTERDOWN", Fault::Cluster),
            ("CROSSSLOT", Fault::Cluster),
            ("ERR", Fault::Other),
            ("ERR Error running script: @user_script:1: -OOM command not allowed", Fault::Full),
        ] {
            assert_eq!(Fault::of(&answered(code)), fault, "{code}");
        }
        let io = |kind: std::io::ErrorKind| RedisError::from(std::io::Error::from(kind));
        assert_eq!(Fault::of(&io(std::io::ErrorKind::TimedOut)), Fault::Silent);
        assert_eq!(Fault::of(&io(std::io::ErrorKind::ConnectionRefused)), Fault::Unreachable);
        for (at, fault) in Fault::ALL.into_iter().enumerate() {
            assert_eq!(fault as usize, at);
        }
    }
}
