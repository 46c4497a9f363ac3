//! The reseller: its books, kept from messages alone, are the platform's books.

use super::{Evidence, Verdict};
use crate::partner::PartnerBooks;

/// Capacity, sold tickets and answers on both sides, after changes in both directions.
pub(super) fn both_books_are_equal(evidence: &Evidence, partner: &PartnerBooks) -> Verdict {
    let PartnerBooks {
        category,
        told,
        last: (version, wanted),
        shortfall_seen,
        book,
        refused,
    } = partner;
    let mut findings: Vec<String> = refused.iter().cloned().collect();
    match evidence.after.iter().find(|stock| stock.name == *category) {
        None => findings.push(format!("the platform shows no stock of {category}")),
        Some(ours) => {
            for (what, ours, theirs) in [
                ("capacity", ours.capacity, book.capacity),
                ("sold", ours.sold, book.sold),
            ] {
                if ours != theirs {
                    findings.push(format!("{what}: {ours} here, {theirs} at the reseller"));
                }
            }
        }
    }
    match book.answered {
        Some((answered, shortfall)) if answered == *version => {
            if wanted + shortfall != book.capacity {
                let capacity = book.capacity;
                findings.push(format!(
                    "{wanted} were wanted, {shortfall} more were sold, and there are {capacity}"
                ));
            }
        }
        answered => findings.push(format!(
            "message {version} was not answered, the last answer is {answered:?}"
        )),
    }
    for (what, times) in [
        ("went up", i64::from(told.up)),
        ("went down", i64::from(told.down)),
        ("was told twice", i64::from(told.twice)),
        (
            "was overtaken by a newer message",
            i64::from(told.overtaken),
        ),
        ("could not be taken back in full", *shortfall_seen),
    ] {
        if times == 0 {
            findings.push(format!("the reseller's stock never {what}"));
        }
    }
    let detail = format!(
        "{} up, {} down, {} told twice, {} overtaken; {} changes told back; capacity {}, sold {}",
        told.up, told.down, told.twice, told.overtaken, book.sequence, book.capacity, book.sold
    );
    Verdict::new("both reseller books are equal", detail, findings)
}
