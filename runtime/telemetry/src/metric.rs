//! Names of the platform's metrics (CONTRACT section 7). Labels are closed sets but for `event`, whose number is bounded
//! by the number of events.

macro_rules! metrics {
    ($($name:ident $kind:ident $text:literal $help:literal;)+) => {
        $(#[doc = $help] pub const $name: &str = $text;)+

        /// Tells the recorder what each metric means; shown as `# HELP`.
        pub(crate) fn describe() {
            $(metrics!(@describe $kind $text $help);)+
        }
    };
    (@describe counter $text:literal $help:literal) => { metrics::describe_counter!($text, $help) };
    (@describe gauge $text:literal $help:literal) => { metrics::describe_gauge!($text, $help) };
    (@describe histogram $text:literal $help:literal) => { metrics::describe_histogram!($text, $help) };
}

metrics! {
    ORDERS_TOTAL counter "ticket_orders_total" "Orders that entered a state. Labels: event, state.";
    API_REQUESTS_TOTAL counter "ticket_api_requests_total" "Answered requests. Labels: route, status.";
    API_REQUEST_SECONDS histogram "ticket_api_request_seconds" "Time from request to answer. Label: route.";
    RESERVE_SECONDS histogram "ticket_reserve_seconds" "Time of a reservation in the stock store.";
    BATCH_ORDERS histogram "ticket_batch_orders" "Commands in one ledger call.";
    LEDGER_BATCH_SECONDS histogram "ticket_ledger_batch_seconds" "Time of one ledger call.";
    CONSUMER_LAG gauge "ticket_consumer_lag" "Messages behind the end. Labels: topic, partition.";
    STOCK gauge "ticket_stock" "Units. Labels: event, category, kind (capacity, available, held, sold, store).";
    WARMUP_EPOCH gauge "ticket_warmup_epoch" "Epoch of the event. Label: event.";
    WARMUP_SECONDS histogram "ticket_warmup_seconds" "Time of a warm-up.";
    WARMUP_TOTAL counter "ticket_warmup_total" "Warm-ups. Label: result.";
    PAYMENTS_TOTAL counter "ticket_payments_total" "Calls to the provider. Labels: provider, result.";
    WEBHOOKS_TOTAL counter "ticket_webhooks_total" "Webhooks. Labels: provider, result.";
    AUDIT_FAILURES_TOTAL counter "ticket_audit_failures_total" "Audit checks that did not hold. Label: check.";
    RECONCILE_TOTAL counter "ticket_reconcile_total" "Reconciliations. Labels: kind, result.";
    RECONCILE_SECONDS histogram "ticket_reconcile_seconds" "Time of a reconciliation. Label: kind.";
    SHARD_MOVES_TOTAL counter "ticket_shard_moves_total" "Tries to move a Citus shard. Label: result (moved, before, stale, stopped, failed).";
    SHARD_MOVE_SECONDS histogram "ticket_shard_move_seconds" "Time of one move of a Citus shard.";
    RESTART_NEEDED gauge "ticket_restart_needed" "1: a secret's file changed and only a restart helps. Label: variable.";
    BUILD_INFO gauge "ticket_build_info" "Always 1. Label: version.";
}
