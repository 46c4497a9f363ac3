//! A reference reseller: an outside program with books of its own in a database of its own. It sells the platform's tickets
//! elsewhere, so it says how many the platform may sell, and it writes down what the platform says it sold.
//!
//! It knows the contract's messages and nothing else of the platform, and it trusts nobody: every message is counted once by
//! its id or number, none may be missing, and the totals in it must be those of its own books.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde::Deserialize;
use serde_json::json;
use sqlx::postgres::PgPool;
use sqlx::{Connection as _, PgConnection};

use crate::error::{Result, TestkitError};

/// How long the broker may take to take a message.
const SEND_LIMIT: Duration = Duration::from_secs(10);

/// How long one question to the broker may take.
const ASK_LIMIT: Duration = Duration::from_secs(5);

const TYPE_OUT: &str = "io.reseller.stock.changed.v1";
const TYPE_CHANGED: &str = "io.ticketctl.stock.changed.v1";
const TYPE_ADJUSTMENT: &str = "io.ticketctl.stock.adjustment.v1";

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS stock (
        event text, category text, quantity bigint NOT NULL, version bigint NOT NULL,
        PRIMARY KEY (event, category));
    CREATE TABLE IF NOT EXISTS book (
        event text, category text, capacity bigint NOT NULL, sold bigint NOT NULL DEFAULT 0,
        sequence bigint NOT NULL DEFAULT 0, PRIMARY KEY (event, category));
    CREATE TABLE IF NOT EXISTS tickets (
        order_id text PRIMARY KEY, quantity bigint NOT NULL, is_returned boolean NOT NULL DEFAULT false);
    CREATE TABLE IF NOT EXISTS answers (
        id text PRIMARY KEY, event text NOT NULL, category text NOT NULL, version bigint NOT NULL,
        wanted bigint NOT NULL, reached bigint NOT NULL, shortfall bigint NOT NULL);
    CREATE TABLE IF NOT EXISTS offsets (
        partition integer PRIMARY KEY, next bigint NOT NULL)";

/// A message that the reseller sends: a category has so many tickets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockMessage {
    /// `<namespace>.<name>`.
    pub event: String,
    /// The category.
    pub category: String,
    /// Tickets in all.
    pub quantity: u32,
    /// Grows with every change of the category.
    pub version: i64,
}

impl StockMessage {
    /// The same in every repeat.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}/{}/{}", self.event, self.category, self.version)
    }
}

/// What the reseller's books say of a category.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Book {
    /// Tickets that the platform may sell.
    pub capacity: i64,
    /// Tickets that it has sold.
    pub sold: i64,
    /// Number of the last change.
    pub sequence: i64,
    /// Newest version that was answered, with how many tickets could not be taken back.
    pub answered: Option<(i64, i64)>,
}

/// A reseller.
pub struct Reseller {
    pool: PgPool,
    producer: FutureProducer,
    client: ClientConfig,
    stock_topic: String,
    changes_topic: String,
}

impl std::fmt::Debug for Reseller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reseller").finish_non_exhaustive()
    }
}

impl Reseller {
    /// Opens its books in `database_url`, which is its alone. `prefix` stands before the platform's topics.
    pub async fn open(database_url: &str, brokers: &str, prefix: &str) -> Result<Self> {
        let pool = PgPool::connect(database_url)
            .await
            .map_err(database("open its books"))?;
        sqlx::raw_sql(TABLES)
            .execute(&pool)
            .await
            .map_err(database("open its books"))?;
        let mut client = ClientConfig::new();
        client
            .set("bootstrap.servers", brokers)
            .set("group.id", format!("{prefix}reseller"))
            .set("enable.auto.commit", "false")
            .set("allow.auto.create.topics", "false");
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .create()
            .map_err(kafka("make a producer"))?;
        Ok(Self {
            pool,
            producer,
            client,
            stock_topic: format!("{prefix}reseller-stock"),
            changes_topic: format!("{prefix}stock-changes"),
        })
    }

