//! The SQL table of the order machine is `ticket_core::machine::next`.

use ticket_core::State;
use ticket_core::machine::{Next, Verb, next};

use crate::fixture::{TestLedger, on_both};

on_both!(the_sql_table_is_the_order_machine);

async fn the_sql_table_is_the_order_machine(db: TestLedger) {
    let mut sql = db.sql().await;
    for state in State::ALL {
        for verb in Verb::ALL {
            let code: i16 = sqlx::query_scalar("SELECT order_next($1, $2)")
                .bind(state.number())
                .bind(verb.number())
                .fetch_one(&mut sql)
                .await
                .unwrap();
            let expected = match next(state, verb) {
                Next::Move(to) => to.number(),
                Next::Stay => 0,
                Next::Extend => -1,
                Next::ExpireIfDue => -2,
                Next::ClaimOrRefund => -3,
                Next::Illegal => -4,
                Next::Mark => -5,
            };
            assert_eq!(code, expected, "{state} {verb:?}");
        }
    }
}
