//! Lua does not roll back: a call with one bad argument must not have changed anything. Called by hand, because the
//! store's own types cannot spell most of these.

use std::collections::BTreeMap;

use redis::aio::MultiplexedConnection;
use ticket_core::Epoch;
use ticket_core::names::StockKeys;

use crate::fixture::{Sale, category, raw, wish};

type Contents = BTreeMap<String, BTreeMap<String, String>>;

async fn contents(connection: &mut MultiplexedConnection) -> Contents {
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("*")
        .query_async(connection)
        .await
        .unwrap();
    let mut contents = Contents::new();
    for key in keys {
        let fields = redis::cmd("HGETALL")
            .arg(&key)
            .query_async(connection)
            .await
            .unwrap();
        contents.insert(key, fields);
    }
    contents
}

/// Arguments of a good call, and for each position what must be refused there.
struct Call {
    function: &'static str,
    keys: Vec<String>,
    arguments: Vec<&'static str>,
}

const ORDER: &str = "00000000-0000-0000-0000-0000000000aa";
const NUMBERS: [&str; 8] = [
    "",
    "x",
    "-1",
    "1.5",
    "1e3",
    "01",
    "0x10",
    "9007199254740992",
];

fn calls(sale: &Sale) -> Vec<Call> {
    let keys = StockKeys::new(sale.event);
    let vip = keys.counts(&category("vip"));
    let four = vec![vip.clone(), keys.orders(), keys.pending(), keys.buyers()];
    let staged = [keys.staged("o:2"), keys.staged("b:2")];
    let mut seed = vec![
        keys.orders(),
        keys.pending(),
        keys.buyers(),
        keys.capacities(),
    ];
    seed.extend(staged.clone());
    seed.push(vip.clone());
    vec![
        Call {
            function: "st3_reserve",
            keys: four.clone(),
            arguments: vec!["1", ORDER, "2", "1", "2", "1700", "0", "ann"],
        },
        Call {
            function: "st3_release",
            keys: four.clone(),
            arguments: vec!["1", "1700", ORDER, "1", "2", "1", "ann"],
        },
        Call {
            function: "st3_claim",
            keys: four,
            arguments: vec!["1", "1700", ORDER, "1", "2", "3", "ann"],
        },
        Call {
            function: "st3_adjust",
            keys: vec![vip.clone(), keys.orders(), keys.capacities()],
            arguments: vec!["1", "1", "40", "1", "2", "70", "1"],
        },
        Call {
            function: "st3_settle",
            keys: vec![keys.orders(), keys.pending()],
            arguments: vec!["1", ORDER],
        },
        Call {
            function: "st3_stage",
            keys: staged.to_vec(),
            arguments: vec!["60", "R", ORDER, "vip", "1", "2", "1", "1700", "0", "ann"],
        },
        Call {
            function: "st3_disarm",
            keys: vec![keys.orders()],
            arguments: vec!["1"],
        },
        Call {
            function: "st3_seed",
            keys: seed,
            arguments: vec![
                "2", "4", "0", "2", "1", "50", "60", "0", "2", "50", "50", "7",
            ],
        },
    ]
}

async fn call(
    connection: &mut MultiplexedConnection,
    function: &str,
    keys: &[String],
    arguments: &[&str],
) -> Result<redis::Value, redis::RedisError> {
    let mut command = redis::cmd("FCALL");
    command
        .arg(function)
        .arg(keys.len())
        .arg(keys)
        .arg(arguments);
    command.query_async(connection).await
}

/// What no function takes at this position of a good call.
fn refused_instead_of(good: &str) -> Vec<&'static str> {
    match good {
        "ann" => vec![""],
        "vip" => vec!["", "VIP", "a|b"],
        "R" => vec!["", "X", "RV"],
        ORDER => vec!["", "e", "aa", "00000000-0000-0000-0000-00000000000|"],
        _ => NUMBERS.to_vec(),
    }
}

#[tokio::test]
async fn one_bad_argument_and_nothing_has_changed() {
    let sale = Sale::armed("arguments", &[(1, 50), (2, 50)]).await;
    sale.reserve(&wish(1)).await;
    let mut connection = raw(&sale.server).await;
    let before = contents(&mut connection).await;
    let mut tried = 0;
    for Call {
        function,
        keys,
        arguments,
    } in calls(&sale)
    {
        for (at, good) in arguments.iter().enumerate() {
            for bad in refused_instead_of(good) {
                let mut arguments = arguments.clone();
                arguments[at] = bad;
                let answer = call(&mut connection, function, &keys, &arguments).await;
                let error = answer.expect_err(&format!("{function} {arguments:?}"));
                assert_eq!(
                    error.code(),
                    Some("BADARG"),
                    "{function} {arguments:?}: {error}"
                );
                tried += 1;
            }
        }
        // One argument too few, one too many, one key too few.
        let (_, fewer) = arguments.split_last().unwrap();
        let more: Vec<&str> = arguments.iter().copied().chain(["1"]).collect();
        for arguments in [fewer, &more] {
            // A second order is no mistake for settle, except that this one is none.
            let answer = call(&mut connection, function, &keys, arguments).await;
            let error = answer.expect_err(&format!("{function} {arguments:?}"));
            assert_eq!(
                error.code(),
                Some("BADARG"),
                "{function} {arguments:?}: {error}"
            );
        }
        let answer = call(&mut connection, function, &keys[1..], &arguments).await;
        assert_eq!(
            answer.unwrap_err().code(),
            Some("BADARG"),
            "{function} without its first key"
        );
    }
    assert!(tried > 150, "{tried}");
    assert_eq!(contents(&mut connection).await, before);
    assert_eq!(sale.store.state(sale.event).await.unwrap(), Some(Epoch(1)));

    // And each of them is good without the mistake.
    for Call {
        function,
        keys,
        arguments,
    } in calls(&sale)
    {
        if function != "st3_seed" {
            call(&mut connection, function, &keys, &arguments)
                .await
                .unwrap();
        }
    }
}

#[tokio::test]
async fn a_quantity_of_zero_is_an_error_of_the_caller() {
    let sale = Sale::armed("zero", &[(1, 50)]).await;
    let nothing = wish(1).units(0);
    let nothing = crate::fixture::to_reserve(sale.event, &nothing);
    let error = sale.store.reserve(&nothing).await.unwrap_err();
    assert_eq!(error.class(), ticket_core::ErrorClass::Permanent);
    assert_eq!(sale.store.pending_count(sale.event).await.unwrap(), 0);
}
