//! A migrated database of one's own on either kind of server, a written event, and short words for commands.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use sqlx::{Connection, PgConnection};
use ticket_core::{
    Action, BuyerId, CategoryName, Currency, Epoch, EventId, EventName, Money, OrderCommand,
    OrderId, OrderRef, Payment, Place, StockShardId, StockSource,
};
use ticket_ledger::{
    Adopted, CategoryRow, EventClaim, EventRow, Ledger, LedgerConfig, NewStockShard, ShardBatch,
};
use ticket_testkit::{Citus, PostgresServer, StartOptions};
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

pub(crate) const HOLD_FOR_S: u32 = 600;
pub(crate) const PROCESSING_FOR_S: u32 = 86_400;

/// A kind of server. Each test names the one that it wants.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    /// `PostgreSQL` without extensions, started for this test binary.
    Plain,
    /// What the tests share, if that has Citus.
    Citus,
}

/// Makes one test for each kind of server out of `async fn name(ledger: TestLedger)`: on a database that tests share, each
/// with an event of its own, or with `alone:` on a new one.
macro_rules! on_both {
    (alone: $($name:ident),+ $(,)?) => { crate::fixture::on_both!(@alone $($name),+); };
    ($($name:ident),+ $(,)?) => { crate::fixture::on_both!(@together $($name),+); };
    (@$how:ident $($name:ident),+) => {
        mod plain {$(
            #[tokio::test]
            async fn $name() {
                let kind = crate::fixture::Kind::Plain;
                let ledger = crate::fixture::TestLedger::$how(kind).await;
                super::$name(ledger.unwrap()).await;
            }
        )+}
        mod citus {$(
            #[tokio::test]
            async fn $name() {
                let kind = crate::fixture::Kind::Citus;
                match crate::fixture::TestLedger::$how(kind).await {
                    Some(ledger) => super::$name(ledger).await,
                    None => eprintln!("skipped: this PostgreSQL has no Citus"),
                }
            }
        )+}
    };
}
pub(crate) use on_both;

/// A migrated database.
pub(crate) struct TestLedger {
    pub(crate) ledger: Ledger,
    pub(crate) url: String,
}

impl TestLedger {
    /// On a database that nobody else uses.
    pub(crate) async fn alone(kind: Kind) -> Option<Self> {
        Some(Self::on(migrated(kind).await?))
    }

    /// On the database that the tests of this binary share: on Citus a new one takes seconds.
    pub(crate) async fn together(kind: Kind) -> Option<Self> {
        static PLAIN: OnceCell<Option<String>> = OnceCell::const_new();
        static CITUS: OnceCell<Option<String>> = OnceCell::const_new();
        let database = match kind {
            Kind::Plain => &PLAIN,
            Kind::Citus => &CITUS,
        };
        let url = database.get_or_init(|| migrated(kind)).await;
        url.clone().map(Self::on)
    }

    // A pool belongs to the runtime of one test, so each has its own.
    pub(crate) fn on(url: String) -> Self {
        Self {
            ledger: connect(&url),
            url,
        }
    }

    /// A connection past the library.
    pub(crate) async fn sql(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// An event `name` with category `vip`, owned and written.
    pub(crate) async fn event(&self, name: &str) -> EventRow {
        let claim = claim(name, "uid-1", 1);
        let Adopted::Owned { event, .. } = self.ledger.adopt_event(&claim).await.unwrap() else {
            panic!("{name} is somebody else's");
        };
        // Orders of tests are small numbers, and an order's id begins with its event's.
        let event: Uuid = sqlx::query_scalar(
            "UPDATE events SET event_id = ('00000000' || substr(event_id::text, 9))::uuid \
             WHERE event_id = $1 RETURNING event_id",
        )
        .bind(event.0)
        .fetch_one(&mut self.sql().await)
        .await
        .unwrap();
        let row = event_row(EventId(event), &claim.name);
        self.ledger.write_event(&row).await.unwrap();
        row
    }

    /// A stock shard of `vip` of a new event.
    pub(crate) async fn shard(&self, capacity: u32) -> (EventId, StockShardId) {
        let event = self.event(&ticket_testkit::unique("sale")).await.id;
        (event, self.more_stock(event, capacity).await)
    }

    /// One more stock shard of `vip`.
    pub(crate) async fn more_stock(&self, event: EventId, capacity: u32) -> StockShardId {
        let id = self.ledger.allocate_shard_ids(1).await.unwrap()[0];
        let seen = self.ledger.stock(event).await.unwrap().len();
        let shard = NewStockShard {
            id,
            category: vip(),
            partition: 0,
            capacity,
        };
        self.ledger
            .create_stock_shards(event, seen, &[shard])
            .await
            .unwrap();
        id
    }
}

async fn migrated(kind: Kind) -> Option<String> {
    let url = new_database(kind).await?;
    connect(&url).migrate().await.unwrap();
    Some(url)
}

/// A database on a server of this kind; `None` if there is none.
pub(crate) async fn new_database(kind: Kind) -> Option<String> {
    match kind {
        Kind::Plain => {
            static PLAIN: OnceCell<PostgresServer> = OnceCell::const_new();
            let start = || async {
                let options = StartOptions::own("ledger-plain").unwrap();
                PostgresServer::start_with(options, Vec::new(), Citus::Never)
                    .await
                    .unwrap()
            };
            let server = PLAIN.get_or_init(start).await;
            let name = format!("test_{}", Uuid::new_v4().simple());
            Some(server.create_database(&name).await.unwrap())
        }
        Kind::Citus => {
            // Adding nodes writes catalogs that all databases share: one at a time.
            static ONE: Mutex<()> = Mutex::const_new(());
            let _one = ONE.lock().await;
            let url = ticket_testkit::shared().await.new_database().await.unwrap();
            let mut sql = PgConnection::connect(&url).await.unwrap();
            let has_citus: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')",
            )
            .fetch_one(&mut sql)
            .await
            .unwrap();
            has_citus.then_some(url)
        }
    }
}

