-- The name of the Citus shard of `orders` that has the rows of one stock shard, if it is on this node; NULL elsewhere, and where
-- tables are not distributed. It stays true while the caller's transaction holds Citus' lock of the stock shard, which any write
-- to the stock shard's row takes, and which both tables' shards of one hash range have in common.
--
-- Placement and node are read from the catalog and not from Citus' cache, so that a shard that has just moved is not here.
CREATE OR REPLACE FUNCTION orders_shard(p_id bigint) RETURNS text LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    v_shard bigint;
BEGIN
    IF to_regclass('pg_catalog.pg_dist_partition') IS NULL THEN
        RETURN NULL;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_dist_partition d WHERE d.logicalrelid = 'orders'::regclass) THEN
        RETURN NULL;
    END IF;
    v_shard := get_shard_id_for_distribution_column('orders', p_id);
    RETURN (SELECT 'orders'::regclass || '_' || p.shardid
        FROM pg_dist_placement p JOIN pg_dist_local_group g USING (groupid) WHERE p.shardid = v_shard);
END $$;