    /// Begins a book: the platform starts with `quantity` tickets.
    pub async fn list(&self, event: &str, category: &str, quantity: u32) -> Result<()> {
        for statement in [
            "INSERT INTO stock (event, category, quantity, version) VALUES ($1, $2, $3, 0)",
            "INSERT INTO book (event, category, capacity) VALUES ($1, $2, $3)",
        ] {
            sqlx::query(statement)
                .bind(event)
                .bind(category)
                .bind(i64::from(quantity))
                .execute(&self.pool)
                .await
                .map_err(database("begin a book"))?;
        }
        Ok(())
    }

    /// Decides that a category has `quantity` tickets now, under the next version. Nobody is told yet.
    pub async fn decide(&self, event: &str, category: &str, quantity: u32) -> Result<StockMessage> {
        let version: i64 = sqlx::query_scalar(
            "UPDATE stock SET quantity = $3, version = version + 1 \
             WHERE event = $1 AND category = $2 RETURNING version",
        )
        .bind(event)
        .bind(category)
        .bind(i64::from(quantity))
        .fetch_one(&self.pool)
        .await
        .map_err(database("change its stock"))?;
        Ok(StockMessage {
            event: event.to_owned(),
            category: category.to_owned(),
            quantity,
            version,
        })
    }

    /// Tells the platform. Whoever tells twice, or late, tells the same.
    pub async fn tell(&self, message: &StockMessage) -> Result<()> {
        let id = message.id();
        let source = format!("/reseller/{}", message.event);
        let headers = [
            ("content-type", "application/json"),
            ("ce_specversion", "1.0"),
            ("ce_id", id.as_str()),
            ("ce_type", TYPE_OUT),
            ("ce_source", source.as_str()),
            ("ce_subject", message.category.as_str()),
        ];
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| {
                all.insert(Header {
                    key,
                    value: Some(*value),
                })
            });
        let data = json!({
            "event": message.event,
            "category": message.category,
            "quantity": message.quantity,
            "version": message.version,
        });
        let (key, data) = (
            format!("{}/{}", message.event, message.category),
            data.to_string(),
        );
        let record = FutureRecord::to(&self.stock_topic)
            .key(&key)
            .payload(&data)
            .headers(headers);
        self.producer
            .send(record, SEND_LIMIT)
            .await
            .map(drop)
            .map_err(|(cause, _)| kafka("tell its stock")(cause))
    }

    /// Decides and tells.
    pub async fn change(&self, event: &str, category: &str, quantity: u32) -> Result<StockMessage> {
        let message = self.decide(event, category, quantity).await?;
        self.tell(&message).await?;
        Ok(message)
    }

    /// Reads what the platform has told since the last time into the books. A message and the place where the next reading
    /// begins are written down together, so a reseller that dies continues where it was.
    ///
    /// # Errors
    /// [`TestkitError::Books`] if a change is missing or its totals are not those of the books.
    pub async fn read(&self) -> Result<()> {
        let known: Vec<(i32, i64)> = sqlx::query_as("SELECT partition, next FROM offsets")
            .fetch_all(&self.pool)
            .await
            .map_err(database("look where it was"))?;
        let known: BTreeMap<i32, i64> = known.into_iter().collect();
        let (client, topic) = (self.client.clone(), self.changes_topic.clone());
        let received = tokio::task::spawn_blocking(move || receive(&client, &topic, &known))
            .await
            .map_err(|_| TestkitError::Cancelled)?
            .map_err(kafka("read changes"))?;
        for message in received {
            self.write_down(&message).await?;
        }
        Ok(())
    }

    /// What the books say of a category; `None` if they know nothing of it.
    pub async fn book(&self, event: &str, category: &str) -> Result<Option<Book>> {
        let row: Option<(i64, i64, i64)> = sqlx::query_as(
            "SELECT capacity, sold, sequence FROM book WHERE event = $1 AND category = $2",
        )
        .bind(event)
        .bind(category)
        .fetch_optional(&self.pool)
        .await
        .map_err(database("look into its books"))?;
        let answered: Option<(i64, i64)> = sqlx::query_as(
            "SELECT version, shortfall FROM answers WHERE event = $1 AND category = $2 \
             ORDER BY version DESC LIMIT 1",
        )
        .bind(event)
        .bind(category)
        .fetch_optional(&self.pool)
        .await
        .map_err(database("look into its answers"))?;
        Ok(row.map(|(capacity, sold, sequence)| Book {
            capacity,
            sold,
            sequence,
            answered,
        }))
    }

    /// Most tickets of a category that one of its messages wanted back and could not get.
    pub async fn shortfall_max(&self, event: &str, category: &str) -> Result<i64> {
        sqlx::query_scalar(
            "SELECT coalesce(max(shortfall), 0) FROM answers WHERE event = $1 AND category = $2",
        )
        .bind(event)
        .bind(category)
        .fetch_one(&self.pool)
        .await
        .map_err(database("look into its answers"))
    }

    async fn write_down(&self, message: &Received) -> Result<()> {
        let failed = || database("write down a change");
        let mut connection = self.pool.acquire().await.map_err(failed())?;
        let mut transaction = connection.begin().await.map_err(failed())?;
        match message.kind.as_str() {
            TYPE_CHANGED => count(&mut transaction, &message.data).await?,
            TYPE_ADJUSTMENT => answer(&mut transaction, &message.id, &message.data).await?,
            other => return Err(books(format!("a message of type {other}"))),
        }
        sqlx::query(
            "INSERT INTO offsets (partition, next) VALUES ($1, $2) \
             ON CONFLICT (partition) DO UPDATE SET next = excluded.next",
        )
        .bind(message.partition)
        .bind(message.offset + 1)
        .execute(&mut *transaction)
        .await
        .map_err(failed())?;
        transaction.commit().await.map_err(failed())
    }
}

