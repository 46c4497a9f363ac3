//! "ticket-testkit"
