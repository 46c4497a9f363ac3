-- Moves a stock shard to the epoch of a warm-up, never back. The answer is the epoch that it is at.
-- Called by autocommit only: inside BEGIN .. COMMIT Citus does not delegate it.
CREATE OR REPLACE FUNCTION mark_stock(p_id bigint, p_epoch bigint) RETURNS bigint LANGUAGE plpgsql VOLATILE
SET enable_seqscan TO off
AS $$
DECLARE
    v_epoch bigint;
BEGIN
    -- A write, also when it changes nothing: it waits for whoever decides on this stock shard, also while its Citus shard
    -- moves. The version stays: no fact tells of a marker.
    UPDATE stock_shards s SET epoch = greatest(s.epoch, p_epoch) WHERE s.stock_shard_id = p_id
        RETURNING s.epoch INTO v_epoch;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'stock shard % is not here', p_id USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN v_epoch;
END $$;
