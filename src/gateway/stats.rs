//! What the listener counts: how often it refused, and what clients cost it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

/// One number.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// One less, of what can end.
    pub fn sub(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    /// As it stands.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Numbers of the listener since its start.
#[derive(Debug, Default)]
pub struct Stats {
    /// Open connections.
    pub connections: Count,
    /// Connections refused because there are too many, of one client or of all.
    pub connections_refused: Count,
    /// Connections that ended before their first request: silence, no TLS.
    pub connections_failed: Count,
    /// Requests without a token, or with one that is not known.
    pub unauthenticated: Count,
    /// Requests whose token lacks the scope.
    pub forbidden: Count,
    /// Requests for a host or from an origin that is not ours.
    pub misdirected: Count,
    /// Requests and streams refused because there are too many.
    pub overloaded: Count,
    /// Annotations refused because their client brings too many.
    pub rated: Count,
    /// Annotations taken.
    pub annotations: Count,
    /// Event streams told to resync.
    pub resyncs: Count,
    /// Event streams whose client took nothing for a while.
    pub stalls: Count,
}

impl Stats {
    /// Lines of the metrics page.
    pub fn lines(&self, streams: impl Iterator<Item = (&'static str, usize)>) -> String {
        let mut text = String::new();
        let mut line = |line: std::fmt::Arguments<'_>| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        };
        line(format_args!("# HELP orrery_gateway_connections Open connections."));
        line(format_args!("# TYPE orrery_gateway_connections gauge"));
        line(format_args!("orrery_gateway_connections {}", self.connections.get()));
        line(format_args!("# HELP orrery_gateway_event_streams Open event streams."));
        line(format_args!("# TYPE orrery_gateway_event_streams gauge"));
        for (channel, open) in streams {
            line(format_args!("orrery_gateway_event_streams{{channel=\"{channel}\"}} {open}"));
        }
        for (name, help, count) in [
            ("connections_refused", "Connections beyond the bounds", &self.connections_refused),
            ("connections_failed", "Connections without a request", &self.connections_failed),
            ("unauthenticated", "Requests without a token that is known", &self.unauthenticated),
            ("forbidden", "Requests whose token lacks the scope", &self.forbidden),
            ("misdirected", "Requests for hosts or from origins not ours", &self.misdirected),
            ("overloaded", "Requests and streams beyond the bounds", &self.overloaded),
            ("rated", "Annotations beyond a client's rate", &self.rated),
            ("annotations", "Annotations journaled over HTTP", &self.annotations),
            ("resyncs", "Event streams told to resync", &self.resyncs),
            ("stalls", "Event streams whose client took nothing for a while", &self.stalls),
        ] {
            line(format_args!("# HELP orrery_gateway_{name} {help}."));
            line(format_args!("# TYPE orrery_gateway_{name} counter"));
            line(format_args!("orrery_gateway_{name}_total {}", count.get()));
        }
        text
    }
}
