//! Whether derived data is whole: every header, lineage, body and checkpoint.
//!
//! This finds damage at rest without folding anything. Whether what is recorded
//! is also right is the question of [`crate::compare`].

use std::collections::BTreeSet;
use std::error::Error;

use orrery_journal::units::Address;

use crate::derived::{Derived, DerivedError, KEYFRAME_EVERY};

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Headers that matched their hash and their predecessor.
    pub headers: u64,
    /// Bodies that matched their header.
    pub bodies: u64,
    /// Checkpoints all parts of which matched their address.
    pub checkpoints: u64,
    /// Everything that is wrong, by family and version, checkpoints last.
    pub findings: Vec<String>,
}

/// Reads and checks everything. Deleting the folder repairs whatever is found.
///
/// # Errors
/// Only when the store cannot be read at all.
pub fn audit(derived: &Derived) -> Result<AuditReport, DerivedError> {
    let mut report = AuditReport::default();
    for (symbol, family) in derived.families()? {
        audit_family(derived, &symbol, &family, &mut report)?;
    }
    audit_checkpoints(derived, &mut report)?;
    Ok(report)
}

fn audit_checkpoints(derived: &Derived, report: &mut AuditReport) -> Result<(), DerivedError> {
    // Most pieces are shared by many checkpoints.
    let mut checked = BTreeSet::new();
    for record in derived.checkpoint_records()? {
        match record {
            Ok(record) => {
                let troubles = derived.examine(&record, &mut checked);
                report.checkpoints += u64::from(troubles.is_empty());
                let at = record.seq;
                let told = troubles.iter().map(|t| format!("the checkpoint at event {at}: {t}"));
                report.findings.extend(told);
            }
            Err(Some(at)) => {
                let told = format!("the record of the checkpoint at event {at} is damaged");
                report.findings.push(told);
            }
            Err(None) => report.findings.push("the key of a checkpoint is damaged".to_owned()),
        }
    }
    Ok(())
}

fn audit_family(
    derived: &Derived,
    symbol: &str,
    family: &str,
    report: &mut AuditReport,
) -> Result<(), DerivedError> {
    let newest = derived.newest_version(symbol, family)?;
    let window = match derived.body_window(symbol, family) {
        Ok(window) => window,
        Err(DerivedError::Damaged { what }) => {
            report.findings.push(format!("{what} is damaged"));
            u64::MAX
        }
        Err(error) => return Err(error),
    };
    let mut previous = Some(Address::default());
    for version in 1..=newest {
        let header = match derived.header(symbol, family, version) {
            Ok(Some(header)) => header,
            Ok(None) => {
                report.findings.push(format!("{symbol} {family} v{version} is missing"));
                previous = None;
                continue;
            }
            Err(error) => {
                report.findings.push(told(&error, &format!("{symbol} {family} v{version}")));
                previous = None;
                continue;
            }
        };
        // After damage the chain is taken up again where it is whole.
        match previous.is_none_or(|p| p == header.previous) {
            true => report.headers += 1,
            false => report
                .findings
                .push(format!("{symbol} {family} v{version} does not follow the version before")),
        }
        previous = Some(header.hash());
        let kept = version >= window || version.is_multiple_of(KEYFRAME_EVERY);
        match derived.body(&header) {
            Ok(Some(_)) => report.bodies += 1,
            Ok(None) if kept => {
                report
                    .findings
                    .push(format!("the body of {symbol} {family} v{version} is missing"));
            }
            Ok(None) => {}
            Err(error) => {
                let body = format!("the body of {symbol} {family} v{version}");
                report.findings.push(told(&error, &body));
            }
        }
    }
    Ok(())
}

/// What is wrong with one record; that the store cannot read it is damage, too.
fn told(error: &DerivedError, record: &str) -> String {
    match error {
        DerivedError::Damaged { what } => format!("{what} is damaged"),
        error => match error.source() {
            Some(source) => format!("{record} cannot be read: {error}: {source}"),
            None => format!("{record} cannot be read: {error}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use orrery_journal::units::Seq;

    use super::*;
    use crate::artifact::{Artifact, Header, tests::sample};
    use crate::checkpoint::Purpose;
    use crate::derived::BODY_WINDOW;

    /// A chain of versions; `edit` forges one before the next is chained to it.
    fn chain(count: u64, edit: impl Fn(&mut Header)) -> Derived {
        let derived = Derived::in_memory();
        let mut previous = Address::default();
        for version in 1..=count {
            let body = Bytes::from(version.to_string());
            let content = Address::of(&body);
            let mut header = Header { version, content, previous, ..sample() };
            edit(&mut header);
            previous = header.hash();
            derived.put(&[Artifact { header, body }]).expect("in order");
        }
        derived
    }

    #[test]
    fn what_is_whole_has_no_findings() {
        let derived = chain(BODY_WINDOW + 70, |_| {});
        derived.put_checkpoint(Seq(9), b"state".to_vec(), Purpose::Passing).expect("memory");
        let report = audit(&derived).expect("memory");
        assert_eq!(report.findings, Vec::<String>::new());
        assert_eq!(report.headers, BODY_WINDOW + 70);
        assert_eq!((report.bodies, report.checkpoints), (BODY_WINDOW + 1, 1));
    }

    #[test]
    fn a_broken_lineage_is_named() {
        let derived = chain(5, |h| {
            if h.version == 3 {
                h.previous = Address([9; 32]);
            }
        });
        let report = audit(&derived).expect("memory");
        assert_eq!(report.findings, ["SPX gex v3 does not follow the version before"]);
    }

    #[test]
    fn a_body_that_is_not_its_headers_is_named() {
        let derived = chain(5, |h| {
            if h.version == 4 {
                h.content = Address([9; 32]);
            }
        });
        let report = audit(&derived).expect("memory");
        assert_eq!(report.findings, ["the body of SPX gex v4 is damaged"]);
        assert_eq!((report.headers, report.bodies), (5, 4));
    }
}
