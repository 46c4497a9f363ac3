-- The warm-up lock of an event, and what became of it: one row for each epoch after the first. Taking the lock raises the
-- event's epoch in the same transaction, so that lock and fence are one thing. All times are the database's: the clock of
-- a holder decides nothing. Stays on the coordinator, beside `events`.
CREATE TABLE warmups (
    event_id uuid NOT NULL REFERENCES events ON DELETE CASCADE,
    epoch bigint NOT NULL CHECK (epoch > 1),
    -- 1 a run that refills the stock store, 2 somebody holds the sale.
    kind smallint NOT NULL CHECK (kind IN (1, 2)),
    holder text NOT NULL,
    reason text,
    acquired_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- Nobody may act by this lock any more, and another may take it.
    expires_at timestamptz NOT NULL,
    finished_at timestamptz,
    -- `armed` means that the stock store was filled at this epoch and nothing is missing in it.
    result text,
    PRIMARY KEY (event_id, epoch),
    CHECK ((finished_at IS NULL) = (result IS NULL))
);

-- At most one lock for each event.
CREATE UNIQUE INDEX warmups_live ON warmups (event_id) WHERE finished_at IS NULL;
