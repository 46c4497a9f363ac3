//! "ticket-bus"