pub(crate) fn connect(url: &str) -> Ledger {
    connect_as(url, "test")
}

pub(crate) fn connect_as(url: &str, application_name: &str) -> Ledger {
    let config = LedgerConfig {
        application_name: application_name.to_owned(),
        connections_max: 4,
        ..LedgerConfig::new(&SecretString::from(url))
    };
    Ledger::connect(&config).unwrap()
}

pub(crate) fn vip() -> CategoryName {
    CategoryName::new("vip").unwrap()
}

pub(crate) fn event_name(name: &str) -> EventName {
    EventName::new("default", name).unwrap()
}

pub(crate) fn claim(name: &str, uid: &str, age: i64) -> EventClaim {
    EventClaim {
        name: event_name(name),
        owner_uid: uid.to_owned(),
        owner_created_at: second(age),
    }
}

pub(crate) fn event_row(id: EventId, name: &EventName) -> EventRow {
    let currency = Currency::new("IDR").unwrap();
    EventRow {
        id,
        name: name.clone(),
        owner_uid: Some("uid-1".to_owned()),
        title: "A sale".to_owned(),
        topic: format!("orders.{name}"),
        partitions: 4,
        opens_at: second(0),
        closes_at: second(1_000_000),
        paused: false,
        is_open: false,
        is_closed: false,
        hold_for_s: HOLD_FOR_S,
        processing_for_s: PROCESSING_FOR_S,
        max_per_buyer: 4,
        admission_per_second: 0,
        stock_source: StockSource::Spec,
        epoch: Epoch::FIRST,
        change: 0,
        categories: vec![CategoryRow {
            name: vip(),
            price: Money {
                currency,
                amount_minor: 250,
            },
            quantity: 1_000,
        }],
        shards: Vec::new(),
    }
}

/// A moment in the life of a test: seconds since a fixed one.
pub(crate) fn second(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub(crate) fn seconds(count: u32) -> SignedDuration {
    SignedDuration::from_secs(i64::from(count))
}

pub(crate) fn order(number: u128) -> OrderId {
    OrderId(Uuid::from_u128(number))
}

pub(crate) fn reference(shard: StockShardId, number: u128) -> OrderRef {
    OrderRef {
        order: order(number),
        shard,
    }
}

pub(crate) fn buyer(number: u128) -> BuyerId {
    BuyerId::new(format!("auth0|{number}")).unwrap()
}

pub(crate) fn place(shard: StockShardId, number: u128, quantity: u32) -> Place {
    Place {
        order: order(number),
        shard,
        epoch: Epoch::FIRST,
        buyer: buyer(number),
        quantity,
        amount_minor: 250 * i64::from(quantity),
        accepted_at: second(i64::try_from(number % 1_000).unwrap()),
    }
}

pub(crate) fn command(shard: StockShardId, number: u128, at: i64, action: Action) -> OrderCommand {
    OrderCommand {
        order: order(number),
        shard,
        at: second(at),
        action,
    }
}

pub(crate) fn payment_ready(number: u128) -> Action {
    let payment = Payment {
        provider: "stripe".to_owned(),
        id: format!("pi_{number}"),
        client_secret: format!("pi_{number}_secret"),
    };
    Action::PaymentReady { payment }
}

pub(crate) fn batch(
    shard: StockShardId,
    places: Vec<Place>,
    commands: Vec<OrderCommand>,
) -> ShardBatch {
    ShardBatch {
        shard,
        places,
        commands,
        hold_for_s: HOLD_FOR_S,
        processing_for_s: PROCESSING_FOR_S,
        now: second(100),
    }
}

/// The state of every order of an event, by its number.
pub(crate) async fn states(ledger: &Ledger, event: EventId) -> HashMap<u128, &'static str> {
    let orders = ledger.event_orders(event, None, 5_000).await.unwrap();
    orders
        .iter()
        .map(|(at, record)| (at.order.0.as_u128(), record.state.as_str()))
        .collect()
}
