//! Names of things: events, orders, stock shards, epochs. Two numbers with different meaning are two types.
//! It knows how an id is spelled and derived. It does not know who stores it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Largest stock shard id plus one: 2^53, because Redis scripts know numbers as doubles only.
/// Measured: 9007199254740993 came back as ..992.
pub const STOCK_SHARD_ID_END: i64 = 1 << 53;

/// Longest buyer id, bytes. The id is stored with every order.
pub const BUYER_ID_BYTES_MAX: usize = 255;

/// Longest `Idempotency-Key`, bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 255;

/// Longest category name, bytes.
pub const CATEGORY_NAME_BYTES_MAX: usize = 40;

/// Longest event name in one namespace, bytes: the topic name holds namespace and event name.
pub const EVENT_NAME_BYTES_MAX: usize = 63;

/// Why a text or number is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} is not valid: {why}")]
pub struct InvalidId {
    /// What was read, in the words of the interface: `order id`, `category` ...
    pub what: &'static str,
    /// The rule that it breaks.
    pub why: &'static str,
}

const fn invalid(what: &'static str, why: &'static str) -> InvalidId {
    InvalidId { what, why }
}

/// Identity of a sale. Made by the ledger (random, version 4: the first eight hex digits name the topic, so they must
/// differ between two sales of one name) and survives the Kubernetes resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(pub Uuid);

impl EventId {
    /// A new identity for a new sale.
    #[must_use]
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The first eight hex digits, part of the topic's name.
    #[must_use]
    pub fn short(&self) -> String {
        let (head, ..) = self.0.as_fields();
        format!("{head:08x}")
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// An event by name: `<namespace>.<name>` in URLs, CloudEvents and metrics.
/// A namespace is a DNS label and has no dot, so the first dot divides.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EventName {
    namespace: String,
    name: String,
}

impl EventName {
    /// # Errors
    /// [`InvalidId`] if one of the two is empty, too long, or has characters that Kubernetes does not allow.
    pub fn new(namespace: &str, name: &str) -> Result<Self, InvalidId> {
        let label = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if namespace.is_empty() || namespace.len() > 63 || !namespace.chars().all(label) {
            return Err(invalid("event", "the namespace is not a DNS label"));
        }
        if name.is_empty()
            || name.len() > EVENT_NAME_BYTES_MAX
            || !name.chars().all(|c| label(c) || c == '.')
        {
            return Err(invalid(
                "event",
                "the name is not a DNS name of at most 63 characters",
            ));
        }
        Ok(Self {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
        })
    }

    /// The Kubernetes namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The name in its namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.namespace, self.name)
    }
}

impl FromStr for EventName {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let (namespace, name) = text
            .split_once('.')
            .ok_or(invalid("event", "expected <namespace>.<name>"))?;
        Self::new(namespace, name)
    }
}

impl TryFrom<String> for EventName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<EventName> for String {
    fn from(event: EventName) -> Self {
        event.to_string()
    }
}

/// Name of a category in its event: a lower-case DNS label of at most 40 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CategoryName(String);

impl CategoryName {
    /// # Errors
    /// [`InvalidId`] if it is empty, longer than 40 bytes, or not made of `a-z 0-9 -`.
    pub fn new(name: &str) -> Result<Self, InvalidId> {
        if name.is_empty() || name.len() > CATEGORY_NAME_BYTES_MAX {
            return Err(invalid("category", "expected 1 to 40 characters"));
        }
        if !name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        {
            return Err(invalid("category", "expected characters a-z, 0-9 and -"));
        }
        Ok(Self(name.to_owned()))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CategoryName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for CategoryName {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::new(&text)
    }
}

impl From<CategoryName> for String {
    fn from(category: CategoryName) -> Self {
        category.0
    }
}

/// A part of a category's stock with its own counter. Opaque; `1 <= id < 2^53`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "i64", into = "i64")]
pub struct StockShardId(i64);

impl StockShardId {
    /// # Errors
    /// [`InvalidId`] outside of `1 ..= 2^53 - 1`.
    pub const fn new(id: i64) -> Result<Self, InvalidId> {
        if id < 1 || id >= STOCK_SHARD_ID_END {
            return Err(invalid("stock shard id", "expected 1 <= id < 2^53"));
        }
        Ok(Self(id))
    }

