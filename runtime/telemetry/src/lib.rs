//! "ticket-telemetry"
