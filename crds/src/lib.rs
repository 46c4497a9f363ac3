//! "ticket-crds"
