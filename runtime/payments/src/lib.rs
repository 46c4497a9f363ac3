//! "ticket-payments"
