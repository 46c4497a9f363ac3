-- Who says how many tickets there are: `ticket_core::StockSource`.
ALTER TABLE events ADD COLUMN stock_source smallint NOT NULL DEFAULT 1 CHECK (stock_source IN (1, 2));

-- The newest adjustment that the stock shard has met; 0 = none.
ALTER TABLE stock_shards ADD COLUMN adjustment bigint NOT NULL DEFAULT 0;

-- Capacity at birth: where running totals start from, whenever they are made.
ALTER TABLE shard_catalog ADD COLUMN born_with bigint NOT NULL DEFAULT 0;
UPDATE shard_catalog c SET born_with = s.capacity FROM stock_shards s WHERE s.stock_shard_id = c.stock_shard_id;

-- Version of the stock shard when the order's units were sold and when they came back. An order does each at most once.
-- So a reader of facts that has seen all up to some version knows what is news to it, also when facts were lost in between.
ALTER TABLE orders ADD COLUMN sold_version bigint, ADD COLUMN returned_version bigint;

-- What the stock of a category shall be: the newest adjustment and how far it is. Targets are written down before the
-- first command is sent, so that whoever continues after a crash sends the very same commands.
CREATE TABLE adjustments (
    event_id uuid NOT NULL,
    category text NOT NULL,
    -- Grows by one with every new set of targets.
    adjustment bigint NOT NULL CHECK (adjustment >= 1),
    wanted bigint NOT NULL CHECK (wanted >= 0),
    stock_shard_ids bigint[] NOT NULL,
    targets bigint[] NOT NULL,
    -- Who asked last; each source counts its own versions.
    source smallint NOT NULL CHECK (source IN (1, 2)),
    spec_version bigint,
    reseller_version bigint,
    -- The reseller's own id of its message.
    reseller_event text,
    is_done boolean NOT NULL DEFAULT false,
    PRIMARY KEY (event_id, category),
    FOREIGN KEY (event_id, category) REFERENCES categories ON DELETE CASCADE
);

-- The state that `stock-changes` is continued from: per category the last sequence number, and per stock shard what was
-- counted last.
CREATE TABLE stock_feeds (
    event_id uuid NOT NULL,
    category text NOT NULL,
    sequence bigint NOT NULL CHECK (sequence >= 0),
    -- Sum of the versions: grows with everything that is counted, so that an older state never replaces a newer one.
    position bigint NOT NULL,
    stock_shard_ids bigint[] NOT NULL,
    versions bigint[] NOT NULL,
    capacity bigint[] NOT NULL,
    available bigint[] NOT NULL,
    held bigint[] NOT NULL,
    sold bigint[] NOT NULL,
    PRIMARY KEY (event_id, category),
    FOREIGN KEY (event_id, category) REFERENCES categories ON DELETE CASCADE
);

-- It answers with two more columns, which needs a new function. Programs that do not know them go on working.
DROP FUNCTION IF EXISTS apply_batch(bigint, timestamptz, uuid[], bigint[], text[], integer[], bigint[], timestamptz[],
    uuid[], smallint[], smallint[], timestamptz[], timestamptz[], smallint[], text[], text[], text[], text[], integer[]);
