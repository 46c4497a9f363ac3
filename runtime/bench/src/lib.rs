//! "ticket-bench"