    /// As a number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }
}

impl fmt::Display for StockShardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl TryFrom<i64> for StockShardId {
    type Error = InvalidId;

    fn try_from(id: i64) -> Result<Self, InvalidId> {
        Self::new(id)
    }
}

impl From<StockShardId> for i64 {
    fn from(id: StockShardId) -> Self {
        id.0
    }
}

/// Number of a warm-up of an event. Comes from the ledger, only grows, fences everything older. The first seed is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub i64);

impl Epoch {
    /// The epoch that a new event's rows are born with.
    pub const FIRST: Self = Self(1);
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Number of an adjustment of a category's stock. Comes from the ledger and only grows: a stock shard that has met it
/// drops it and everything older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Adjustment(pub i64);

impl Adjustment {
    /// What a stock shard is born with: nobody has adjusted it.
    pub const NONE: Self = Self(0);
}

impl fmt::Display for Adjustment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Who buys: the `sub` of the buyer's token. 1 to 255 bytes, no control characters; `|` is allowed, because identity
/// providers use it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuyerId(String);

impl BuyerId {
    /// # Errors
    /// [`InvalidId`] if it is empty, longer than 255 bytes, or has control characters.
    pub fn new(id: impl Into<String>) -> Result<Self, InvalidId> {
        let id = id.into();
        if id.is_empty() || id.len() > BUYER_ID_BYTES_MAX {
            return Err(invalid("buyer", "expected 1 to 255 bytes"));
        }
        if id.chars().any(char::is_control) {
            return Err(invalid("buyer", "control characters are not allowed"));
        }
        Ok(Self(id))
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BuyerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for BuyerId {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        Self::new(text)
    }
}

impl From<BuyerId> for String {
    fn from(buyer: BuyerId) -> Self {
        buyer.0
    }
}

/// Bytes of the event's id that an order's id begins with.
const EVENT_PREFIX_BYTES: usize = 4;

/// What an order is called inside the platform: a function of event, buyer and `Idempotency-Key`, so that the same
/// request is the same order on every server and for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub Uuid);

impl OrderId {
    /// UUID version 8 (RFC 9562, section 5.8): the event's first four bytes, then SHA-256 of `event id (16 bytes) ||
    /// length of buyer (4 bytes, big endian) || buyer || key`; the length keeps `("ab", "c")` and `("a", "bc")` apart.
    ///
    /// Because the orders of an event begin alike, they lie together in the ledger's index of order ids: what a sale
    /// writes stays in memory however many orders of other sales there are, and the orders of an event are one range.
    /// The 90 bits of hash that are left keep the orders of one event apart.
    #[must_use]
    pub fn derive(event: EventId, buyer: &BuyerId, idempotency_key: &str) -> Self {
        use sha2::{Digest, Sha256};

        let buyer = buyer.as_str().as_bytes();
        let buyer_bytes = u32::try_from(buyer.len()).unwrap_or(u32::MAX);
        let digest = Sha256::new()
            .chain_update(event.0.as_bytes())
            .chain_update(buyer_bytes.to_be_bytes())
            .chain_update(buyer)
            .chain_update(idempotency_key.as_bytes())
            .finalize();
        let mut id = [0_u8; 16];
        let (head, tail) = id.split_at_mut(EVENT_PREFIX_BYTES);
        head.copy_from_slice(&event.0.as_bytes()[..EVENT_PREFIX_BYTES]);
        tail.copy_from_slice(&digest[..16 - EVENT_PREFIX_BYTES]);
        Self(Uuid::new_v8(id))
    }

    /// Smallest and largest id that an order of `event` can have.
    #[must_use]
    pub fn range_of(event: EventId) -> (Self, Self) {
        let end = |fill: u8| {
            let mut id = [fill; 16];
            id[..EVENT_PREFIX_BYTES].copy_from_slice(&event.0.as_bytes()[..EVENT_PREFIX_BYTES]);
            Self(Uuid::from_bytes(id))
        };
        (end(0), end(0xff))
    }