#[derive(Deserialize)]
struct Changed {
    event: String,
    category: String,
    change: String,
    quantity: i64,
    order_id: Option<String>,
    totals: Totals,
    sequence: i64,
}

#[derive(Deserialize)]
struct Totals {
    capacity: i64,
    available: i64,
    held: i64,
    sold: i64,
}

#[derive(Deserialize)]
struct Adjustment {
    event: String,
    category: String,
    version: i64,
    wanted: i64,
    reached: i64,
    shortfall: i64,
}

/// Counts a change, if it is the next one.
async fn count(books_of: &mut PgConnection, data: &[u8]) -> Result<()> {
    let failed = || database("count a change");
    let change: Changed =
        serde_json::from_slice(data).map_err(|error| books(format!("a change: {error}")))?;
    let Changed {
        event,
        category,
        quantity,
        sequence,
        ..
    } = &change;
    let row: Option<(i64, i64, i64)> = sqlx::query_as(
        "SELECT capacity, sold, sequence FROM book WHERE event = $1 AND category = $2 FOR UPDATE",
    )
    .bind(event)
    .bind(category)
    .fetch_optional(&mut *books_of)
    .await
    .map_err(failed())?;
    // Somebody else's sale.
    let Some((mut capacity, mut sold, last)) = row else {
        return Ok(());
    };
    if *sequence <= last {
        return Ok(());
    }
    if *sequence != last + 1 {
        return Err(books(format!(
            "change {sequence} of {event}/{category} follows {last}"
        )));
    }
    match (change.change.as_str(), &change.order_id) {
        ("sold", Some(order)) => {
            sold += quantity;
            sqlx::query("INSERT INTO tickets (order_id, quantity) VALUES ($1, $2)")
                .bind(order)
                .bind(quantity)
                .execute(&mut *books_of)
                .await
                .map_err(failed())?;
        }
        ("returned", Some(order)) => {
            sold -= quantity;
            let done = sqlx::query(
                "UPDATE tickets SET is_returned = true \
                 WHERE order_id = $1 AND quantity = $2 AND NOT is_returned",
            )
            .bind(order)
            .bind(quantity)
            .execute(&mut *books_of)
            .await
            .map_err(failed())?;
            if done.rows_affected() != 1 {
                return Err(books(format!(
                    "order {order} gave back what it did not have"
                )));
            }
        }
        ("adjusted", None) => capacity += quantity,
        (what, order) => return Err(books(format!("{what} of order {order:?}"))),
    }
    let Totals {
        available, held, ..
    } = change.totals;
    let is_equal = change.totals.capacity == capacity && change.totals.sold == sold;
    if !is_equal || capacity != available + held + sold || available < 0 || held < 0 {
        return Err(books(format!(
            "after change {sequence} of {event}/{category} the platform has {} of which {available} available, {held} \
             held, {} sold; the books have {capacity} of which {sold} sold",
            change.totals.capacity, change.totals.sold
        )));
    }
    sqlx::query(
        "UPDATE book SET capacity = $3, sold = $4, sequence = $5 WHERE event = $1 AND category = $2",
    )
    .bind(event)
    .bind(category)
    .bind(capacity)
    .bind(sold)
    .bind(sequence)
    .execute(books_of)
    .await
    .map(drop)
    .map_err(failed())
}

