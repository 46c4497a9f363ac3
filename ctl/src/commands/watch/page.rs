//! A page about one thing is shown again as a whole when something on it differs.

use crate::exit::Failure;
use crate::output::{Document, Output};

/// The page that was shown last.
#[derive(Debug)]
pub(crate) struct Page<D> {
    before: Option<D>,
}

impl<D: Document> Page<D>
where
    D::Object: PartialEq,
{
    pub(crate) const fn new() -> Self {
        Self { before: None }
    }

    /// Nothing when it is as before.
    pub(crate) fn show(&mut self, now: D, output: &mut Output<'_>) -> Result<(), Failure> {
        match &self.before {
            Some(before) if before.object() == now.object() => return Ok(()),
            Some(_) => again(&now, output)?,
            None => output.stream(&now)?,
        }
        self.before = Some(now);
        Ok(())
    }
}

/// Shows `document` below what was shown of it before.
pub(crate) fn again(document: &impl Document, output: &mut Output<'_>) -> Result<(), Failure> {
    if output.is_for_people() {
        output.text("---")?;
    }
    Ok(output.stream(document)?)
}