    /// Does the id lie in the range of `event`? Two events may share a range: it says no for certain, yes not quite.
    #[must_use]
    pub fn may_be_of(self, event: EventId) -> bool {
        self.0.as_bytes()[..EVENT_PREFIX_BYTES] == event.0.as_bytes()[..EVENT_PREFIX_BYTES]
    }
}

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

const ORDER_REF_PREFIX: &str = "ord_";
/// 16 bytes of order id and 7 bytes of stock shard id (53 bits fit in 56).
const ORDER_REF_BYTES: usize = 23;

/// What a buyer, the provider and every outside message call an order: order id and stock shard in one word, so that
/// reading an order is one look-up by primary key on one node. Text: `ord_` and 46 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OrderRef {
    /// The order.
    pub order: OrderId,
    /// Where it lives.
    pub shard: StockShardId,
}

impl fmt::Display for OrderRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // 56 bits are 14 hex digits.
        write!(
            f,
            "{ORDER_REF_PREFIX}{}{:014x}",
            self.order.0.as_simple(),
            self.shard.get()
        )
    }
}

impl FromStr for OrderRef {
    type Err = InvalidId;

    fn from_str(text: &str) -> Result<Self, InvalidId> {
        let wrong = invalid("order id", "expected ord_ and 46 lower-case hex digits");
        let digits = text
            .strip_prefix(ORDER_REF_PREFIX)
            .ok_or_else(|| wrong.clone())?;
        let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if digits.len() != ORDER_REF_BYTES * 2 || !digits.bytes().all(is_hex) {
            return Err(wrong);
        }
        let (order, shard) = digits.split_at(32);
        let order = u128::from_str_radix(order, 16).map_err(|_| wrong.clone())?;
        let shard = i64::from_str_radix(shard, 16).map_err(|_| wrong.clone())?;
        Ok(Self {
            order: OrderId(Uuid::from_u128(order)),
            shard: StockShardId::new(shard).map_err(|_| wrong)?,
        })
    }
}

impl TryFrom<String> for OrderRef {
    type Error = InvalidId;

    fn try_from(text: String) -> Result<Self, InvalidId> {
        text.parse()
    }
}

impl From<OrderRef> for String {
    fn from(order: OrderRef) -> Self {
        order.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_request_is_the_same_order_and_no_other() {
        let event = EventId(Uuid::from_u128(7));
        let buyer = |text: &str| BuyerId::new(text).unwrap();
        let id = OrderId::derive(event, &buyer("ab"), "c");
        assert_eq!(id, OrderId::derive(event, &buyer("ab"), "c"));
        assert_ne!(id, OrderId::derive(event, &buyer("a"), "bc"));
        assert_ne!(id, OrderId::derive(event, &buyer("ab"), "d"));
        assert_ne!(
            id,
            OrderId::derive(EventId(Uuid::from_u128(8)), &buyer("ab"), "c")
        );
    }

    #[test]
    fn the_orders_of_an_event_are_one_range_and_no_other_event_has_it() {
        let (event, other) = (EventId::random(), EventId::random());
        let (first, last) = OrderId::range_of(event);
        for number in 0..100 {
            let buyer = BuyerId::new(format!("buyer {number}")).unwrap();
            let order = OrderId::derive(event, &buyer, "key");
            assert!((first..=last).contains(&order) && order.may_be_of(event));
            assert!(!OrderId::derive(other, &buyer, "key").may_be_of(event));
        }
    }

    #[test]
    fn an_order_reference_reads_back_and_refuses_everything_else() {
        let reference = OrderRef {
            order: OrderId(Uuid::from_u128(0x1234)),
            shard: StockShardId::new(STOCK_SHARD_ID_END - 1).unwrap(),
        };
        assert_eq!(reference.to_string().parse(), Ok(reference));
        for text in ["", "ord_", "ord_zz", &reference.to_string().to_uppercase()] {
            assert!(text.parse::<OrderRef>().is_err(), "{text}");
        }
        let zero_shard = format!("ord_{}{:014x}", "0".repeat(32), 0);
        assert!(zero_shard.parse::<OrderRef>().is_err());
        let sign = format!("ord_{}+{:013x}", "0".repeat(32), 1);
        assert!(sign.parse::<OrderRef>().is_err());
    }

    #[test]
    fn an_event_name_divides_at_the_first_dot() {
        let event: EventName = "default.coldplay.jakarta".parse().unwrap();
        assert_eq!(
            (event.namespace(), event.name()),
            ("default", "coldplay.jakarta")
        );
        for text in ["default", ".x", "default.", "De.x", "a/b.c"] {
            assert!(text.parse::<EventName>().is_err(), "{text}");
        }
    }
}
