-- Takes the warm-up lock of an event and raises its epoch. One call, because one writer of events is let in at a time: with a
-- round trip for each statement a thousand events that lost their stock store together would wait for each other's network.
-- Answers `unknown`, `closed`, `newer`, `held` or `taken`; the epoch is the event's, the other columns are those of the lock.
CREATE OR REPLACE FUNCTION lock_warmup(
    p_event uuid, p_seen bigint, p_kind smallint, p_holder text, p_reason text, p_lasts interval, p_kept bigint
) RETURNS TABLE (answer text, event_epoch bigint, lock_kind smallint, lock_holder text, lock_reason text,
                 lock_acquired_at timestamptz, lock_expires_at timestamptz) LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_change bigint;
    v_closed boolean;
    v_lock_epoch bigint;
BEGIN
    -- Twice: keepers race for every cold event, and the slower ones shall find out without writing.
    FOR v_round IN 1..2 LOOP
        SELECT e.epoch, e.is_closed INTO event_epoch, v_closed FROM events e
            WHERE e.event_id = p_event AND e.opens_at IS NOT NULL;
        answer := CASE WHEN NOT FOUND THEN 'unknown' WHEN v_closed THEN 'closed'
                       WHEN event_epoch <> p_seen THEN 'newer' END;
        IF answer IS NULL THEN
            SELECT w.epoch, w.kind, w.holder, w.reason, w.acquired_at, w.expires_at
                INTO v_lock_epoch, lock_kind, lock_holder, lock_reason, lock_acquired_at, lock_expires_at FROM warmups w
                WHERE w.event_id = p_event AND w.finished_at IS NULL AND w.expires_at > clock_timestamp();
            IF FOUND THEN
                answer := 'held';
                event_epoch := v_lock_epoch;
            END IF;
        END IF;
        IF answer IS NULL AND v_round = 1 THEN
            -- Lets one writer in at a time: what the second round reads does not change before the commit.
            UPDATE event_changes SET last_change = last_change + 1 RETURNING last_change INTO v_change;
        END IF;
        EXIT WHEN answer IS NOT NULL;
    END LOOP;
    IF answer IS NULL THEN
        answer := 'taken';
        UPDATE warmups SET finished_at = clock_timestamp(), result = 'expired'
            WHERE event_id = p_event AND finished_at IS NULL AND expires_at <= clock_timestamp();
        UPDATE events SET epoch = epoch + 1, change = v_change WHERE event_id = p_event RETURNING epoch INTO event_epoch;
        -- An outage may begin a run every few seconds.
        DELETE FROM warmups WHERE event_id = p_event AND epoch <= event_epoch - p_kept;
        INSERT INTO warmups (event_id, epoch, kind, holder, reason, expires_at)
            VALUES (p_event, event_epoch, p_kind, p_holder, p_reason, clock_timestamp() + p_lasts)
            RETURNING kind, holder, reason, acquired_at, expires_at
            INTO lock_kind, lock_holder, lock_reason, lock_acquired_at, lock_expires_at;
    END IF;
    RETURN NEXT;
END $$;
