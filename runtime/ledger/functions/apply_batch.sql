-- Applies what was taken from the order log for one stock shard, in one transaction on one node: first the places in
-- their order, then the commands. The caller has removed places that repeat an order within the batch, and has numbered
-- the commands of each order: the k-th command of an order is in round k. `c_until` is the end of the hold that a command
-- starts or lengthens (the sum of time and interval is STABLE, which Citus refuses in an UPDATE).
--
-- Everything is idempotent: a place that is known is answered with the row that is there, and the order machine ignores
-- what has been done. Called by autocommit only: inside BEGIN .. COMMIT Citus does not delegate it.
--
-- The answer is one row of arrays. `place_codes` is in the order of the places: 1 reserved, 2 rejected (no units),
-- 3 rejected (older epoch), 4 known. `row_*` are the rows, as they are after the call, of every known place and of every
-- order that a command was about.
CREATE OR REPLACE FUNCTION apply_batch(
    p_id bigint, p_now timestamptz,
    p_order uuid[], p_epoch bigint[], p_buyer text[], p_quantity integer[], p_amount bigint[], p_accepted timestamptz[],
    c_order uuid[], c_round smallint[], c_verb smallint[], c_at timestamptz[], c_until timestamptz[],
    c_reason smallint[], c_provider text[], c_payment text[], c_secret text[], c_buyer text[], c_quantity integer[]
) RETURNS TABLE (
    event_epoch bigint, shard_version bigint, capacity bigint, available bigint, held bigint, sold bigint,
    place_codes smallint[], illegal integer,
    row_order uuid[], row_version bigint[], row_state smallint[], row_reason smallint[], row_passed smallint[],
    row_buyer text[], row_quantity integer[], row_amount bigint[], row_created timestamptz[],
    row_updated timestamptz[], row_hold timestamptz[], row_provider text[], row_payment text[], row_secret text[],
    row_sold bigint[], row_returned bigint[]
) LANGUAGE plpgsql VOLATILE
-- A plan is cached while the tables are tiny. These keep it to look-ups by primary key for ever.
SET enable_seqscan TO off SET enable_hashjoin TO off SET enable_mergejoin TO off
AS $$
#variable_conflict use_column
DECLARE
    -- Units that are still there for whoever comes next in this call, and what the call moves in all.
    v_left bigint;
    v_held_delta bigint := 0;
    v_sold_delta bigint := 0;
    v_wanted bigint;
    v_known uuid[];      -- places that the ledger had before this call
    v_asked uuid[] := '{}';  -- orders whose row is part of the answer
    v_round_held bigint;
    v_round_sold bigint;
    v_round_size integer;
    -- One round's commands whose order is known, in log order, side by side.
    r_order uuid[]; r_from smallint[]; r_code smallint[]; r_to smallint[]; r_quantity integer[];
    r_until timestamptz[]; r_reason smallint[]; r_provider text[]; r_payment text[]; r_secret text[];
    v_voided uuid[];
    -- On Citus the part of `orders` that has this stock shard's rows.
    v_orders text;
