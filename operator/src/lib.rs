//! "ticket-operator"
