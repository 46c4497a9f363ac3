//! The platform's own audit, taken over check by check: each that the contract names must be there and hold.

use super::{Evidence, Verdict};

/// The checks that the contract names.
const NAMES: [(&str, &str); 5] = [
    ("conservation", "audit: conservation"),
    ("states", "audit: states"),
    ("store", "audit: store"),
    ("facts", "audit: facts"),
    ("payments", "audit: payments"),
];

pub(super) fn checks(evidence: &Evidence) -> Vec<Verdict> {
    let audit = &evidence.audit;
    let mut verdicts: Vec<_> = NAMES
        .into_iter()
        .map(
            |(name, title)| match audit.checks.iter().find(|check| check.name == name) {
                Some(check) if check.skipped => {
                    Verdict::new(title, String::new(), vec![check.detail.clone()])
                }
                Some(check) if check.ok => Verdict::new(title, check.detail.clone(), Vec::new()),
                Some(check) => Verdict::new(title, String::new(), vec![check.detail.clone()]),
                None => Verdict::new(title, String::new(), vec!["the audit lacks it".to_owned()]),
            },
        )
        .collect();
    let is_named = |name: &str| NAMES.iter().any(|(known, _)| *known == name);
    let mut findings: Vec<_> = audit
        .checks
        .iter()
        .filter(|check| !check.ok && !is_named(&check.name))
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    let all = audit.checks.iter().all(|check| check.ok);
    if audit.ok != all {
        findings.push(format!(
            "the audit says ok = {}, its checks say {all}",
            audit.ok
        ));
    }
    verdicts.push(Verdict::new(
        "audit: all",
        format!("{} checks", audit.checks.len()),
        findings,
    ));
    verdicts
}
