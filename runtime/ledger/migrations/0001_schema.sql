-- The ledger's tables. On plain PostgreSQL they are ordinary tables; where the database has Citus, `Ledger::migrate`
-- afterwards distributes `stock_shards` and `orders` by `stock_shard_id` and leaves the others on the coordinator.

-- Ids of stock shards. Redis scripts know numbers as doubles only, so an id stays below 2^53.
CREATE SEQUENCE stock_shard_ids AS bigint MINVALUE 1 MAXVALUE 9007199254740991;

-- One row. Whoever writes an event raises it first and holds its row lock until the commit, so that change numbers
-- become visible in their own order. A sequence would not do: two writers commit in any order, and a reader that asks
-- for "newer than n" would miss the slower one for good.
CREATE TABLE event_changes (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    last_change bigint NOT NULL
);
INSERT INTO event_changes (last_change) VALUES (0);

-- A sale. Its identity is made here and survives the resource that asked for it.
CREATE TABLE events (
    event_id uuid PRIMARY KEY,
    namespace text NOT NULL,
    name text NOT NULL,
    -- The living resource that the event belongs to; empty while nobody owns it (deleted with `Retain`).
    owner_uid text,
    owner_created_at timestamptz,
    title text NOT NULL DEFAULT '',
    topic text NOT NULL DEFAULT '',
    partitions integer NOT NULL DEFAULT 0 CHECK (partitions >= 0),
    -- Empty until the event was written for the first time; before that no service sees it.
    opens_at timestamptz,
    closes_at timestamptz,
    paused boolean NOT NULL DEFAULT false,
    is_open boolean NOT NULL DEFAULT false,
    is_closed boolean NOT NULL DEFAULT false,
    hold_for_s integer NOT NULL DEFAULT 600 CHECK (hold_for_s > 0),
    processing_for_s integer NOT NULL DEFAULT 86400 CHECK (processing_for_s > 0),
    max_per_buyer integer NOT NULL DEFAULT 0 CHECK (max_per_buyer >= 0),
    admission_per_second integer NOT NULL DEFAULT 0 CHECK (admission_per_second >= 0),
    -- Number of the event's newest warm-up. The first seed is 1; only a warm-up raises it.
    epoch bigint NOT NULL DEFAULT 1 CHECK (epoch >= 1),
    change bigint NOT NULL,
    UNIQUE (namespace, name),
    CHECK ((owner_uid IS NULL) = (owner_created_at IS NULL)),
    CHECK ((opens_at IS NULL) = (closes_at IS NULL))
);

CREATE TABLE categories (
    event_id uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    name text NOT NULL,
    position integer NOT NULL,
    currency text NOT NULL CHECK (length(currency) = 3),
    price_minor bigint NOT NULL CHECK (price_minor >= 0),
    quantity bigint NOT NULL CHECK (quantity >= 0),
    PRIMARY KEY (event_id, name)
);

-- Which stock shards there are: what never changes of them, on the coordinator, so that listing an event's shards asks
-- no worker and a shard that is unknown can be told from one that is being moved.
CREATE TABLE shard_catalog (
    stock_shard_id bigint PRIMARY KEY CHECK (stock_shard_id BETWEEN 1 AND 9007199254740991),
    event_id uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    -- The n-th of its event, from 0.
    number integer NOT NULL CHECK (number >= 0),
    category text NOT NULL,
    partition integer NOT NULL CHECK (partition >= 0),
    UNIQUE (event_id, number),
    FOREIGN KEY (event_id, category) REFERENCES categories (event_id, name)
);

-- A part of a category's stock with its own counter. Law 1 stands in its CHECKs.
-- Every call updates its row twice: room in the page keeps these updates off the index.
CREATE TABLE stock_shards (
    stock_shard_id bigint PRIMARY KEY,
    event_id uuid NOT NULL,
    category text NOT NULL,
    partition integer NOT NULL,
    capacity bigint NOT NULL,
    available bigint NOT NULL CHECK (available >= 0),
    held bigint NOT NULL DEFAULT 0 CHECK (held >= 0),
    sold bigint NOT NULL DEFAULT 0 CHECK (sold >= 0),
    epoch bigint NOT NULL CHECK (epoch >= 1),
    -- Grows by one with every call of `apply_batch`.
    version bigint NOT NULL DEFAULT 0,
    CHECK (capacity = available + held + sold)
) WITH (fillfactor = 20);

-- The numbers of states and reasons are those of `ticket_core::machine`; a test holds them equal.
CREATE TABLE orders (
    order_id uuid NOT NULL,
    stock_shard_id bigint NOT NULL,
    -- Version of the stock shard in the call that changed the row last.
    version bigint NOT NULL,
    quantity integer NOT NULL CHECK (quantity > 0),
    amount_minor bigint NOT NULL CHECK (amount_minor >= 0),
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 9),
    reason smallint NOT NULL DEFAULT 0 CHECK (reason >= 0),
    -- Bit n is set when the order has been in state n.
    passed smallint NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- Set exactly while the payment is awaited.
    hold_expires_at timestamptz,
    buyer text NOT NULL,
    payment_provider text,
    payment_id text,
    payment_client_secret text,
    -- In this order: a plan that is cached while the table is tiny must still look up by order id. The other order of
    -- the two costs 15 times the rate (measured).
    PRIMARY KEY (order_id, stock_shard_id),
    CHECK ((hold_expires_at IS NOT NULL) = (state = 2))
) WITH (fillfactor = 80);

-- Due holds, oldest first. Its predicate does not name `state`, so that a change of state alone stays a heap-only update:
-- only the start and the end of a hold touch the index.
CREATE INDEX orders_holds ON orders (hold_expires_at) WHERE hold_expires_at IS NOT NULL;

-- Listing, seeding and audit: the orders of a shard by age. Neither column ever changes, and new rows arrive almost in
-- order, so it costs little. The predicate is always true; it keeps this index away from everything that does not ask
-- for it by name: a cached plan of `apply_batch` that reads a whole shard instead of one order would be ruinous.
CREATE INDEX orders_by_age ON orders (stock_shard_id, created_at, order_id) WHERE quantity > 0;

-- Which text of a function is installed, so that it is replaced only when it changes.
CREATE TABLE installed_functions (
    name text PRIMARY KEY,
    definition text NOT NULL
);
