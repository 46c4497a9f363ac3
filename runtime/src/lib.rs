//! "ticket-runtime"
