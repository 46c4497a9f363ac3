//! "ticket-plan"
