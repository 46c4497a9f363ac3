//! "ticket-stock"
