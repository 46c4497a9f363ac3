//! Words in `metadata` that people and the operator share.

use std::collections::BTreeMap;

/// Held by the operator until the outside of an Event is put away.
pub const FINALIZER: &str = "ticketctl.io/event";

/// `"false"`: the operator neither creates nor changes anything for this resource.
pub const MANAGED: &str = "ticketctl.io/managed";

/// `"true"`: the operator leaves everything as it is until the annotation goes; deletion still works.
pub const PAUSE_RECONCILIATION: &str = "ticketctl.io/pause-reconciliation";

/// What the annotations let the operator do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Management {
    /// Everything.
    Managed,
    /// Nothing until the annotation goes; deletion still works.
    Paused,
    /// Nothing, and nothing outside belongs to this resource.
    Unmanaged,
}

impl Management {
    /// Reads the annotations. `managed: "false"` wins over a pause.
    #[must_use]
    pub fn of(annotations: Option<&BTreeMap<String, String>>) -> Self {
        let is = |name: &str, value: &str| {
            annotations
                .and_then(|all| all.get(name))
                .is_some_and(|found| found == value)
        };
        if is(MANAGED, "false") {
            return Self::Unmanaged;
        }
        if is(PAUSE_RECONCILIATION, "true") {
            return Self::Paused;
        }
        Self::Managed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_words_keep_the_operator_out() {
        let of = |name: &str, value: &str| {
            Management::of(Some(&BTreeMap::from([(name.to_owned(), value.to_owned())])))
        };
        assert_eq!(Management::of(None), Management::Managed);
        assert_eq!(of(MANAGED, "false"), Management::Unmanaged);
        assert_eq!(of(MANAGED, "true"), Management::Managed);
        assert_eq!(of(PAUSE_RECONCILIATION, "true"), Management::Paused);
        assert_eq!(of(PAUSE_RECONCILIATION, "yes"), Management::Managed);
    }
}
