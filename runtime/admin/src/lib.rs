//! "ticket-admin"
