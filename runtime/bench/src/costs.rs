//! The three largest costs of each path: what they are, what was tried against them, and where the shares come from. A report
//! shows them below the figures of its run. Whoever changes a path samples it again (`make profile`) and writes it anew here.

/// Over HTTP: `make profile BIN=api`, shares of the API's CPU time, commit 4fddd00.
pub(crate) const OVER_HTTP: [&str; 4] = [
    "The three largest costs of an accepted order, by `make profile BIN=api` (shares of the API's CPU; the process itself is the \
     largest column above):",
    "1. Sockets and wake-ups, 35 %: one write and one read per buyer's request (17 % is `writev`), beside them those to Redis and \
     Kafka. Tried: all orders of a moment in one write to Redis and in one produce request (50 records or 10 ms), one worker \
     thread instead of two (0.01 core at 200/s, not kept), TCP_NODELAY everywhere. What is left is one system call each way per \
     request, which the bare endpoint has as well.",
    "2. Kafka's client, 15 % in its own thread, and the broker's share above: one message set, copy and delivery report per \
     record. Tried: waiting longer for more records (cheaper up to 10 ms, then only slower), orders of 50 ms on one stock shard so \
     that fewer partitions are live, delivery reports by a polling thread of our own instead of the library's, which spun; \
     fewer broker threads and another garbage collector changed nothing.",
    "3. HTTP, JSON and the token, 30 %, of which checking the token's signature is 6 % and the order's own handler 18 % with Redis \
     and Kafka calls in it. Tried: rare ways boxed so that the handler's future stays small (it is moved several times); a \
     cache of tokens that were checked gained nothing in the spike before this product.",
];

/// The ledger path: `make profile BIN=processor`, shares of the processor's CPU time, commit 4fddd00.
pub(crate) const LEDGER: [&str; 4] = [
    "The three largest costs of an order on the ledger path:",
    "1. PostgreSQL, the largest column above: the row, its entry in the primary key, and both in the write-ahead log. Tried: ids of \
     an event that begin alike, so that the index pages in use stay in the buffers (15.7 us became 8.7 over five rounds), no \
     index by age (1.9 us), the insert first and a look-up only after a repeat, one array of answers instead of rows, \
     room in the page for the counters' row, plans that cannot become table scans. Left: fewer bytes per row would need \
     the buyer's id to be a number.",
    "2. Reading the log, 35 % of the processor (21 % taking records out of the client's queue and copying them, 14 % the client's \
     own thread) and the broker's share. Tried: the next batch is decoded while the database works, fetches of up to 50 ms, \
     one copy per record instead of a borrowed one that keeps the whole fetch alive (the copy is 8 %, and frees the fetch).",
    "3. Facts and arguments, 25 % of the processor: one fact message per ledger call with its orders whole (8 % encoding, 9 % with \
     the produce), the arguments of the call (6 %), commands decoded (7 %). Tried: one message per call instead of one per order, \
     Protocol Buffers instead of JSON. Left: columns encoded straight from the log without a command in between.",
];
