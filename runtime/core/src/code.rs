//! Stable codes: one name per thing that can go wrong, spelled `kebab-case` in problems, logs and metric labels and
//! `PascalCase` as a Kubernetes reason. `ticketctl explain` lists them. Once released a code never changes.

use std::fmt;
use std::str::FromStr;

/// What a caller may do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// Nothing happened; the same again may work.
    Retry,
    /// The same again fails again.
    Permanent,
    /// Somebody newer was faster: look again before anything else.
    Conflict,
    /// Sent, outcome unknown: ask again with the same id.
    Ambiguous,
}

macro_rules! codes {
    ($($variant:ident $kebab:literal $status:literal $title:literal, $next:literal;)+) => {
        /// A stable code. `http_status` is 0 where it never is the answer to a request.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $(#[doc = $title] $variant,)+
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// `kebab-case`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $kebab,)+ }
            }

            /// The page of this code, `type` of a problem.
            #[must_use]
            pub const fn problem_type(self) -> &'static str {
                match self { $(Self::$variant => concat!("https://ticketctl.io/problems/", $kebab),)+ }
            }

            /// `PascalCase`, as a Kubernetes reason.
            #[must_use]
            pub const fn reason(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant),)+ }
            }

            /// HTTP status, 0 where it never is the answer to a request.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$variant => $status,)+ }
            }

            /// One line for people.
            #[must_use]
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)+ }
            }

            /// What to do next.
            #[must_use]
            pub const fn next_step(self) -> &'static str {
                match self { $(Self::$variant => $next,)+ }
            }
        }
    };
}

