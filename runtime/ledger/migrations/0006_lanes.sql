-- The pool of lanes: stock shard ids that have a Citus shard of their own, or will have one after the next split. A lane is
-- its hash: the id changes with every lease, the Citus shard stays. Citus has no merge, so lanes are leased again, never
-- thrown away. Stays on the coordinator, and stays empty on plain PostgreSQL.
CREATE TABLE lanes (
    stock_shard_id bigint PRIMARY KEY CHECK (stock_shard_id BETWEEN 1 AND 9007199254740991),
    -- Who leases it; empty while it is free. No foreign key: the lease of an event that is gone counts as none.
    event_id uuid,
    -- The n-th of its event, from 0.
    number integer CHECK (number >= 0),
    leased_at timestamptz,
    UNIQUE (event_id, number),
    CHECK ((event_id IS NULL) = (number IS NULL) AND (event_id IS NULL) = (leased_at IS NULL))
);