/// Writes an answer down once.
async fn answer(books_of: &mut PgConnection, id: &str, data: &[u8]) -> Result<()> {
    let answer: Adjustment =
        serde_json::from_slice(data).map_err(|error| books(format!("an answer: {error}")))?;
    if answer.reached - answer.wanted != answer.shortfall {
        return Err(books(format!("answer {id} does not add up")));
    }
    sqlx::query(
        "INSERT INTO answers (id, event, category, version, wanted, reached, shortfall) \
         VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
    )
    .bind(id)
    .bind(&answer.event)
    .bind(&answer.category)
    .bind(answer.version)
    .bind(answer.wanted)
    .bind(answer.reached)
    .bind(answer.shortfall)
    .execute(books_of)
    .await
    .map(drop)
    .map_err(database("write down an answer"))
}

/// A message as it came.
struct Received {
    partition: i32,
    offset: i64,
    id: String,
    kind: String,
    data: Vec<u8>,
}

/// Blocking: what lies in the topic from `known` on.
fn receive(
    client: &ClientConfig,
    topic: &str,
    known: &BTreeMap<i32, i64>,
) -> std::result::Result<Vec<Received>, KafkaError> {
    let consumer: BaseConsumer = client.create()?;
    let metadata = consumer.fetch_metadata(Some(topic), ASK_LIMIT)?;
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(rdkafka::metadata::MetadataTopic::partitions);
    let mut assigned = TopicPartitionList::new();
    let mut left = BTreeMap::new();
    for partition in partitions.map(rdkafka::metadata::MetadataPartition::id) {
        let (_, end) = consumer.fetch_watermarks(topic, partition, ASK_LIMIT)?;
        let next = known.get(&partition).copied().unwrap_or(0);
        if next < end {
            assigned.add_partition_offset(topic, partition, Offset::Offset(next))?;
            left.insert(partition, end);
        }
    }
    consumer.assign(&assigned)?;
    let mut received = Vec::new();
    while !left.is_empty() {
        let Some(message) = consumer.poll(ASK_LIMIT) else {
            break;
        };
        let message = message?;
        if left.get(&message.partition()) == Some(&(message.offset() + 1)) {
            left.remove(&message.partition());
        }
        received.push(to_received(&message));
    }
    Ok(received)
}

fn to_received(message: &BorrowedMessage<'_>) -> Received {
    let header = |name: &str| {
        let headers = message.headers();
        let mut found = headers.into_iter().flat_map(|headers| headers.iter());
        let value = found.find(|header| header.key == name);
        let value = value.and_then(|header| header.value).unwrap_or_default();
        String::from_utf8_lossy(value).into_owned()
    };
    Received {
        partition: message.partition(),
        offset: message.offset(),
        id: header("ce_id"),
        kind: header("ce_type"),
        data: message.payload().unwrap_or_default().to_vec(),
    }
}

fn database(action: &'static str) -> impl FnOnce(sqlx::Error) -> TestkitError {
    move |cause| TestkitError::Database {
        action: action.to_owned(),
        cause,
    }
}

fn kafka(action: &'static str) -> impl FnOnce(KafkaError) -> TestkitError {
    move |cause| TestkitError::Kafka {
        action: action.to_owned(),
        cause,
    }
}

fn books(found: String) -> TestkitError {
    TestkitError::Books { found }
}