codes! {
    InvalidRequest "invalid-request" 400 "The request cannot be understood.",
        "Read `detail`: it names the field. Compare with /openapi.json.";
    InvalidSignature "invalid-signature" 400 "The webhook's signature does not fit its body or its time.",
        "Check the webhook secret on both sides and the clocks; the tolerance is 300 s.";
    Unauthenticated "unauthenticated" 401 "There is no valid token.",
        "Send `Authorization: Bearer <token>`; check that the token has not expired.";
    Forbidden "forbidden" 403 "The token's role does not allow this.",
        "Use a token with the role that `detail` names.";
    NotFound "not-found" 404 "There is no such thing, or it is somebody else's.",
        "Check the name: `ticketctl events list` shows what there is.";
    SoldOut "sold-out" 409 "No tickets of this category are left.",
        "Holds that are not paid come back; ask again later.";
    BuyerLimit "buyer-limit" 409 "The buyer would hold more tickets than the event allows.",
        "Order fewer, or cancel an unpaid order first.";
    NoShardFits "no-shard-fits" 409 "Tickets are left, but not this many together.",
        "Order fewer at a time.";
    SaleNotOpen "sale-not-open" 409 "The sale has not begun.", "Wait for `opensAt` of the event.";
    SalePaused "sale-paused" 409 "The sale is paused.", "An event manager paused it (`spec.sales.paused`).";
    SaleClosed "sale-closed" 409 "The sale is over.", "Nothing can be ordered any more.";
    IllegalTransition "illegal-transition" 409 "The order's state does not allow this.",
        "Read the order; `detail` names its state.";
    MethodNotAllowed "method-not-allowed" 405 "This path does not know this method.",
        "Compare with /openapi.json.";
    PayloadTooLarge "payload-too-large" 413 "The body is too large.",
        "A request may have 64 KiB, a webhook 256 KiB.";
    UnsupportedMediaType "unsupported-media-type" 415 "The body's type is not understood.",
        "Send `Content-Type: application/json`.";
    IdempotencyKeyReused "idempotency-key-reused" 422 "The Idempotency-Key was used for another order.",
        "Use a new key for a new order; the same key only repeats the same request.";
    TooManyRequests "too-many-requests" 429 "More requests than this event or client may send.",
        "Wait for `Retry-After`, then send the same request with the same Idempotency-Key.";
    WarmingUp "warming-up" 503 "The stock store is being refilled from the ledger, or the sale is held.",
        "Wait for `Retry-After`. `ticketctl warmup status EVENT` shows who holds the lock.";
    WarmupLocked "warmup-locked" 409 "Somebody else holds the warm-up lock of this event.",
        "`ticketctl warmup status EVENT` shows who and until when; `unlock --force --confirm=EVENT` breaks the lock.";
    Overloaded "overloaded" 503 "A server that is needed is down or busy.",
        "Wait for `Retry-After`, then repeat with the same Idempotency-Key. /readyz names what is down.";
    Internal "internal" 500 "Something failed that should not have.",
        "Look for `trace_id` in the logs of the runtime.";
    NeedsCitus "needs-citus" 409 "This needs Citus; the ledger is plain PostgreSQL.",
        "Install Citus, or live with one node: nothing else is lost.";
    LanesExhausted "lanes-exhausted" 0 "The pool of lanes cannot give as many as the Event asks for.",
        "Ask for fewer stock shards, set `placement.isolation: Shared`, or delete an event that leases lanes.";
    LanesWithoutRoom "lanes-without-room" 0 "No part of a worker may be split for new lanes: events are on sale in all of them.",
        "It is tried again each minute. Wait for a sale to end, add a worker, or set `placement.isolation: Shared`.";
    NodeDown "node-down" 0 "A node of the ledger is down, and a split or move of Citus shards needs every node.",
        "Start the node that the message names; it is tried again by itself. `ticketctl shards list` shows all nodes.";
    ShardsBusy "shards-busy" 0 "Citus shards are being split, moved or cleaned up by somebody else.",
        "Wait: only one such operation runs at a time, and it is tried again by itself.";
    AwaitingApproval "awaiting-approval" 0 "The moves are planned; nothing moves until somebody approves them.",
        "`ticketctl rebalance status NAME` shows them, `ticketctl rebalance approve NAME` starts them.";
    PlanStale "plan-stale" 0 "The ledger's shards are not where they were when the moves were planned.",
        "They are planned again: look at them with `ticketctl rebalance status NAME`, then approve.";
    AwaitingTurn "awaiting-turn" 0 "Another rebalance moves shards; one goes on at a time.",
        "Wait, or stop the other one: the condition names it.";
    RebalanceStopped "rebalance-stopped" 0 "The rebalance was stopped; what was moved stays where it is.",
        "`ticketctl rebalance resume NAME` goes on where it stood.";
    NothingToStop "nothing-to-stop" 0 "A stop was asked for, and nothing is under way.",
        "Set `spec.stop` back to false: while it is true, nothing starts.";
    EventOnSale "event-on-sale" 0 "Stock of an event that is on sale would be moved.",
        "Wait until the sale is over or pause it; `spec.force` moves it all the same, and its buyers wait at each cutover.";
    EventUnknown "event-unknown" 0 "The ledger has no stock of this event.",
        "Compare `spec.events` (namespace/name) with `ticketctl events list -A`.";
    NodeUnknown "node-unknown" 0 "The ledger has no node of this name.",
        "`ticketctl shards list` shows the nodes as host:port.";
    NoTargetNode "no-target-node" 0 "No living node takes shards.",
        "Add a worker, or let one take shards again: citus_set_node_property(host, port, 'shouldhaveshards', true).";
    TooManyMoves "too-many-moves" 0 "One rebalance would take more moves than it may have.",
        "Move in parts: pin some events first.";
    MoveFailed "move-failed" 0 "A Citus shard could not be moved.",
        "Read the move's message, heal the cause, then `ticketctl rebalance resume NAME`.";
    LedgerUnreachable "ledger-unreachable" 0 "PostgreSQL does not answer.",
        "Check the database: `ticketctl doctor`. Orders wait in Kafka meanwhile.";
    LedgerFailed "ledger-failed" 0 "PostgreSQL refused or broke off a call.",
        "Read the log line's `error`; the call is tried again if that may help.";
    StoreUnreachable "store-unreachable" 0 "Redis does not answer.",
        "Check Redis: `ticketctl doctor`. It is refilled from the ledger when it is back.";
    LogUnreachable "log-unreachable" 0 "Kafka does not answer.",
        "Check the brokers: `ticketctl doctor`. Orders are refused meanwhile, none is lost.";
    PaymentsUnreachable "payments-unreachable" 0 "The payment provider does not answer.",
        "Reserved orders wait; the payment is made when the provider is back.";
    StoreFailed "store-failed" 0 "Redis refused or broke off a call.",
        "Read the log line's `error`. The call is tried again if that may help.";
    StoreAddressInvalid "store-address-invalid" 0 "The address of Redis cannot be read.",
        "Set TICKET_REDIS_URL to redis://host:port.";
    StagedOrdersMissing "staged-orders-missing" 0 "What a warm-up had put aside in Redis is gone.",
        "Redis lost its data in the middle of a warm-up; the next one begins anew.";
    DeliveryUnknown "delivery-unknown" 0 "Kafka did not say in time whether it has a message.",
        "The same message is sent again; receivers drop repeats. Check the brokers if it goes on.";
    LogFull "log-full" 0 "More messages wait for Kafka than this process may keep.",
        "The brokers are too slow for the load. Requests are refused until the queue is shorter.";
    LogClosed "log-closed" 0 "The connection to Kafka was closed while it was in use.",
        "The process is stopping, or its consumer ended: look at the line before.";
    LogSetupFailed "log-setup-failed" 0 "A Kafka client cannot be made with these settings.",
        "Read the log line's `error`: it names the setting.";
    LogClientFenced "log-client-fenced" 0 "Another process uses the same name in the consumer group.",
        "Give each process a name of its own. The newer one works on.";
    PartitionMissing "partition-missing" 0 "The topic has no such partition.",
        "Compare `queue.partitions` of the Event with the topic.";
    PartitionQueueBroken "partition-queue-broken" 0 "A message came out of the wrong queue of a consumer.",
        "A bug: report it with the log. The process ends, nothing is lost.";
    PartitionTaskBroken "partition-task-broken" 0 "The task of a partition ended or hangs.",
        "Read the log line's `error`. The process ends, others take over from the last commit.";
    RecordRefused "record-refused" 0 "Kafka refused a message.", "Read the log line's `error`.";
    RecordTooLarge "record-too-large" 0 "A message is larger than Kafka takes.",
        "Raise `message.max.bytes` of the broker, or lower TICKET_CONSUMER_MAX_BATCH.";
    TopicChangeFailed "topic-change-failed" 0 "Kafka did not change a topic.",
        "Read the condition's message; replication factor and permissions are the usual reasons.";
    TopicMissing "topic-missing" 0 "The topic is not there.",
        "The operator makes it again within a minute; check that it runs.";
    PaymentsRefused "payments-refused" 0 "The payment provider refused a request.",
        "Read the log line's `error`: it has the provider's own words.";
    PaymentsUnauthorized "payments-unauthorized" 0 "The payment provider does not accept our key.",
        "Check TICKET_PAYMENTS_KEY. Reserved orders wait until it is right.";
    PaymentsMisconfigured "payments-misconfigured" 0 "The payment provider's settings contradict each other.",
        "Read the log line's `error`: it names the setting.";
    InvalidSpec "invalid-spec" 0 "The Event cannot be, as it is written.",
        "Read the condition's message: it names the field and the rule.";
    QuantityBelowSold "quantity-below-sold" 0 "The quantity is below what is held and sold.",
        "Raise `quantity`, or refund orders first.";
    StockDiffers "stock-differs" 0 "The stock that is there has other categories or stock shards than the Event.",
        "Set the category back to what is there: stock shards that are made do not change.";
    StockLost "stock-lost" 0 "The ledger has lost stock that it names, or the whole event.",
        "Restore the ledger from a backup. To start anew without the old orders, delete the Event and apply it again.";
    ResourceConflict "resource-conflict" 0 "The ledger's event belongs to another living resource.",
        "Delete one of the two resources; the older keeps the event.";
    TopicConflict "topic-conflict" 0 "The topic is there, but not as the Event wants it.",
        "Compare partitions and settings; partitions never shrink.";
    Unmanaged "unmanaged" 0 "The annotation ticketctl.io/managed: \"false\" keeps the operator out.",
        "Remove the annotation to let the operator work.";
    Paused "paused" 0 "The annotation ticketctl.io/pause-reconciliation keeps the operator out.",
        "Remove the annotation to let the operator work.";
    Progressing "progressing" 0 "The operator still works on it.", "Wait; `ticketctl events wait EVENT`.";
    AuditPassed "audit-passed" 0 "The last audit of the event found nothing.", "Nothing to do.";
    AuditFailed "audit-failed" 0 "The last audit of the event found what does not add up, or could not ask.",
        "The condition names the checks; `ticketctl audit EVENT` looks again and shows what differs.";
    StoreCertificateMissing "store-certificate-missing" 0 "A certificate for Redis cannot be read.",
        "Read the log line's `error`: it names the file. Check TICKET_REDIS_TLS_CA and the client certificate's files.";
    KubernetesFailed "kubernetes-failed" 0 "The Kubernetes API server refused or broke off a call.",
        "Read the condition's message; the operator's permissions and the API server's health are the usual reasons.";
    PlanUnsettled "plan-unsettled" 0 "The Event was still not as wanted after many rounds of steps.",
        "Somebody else changes the same things: compare the condition's message with what else manages them.";
    LogFilterInvalid "log-filter-invalid" 0 "The filter of log lines cannot be read.",
        "Set TICKET_LOG to a level (info, debug) or to target=level, several with commas.";
    LogsFailed "logs-failed" 0 "Log lines cannot be written.",
        "A bug: something else in the process writes logs already. Report it with the line.";
    MetricsFailed "metrics-failed" 0 "Metrics cannot be recorded.",
        "A bug: something else in the process records metrics already. Report it with the line.";
    TracesFailed "traces-failed" 0 "Traces cannot be sent.",
        "Check the address of the collector; without one nothing is traced.";
    SignalsFailed "signals-failed" 0 "The system does not tell the process of signals.",
        "Read the log line's `error`; a limit of the container is the usual reason.";
    HealthServerFailed "health-server-failed" 0 "The server of health and metrics does not listen.",
        "Another process has the port, or the address is not this machine's: read the log line's `error`.";
    AdminAddressInvalid "admin-address-invalid" 0 "The address of the admin API cannot be one.",
        "Give `--admin-url` (TICKET_ADMIN_URL) as http://host:port.";
    AdminClientFailed "admin-client-failed" 0 "An HTTP client for the admin API could not be made.",
        "Read the line's cause; certificates of the system are the usual reason.";
    AdminUnreachable "admin-unreachable" 0 "The admin API does not answer.",
        "`ticketctl doctor` looks at every part of the way.";
    AdminAnswerBroken "admin-answer-broken" 0 "An answer of the admin API broke off or did not come in time.",
        "Ask again; raise `--request-timeout` if it goes on.";
    AdminAnswerForeign "admin-answer-foreign" 0 "What answered is not the admin API, or of another version.",
        "Check `--admin-url`, and compare `ticketctl --version` with the platform's.";
    Ready "ready" 0 "All is as the Event wants it.", "Nothing to do.";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Code {
    type Err = ();

    /// Either spelling.
    fn from_str(text: &str) -> Result<Self, ()> {
        let known = |code: &&Self| code.as_str() == text || code.reason() == text;
        Self::ALL.iter().find(known).copied().ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_are_one_name() {
        for code in Code::ALL {
            let kebab: String = code
                .reason()
                .chars()
                .enumerate()
                .flat_map(|(at, c)| {
                    let dash = (c.is_ascii_uppercase() && at > 0).then_some('-');
                    dash.into_iter().chain([c.to_ascii_lowercase()])
                })
                .collect();
            assert_eq!(kebab, code.as_str());
            assert_eq!(code.as_str().parse(), Ok(*code));
            assert_eq!(code.reason().parse(), Ok(*code));
        }
    }
}
