-- The order machine as a table: `ticket_core::machine::next`, held equal by a test over all pairs.
--   1..9 move to that state     0 stay             -1 the hold lasts longer
--   -2   expire if due          -3 claim or refund  -4 illegal      -5 the flag is remembered
CREATE OR REPLACE FUNCTION order_next(p_state smallint, p_verb smallint) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (CASE p_state
        --                          ready proc. succ. fail. expire cancel refund settled void  flag
        WHEN 0 /* queued */    THEN '{ -4,  -4,  -4,  -4,   -4,    -4,    -4,    -4,     6,   -4 }'
        WHEN 1 /* reserved */  THEN '{  2,   2,   3,   7,    0,     9,    -4,    -4,     0,   -5 }'
        WHEN 2 /* awaiting */  THEN '{  0,  -1,   3,   7,   -2,     9,    -4,    -4,     0,   -5 }'
        WHEN 3 /* paid */      THEN '{  0,   0,   0,   0,    0,    -4,     4,     5,     0,   -5 }'
        WHEN 4 /* refunding */ THEN '{  0,   0,   0,   0,    0,    -4,     0,     5,     0,   -5 }'
        WHEN 5 /* refunded */  THEN '{  0,   0,   0,   0,    0,    -4,     0,     0,     0,   -5 }'
        WHEN 6 /* rejected */  THEN '{  0,   0,  -4,   0,    0,    -4,    -4,    -4,     0,   -4 }'
        WHEN 7 /* failed */    THEN '{  0,   0,  -3,   0,    0,    -4,    -4,    -4,     0,   -5 }'
        WHEN 8 /* expired */   THEN '{  0,   0,  -3,   0,    0,    -4,    -4,    -4,     0,   -5 }'
        WHEN 9 /* cancelled */ THEN '{  0,   0,   4,   0,    0,     0,    -4,    -4,     0,   -5 }'
    END::smallint[])[p_verb]
$$;
