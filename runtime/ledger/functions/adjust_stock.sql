-- Gives a stock shard `p_capacity` units, but never fewer than are held and sold. An adjustment that it has met, or an
-- older one, changes nothing; the answer is the row as it is, so that a fact that was lost is told again.
-- Called by autocommit only: inside BEGIN .. COMMIT Citus does not delegate it.
CREATE OR REPLACE FUNCTION adjust_stock(p_id bigint, p_adjustment bigint, p_capacity bigint) RETURNS TABLE (
    event_epoch bigint, shard_version bigint, capacity bigint, available bigint, held bigint, sold bigint,
    adjustment bigint
) LANGUAGE plpgsql VOLATILE
SET enable_seqscan TO off
AS $$
#variable_conflict use_column
BEGIN
    -- One statement that only looks at its own row: what it reads is what it locks, also while the Citus shard moves.
    UPDATE stock_shards s SET
            version = s.version + (s.adjustment < p_adjustment)::int,
            capacity = CASE WHEN s.adjustment < p_adjustment
                THEN greatest(p_capacity, s.held + s.sold) ELSE s.capacity END,
            available = CASE WHEN s.adjustment < p_adjustment
                THEN greatest(p_capacity - s.held - s.sold, 0) ELSE s.available END,
            adjustment = greatest(s.adjustment, p_adjustment)
        WHERE s.stock_shard_id = p_id
        RETURNING s.epoch, s.version, s.capacity, s.available, s.held, s.sold, s.adjustment
        INTO event_epoch, shard_version, capacity, available, held, sold, adjustment;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stock shard % is not here', p_id USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NEXT;
END $$;