BEGIN
    -- Serialise with a write, never with SELECT FOR UPDATE: only a write takes Citus' shard lock, so that a move or a
    -- split of the Citus shard waits for this transaction.
    UPDATE stock_shards s SET version = s.version + 1 WHERE s.stock_shard_id = p_id
        RETURNING s.epoch, s.version, s.capacity, s.available, s.held, s.sold
        INTO event_epoch, shard_version, capacity, available, held, sold;
    IF NOT FOUND THEN
        -- Never "sold out": the row may be on its way to another node. The caller asks the catalog before it gives up.
        RAISE EXCEPTION 'stock shard % is not here', p_id USING ERRCODE = 'serialization_failure';
    END IF;
    v_left := available;
    illegal := 0;
    -- Under the lock that the write has taken it stays here until the end. Rows are added to it by its own name: into the
    -- distributed table Citus would copy them, which locks every part of the table on every node's behalf. The writers of
    -- all stock shards would wait for the move of one, and with a thousand lanes a batch would take a third of a second.
    v_orders := orders_shard(p_id);
    IF v_orders IS NOT NULL THEN
        PERFORM set_config('citus.enable_manual_changes_to_shards', 'on', true);
    END IF;

    -- 1. Places. Orders are new as a rule, so they are written without looking first, which saves a third index look-up
    -- for each. Where the log repeats one, the primary key says so, the write is undone, and it is done again without
    -- what is known. What is read sees a snapshot that was taken under the lock.
    WHILE cardinality(p_order) > 0 LOOP
        v_left := available;
        v_held_delta := 0;
        IF v_known IS NULL AND event_epoch <= ALL (p_epoch) THEN
            -- The hot path: all are new and none is stale.
            v_wanted := (SELECT sum(u.q) FROM unnest(p_quantity) AS u(q));
            IF v_wanted <= v_left THEN
                place_codes := array_fill(1::smallint, ARRAY[cardinality(p_order)]);
                v_left := v_left - v_wanted;
                v_held_delta := v_wanted;
            ELSIF v_left = 0 THEN
                place_codes := array_fill(2::smallint, ARRAY[cardinality(p_order)]);
            ELSE
                place_codes := array_fill(0::smallint, ARRAY[cardinality(p_order)]);
            END IF;
        ELSE
            -- A reservation of an older epoch is void: the warm-up has counted without it. One of a newer epoch than
            -- the row's is accepted. It cannot come by the log, whose marker lies before it; it comes after the ledger
            -- was restored to an older state. Refusing it would give up an order that stock store and ledger agree on,
            -- waiting for the marker would block the partition before it, and law 1 holds either way.
            place_codes := (SELECT array_agg(
                    CASE WHEN u.id IN (SELECT unnest(v_known)) THEN 4 WHEN u.epoch < event_epoch THEN 3 ELSE 0
                    END::smallint)
                FROM unnest(p_order, p_epoch) AS u(id, epoch));
        END IF;
        IF 0 = ANY (place_codes) THEN
            -- First come, first served; an order that does not fit is rejected, a later smaller one may still fit.
            FOR i IN 1 .. cardinality(p_order) LOOP
                IF place_codes[i] = 0 THEN
                    IF p_quantity[i] <= v_left THEN
                        place_codes[i] := 1;
                        v_left := v_left - p_quantity[i];
                        v_held_delta := v_held_delta + p_quantity[i];
                    ELSE
                        place_codes[i] := 2;
                    END IF;
                END IF;
            END LOOP;
        END IF;
        BEGIN
            -- The same twice: where the table's name is known its plan is kept.
            IF v_orders IS NULL THEN
                INSERT INTO orders (order_id, stock_shard_id, version, quantity, amount_minor, state, reason, passed,
                                    created_at, updated_at, buyer)
                    SELECT u.id, p_id, shard_version, u.quantity, u.amount,
                           CASE u.code WHEN 1 THEN 1 ELSE 6 END, u.code - 1,
                           CASE u.code WHEN 1 THEN 1 << 1 ELSE 1 << 6 END, u.accepted, p_now, u.buyer
                    FROM unnest(p_order, p_buyer, p_quantity, p_amount, p_accepted, place_codes)
                        AS u(id, buyer, quantity, amount, accepted, code)
                    WHERE u.code < 4;
            ELSE
                EXECUTE 'INSERT INTO ' || v_orders || ' (order_id, stock_shard_id, version, quantity, amount_minor, state,
                                    reason, passed, created_at, updated_at, buyer)
                    SELECT u.id, $1, $2, u.quantity, u.amount,
                           CASE u.code WHEN 1 THEN 1 ELSE 6 END, u.code - 1,
                           CASE u.code WHEN 1 THEN 1 << 1 ELSE 1 << 6 END, u.accepted, $3, u.buyer
                    FROM unnest($4, $5, $6, $7, $8, $9)
                        AS u(id, buyer, quantity, amount, accepted, code)
                    WHERE u.code < 4'
                    USING p_id, shard_version, p_now,
                          p_order, p_buyer, p_quantity, p_amount, p_accepted, place_codes;
            END IF;
            EXIT;
        EXCEPTION WHEN unique_violation THEN
            -- Under the lock nobody adds orders of this stock shard meanwhile: the second time nothing is in the way.
            IF v_known IS NOT NULL THEN
                RAISE;
            END IF;
            SELECT coalesce(array_agg(o.order_id), '{}') INTO v_known FROM orders o
                WHERE o.stock_shard_id = p_id AND o.order_id = ANY (p_order);
            v_asked := v_known;
        END;
    END LOOP;

    -- 2. Commands, round by round; one round is the rule.
    FOR v_round IN 1 .. coalesce((SELECT max(u.r) FROM unnest(c_round) AS u(r)), 0) LOOP
        SELECT array_agg(o.order_id ORDER BY c.ord), array_agg(o.state ORDER BY c.ord),
               array_agg(order_next(o.state, c.verb) ORDER BY c.ord),
               array_agg((CASE
                   WHEN order_next(o.state, c.verb) > 0 THEN order_next(o.state, c.verb)
                   WHEN order_next(o.state, c.verb) = -2 AND o.hold_expires_at <= c.at THEN 8
                   ELSE o.state END)::smallint ORDER BY c.ord),
               array_agg(o.quantity ORDER BY c.ord), array_agg(c.until ORDER BY c.ord),
               array_agg(c.reason ORDER BY c.ord), array_agg(c.provider ORDER BY c.ord),
               array_agg(c.payment ORDER BY c.ord), array_agg(c.secret ORDER BY c.ord)
            INTO r_order, r_from, r_code, r_to, r_quantity, r_until, r_reason, r_provider, r_payment, r_secret
            FROM unnest(c_order, c_round, c_verb, c_at, c_until, c_reason, c_provider, c_payment, c_secret)
                WITH ORDINALITY AS c(id, round, verb, at, until, reason, provider, payment, secret, ord)
            JOIN orders o ON o.order_id = c.id AND o.stock_shard_id = p_id
            WHERE c.round = v_round;
        SELECT count(*) INTO v_round_size FROM unnest(c_round) AS u(r) WHERE u.r = v_round;

        IF cardinality(r_order) > 0 THEN
            SELECT sum(u.q * ((u.t IN (1, 2))::int - (u.f IN (1, 2))::int)), sum(u.q * ((u.t = 3)::int - (u.f = 3)::int))
                INTO v_round_held, v_round_sold FROM unnest(r_quantity, r_from, r_to) AS u(q, f, t);
            v_left := v_left - v_round_held - v_round_sold;
            IF -3 = ANY (r_code) THEN
                -- Money after the end of the hold: it claims units again while there are any, in log order. What the
                -- round gave back is there already.
                FOR i IN 1 .. cardinality(r_order) LOOP
                    IF r_code[i] = -3 AND r_quantity[i] <= v_left THEN
                        r_to[i] := 3;
                        v_left := v_left - r_quantity[i];
                        v_round_sold := v_round_sold + r_quantity[i];
                    ELSIF r_code[i] = -3 THEN
                        r_to[i] := 4;
                        r_reason[i] := 9;
                    END IF;
                END LOOP;
            END IF;
            v_held_delta := v_held_delta + v_round_held;
            v_sold_delta := v_sold_delta + v_round_sold;
            -- Besides a change of state, three things change a row: a hold that gets longer, a flag, and the payment's details
            -- when the provider's own news overtook them (a refund will need them).
            UPDATE orders o SET
                state = u.t,
                reason = CASE
                    WHEN u.t = o.state THEN o.reason
                    WHEN u.t IN (2, 3) THEN 0
                    -- Refunded without our asking: at the provider's own dashboard.
                    WHEN u.t = 5 THEN CASE o.state WHEN 3 THEN 10 ELSE o.reason END
                    -- Money for an order that was cancelled.
                    WHEN u.t = 4 AND o.state = 9 THEN 9
                    ELSE u.reason END,
                -- The reason of a flag is its number. Its bit: `ticket_core::machine::Flag`.
                passed = (o.passed | (1 << u.t) | CASE WHEN u.code = -5 THEN 1 << (15 - u.reason) ELSE 0 END)::smallint,
                hold_expires_at = CASE
                    WHEN u.t <> 2 THEN NULL
                    -- Never shorter; GREATEST ignores a hold that has not begun.
                    WHEN u.code = -1 OR o.state = 1 THEN greatest(o.hold_expires_at, u.until)
                    ELSE o.hold_expires_at END,
                payment_provider = CASE WHEN o.payment_id IS NULL THEN u.provider ELSE o.payment_provider END,
                payment_client_secret = CASE WHEN o.payment_id IS NULL THEN u.secret ELSE o.payment_client_secret END,
                payment_id = coalesce(o.payment_id, u.payment),
                sold_version = CASE WHEN u.t = 3 AND o.state <> 3 THEN shard_version ELSE o.sold_version END,
                returned_version = CASE WHEN u.t <> 3 AND o.state = 3 THEN shard_version ELSE o.returned_version END,
                -- That a payment is closed (flag 3) is for our own books: nobody is told, so nobody must take it for news.
                version = CASE WHEN u.code = -5 AND u.reason = 3 THEN o.version ELSE shard_version END,
                -- A flag leaves the time of the state that the order is in.
                updated_at = CASE WHEN u.code = -5 THEN o.updated_at ELSE p_now END
            FROM unnest(r_order, r_to, r_code, r_until, r_reason, r_provider, r_payment, r_secret)
                AS u(id, t, code, until, reason, provider, payment, secret)
            WHERE o.order_id = u.id AND o.stock_shard_id = p_id
              AND (u.t <> o.state
                   OR u.code = -1 AND u.until > o.hold_expires_at
                   OR u.code = -5 AND o.passed & (1 << (15 - u.reason)) = 0
                   OR u.payment IS NOT NULL AND o.payment_id IS NULL);
            v_asked := v_asked || r_order;
            illegal := illegal + (SELECT count(*) FROM unnest(r_code) AS u(c) WHERE u.c = -4);
        END IF;

        IF coalesce(cardinality(r_order), 0) < v_round_size THEN
            -- Unknown orders. A void closes the door before a late place; anything else has nothing to act on.
            SELECT array_agg(u.id) INTO v_voided
                FROM unnest(c_order, c_round, c_verb) AS u(id, round, verb)
                WHERE u.round = v_round AND u.verb = 9 AND (u.id IN (SELECT unnest(r_order))) IS NOT TRUE;
            illegal := illegal + v_round_size - coalesce(cardinality(r_order), 0) - coalesce(cardinality(v_voided), 0);
            IF v_voided IS NOT NULL THEN
                EXECUTE 'INSERT INTO ' || coalesce(v_orders, 'orders') || ' (order_id, stock_shard_id, version, quantity,
                                    amount_minor, state, reason, passed, created_at, updated_at, buyer)
                    SELECT u.id, $1, $2, u.quantity, 0, 6, 3, 1 << 6, u.at, $3, u.buyer
                    FROM unnest($4, $5, $6, $7, $8) AS u(id, round, at, buyer, quantity)
                    WHERE u.round = $9 AND u.id = ANY ($10)'
                    USING p_id, shard_version, p_now,
                          c_order, c_round, c_at, c_buyer, c_quantity, v_round, v_voided;
                v_asked := v_asked || v_voided;
            END IF;
        END IF;
    END LOOP;

    -- 3. The counters, relative, with the CHECKs of law 1 behind them.
    IF v_held_delta <> 0 OR v_sold_delta <> 0 THEN
        UPDATE stock_shards s SET
                available = s.available - v_held_delta - v_sold_delta,
                held = s.held + v_held_delta,
                sold = s.sold + v_sold_delta
            WHERE s.stock_shard_id = p_id
            RETURNING s.available, s.held, s.sold INTO available, held, sold;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'stock shard % vanished', p_id USING ERRCODE = 'serialization_failure';
        END IF;
    END IF;

    -- 4. The rows that were asked about, as they are now.
    IF cardinality(v_asked) > 0 THEN
        SELECT array_agg(o.order_id), array_agg(o.version), array_agg(o.state), array_agg(o.reason),
               array_agg(o.passed), array_agg(o.buyer), array_agg(o.quantity), array_agg(o.amount_minor),
               array_agg(o.created_at), array_agg(o.updated_at), array_agg(o.hold_expires_at),
               array_agg(o.payment_provider), array_agg(o.payment_id), array_agg(o.payment_client_secret),
               array_agg(o.sold_version), array_agg(o.returned_version)
            INTO row_order, row_version, row_state, row_reason, row_passed, row_buyer, row_quantity, row_amount,
                 row_created, row_updated, row_hold, row_provider, row_payment, row_secret, row_sold, row_returned
            FROM orders o WHERE o.stock_shard_id = p_id AND o.order_id = ANY (v_asked);
    END IF;
    RETURN NEXT;
END $$;
