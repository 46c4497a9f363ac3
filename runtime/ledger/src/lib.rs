//! "ticket-ledger"
