//! Whether derived data is whole: every header, lineage, body and checkpoint.
//!
//! This finds damage at rest without folding anything. Whether what is recorded
//! is also right is the question of [`crate::compare`].

use orrery_journal::units::Address;

use crate::derived::{BODY_WINDOW, Derived, DerivedError, KEYFRAME_EVERY};

/// What an audit found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditReport {
    /// Headers that matched their hash and their predecessor.
    pub headers: u64,
    /// Bodies that matched their header.
    pub bodies: u64,
    /// Checkpoints that matched their address.
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
    for record in derived.checkpoints()? {
        match derived.checkpoint(&record)? {
            Some(_) => report.checkpoints += 1,
            None => {
                report.findings.push(format!("the checkpoint at event {} is damaged", record.seq))
            }
        }
    }
    Ok(report)
}

fn audit_family(
    derived: &Derived,
    symbol: &str,
    family: &str,
    report: &mut AuditReport,
) -> Result<(), DerivedError> {
    let newest = derived.newest_version(symbol, family)?;
    let mut previous = Some(Address::default());
    for version in 1..=newest {
        let header = match derived.header(symbol, family, version) {
            Ok(Some(header)) => header,
            Ok(None) => {
                report.findings.push(format!("{symbol} {family} v{version} is missing"));
                previous = None;
                continue;
            }
            Err(DerivedError::Damaged { what }) => {
                report.findings.push(format!("{what} is damaged"));
                previous = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        // After damage the chain is taken up again where it is whole.
        match previous.is_none_or(|p| p == header.previous) {
            true => report.headers += 1,
            false => report
                .findings
                .push(format!("{symbol} {family} v{version} does not follow the version before")),
        }
        previous = Some(header.hash());
        let kept = version + BODY_WINDOW > newest || version.is_multiple_of(KEYFRAME_EVERY);
        match derived.body(&header) {
            Ok(Some(_)) => report.bodies += 1,
            Ok(None) if kept => {
                report
                    .findings
                    .push(format!("the body of {symbol} {family} v{version} is missing"));
            }
            Ok(None) => {}
            Err(DerivedError::Damaged { what }) => {
                report.findings.push(format!("{what} is damaged"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use orrery_journal::units::Seq;

    use super::*;
    use crate::artifact::{Artifact, Header, tests::sample};
    use crate::checkpoint::Purpose;

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
