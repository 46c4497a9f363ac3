-- The last audit of each event, and who is at the next one. All times are the database's. Stays on the coordinator, beside
-- `events`.
CREATE TABLE audits (
    event_id uuid PRIMARY KEY REFERENCES events ON DELETE CASCADE,
    -- Nobody else audits any event before that, unless the auditor gives it back.
    leased_until timestamptz,
    holder text,
    -- The end of the last audit; without one the event was never audited.
    audited_at timestamptz,
    -- Names of the checks that did not hold; empty = all did, or were skipped for a reason that is no fault.
    failed_checks text[] NOT NULL DEFAULT '{}'
);
