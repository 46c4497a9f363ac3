//! A spec becomes typed values, once. After this nobody touches the raw spec. The API server refuses most of what is
//! refused here; it is checked again because an object may be older than its rules.

use jiff::{SignedDuration, Timestamp};

use crate::duration::DurationText;
use crate::event::{
    ADMISSION_PER_SECOND_MAX, AMOUNT_MINOR_MAX, CATEGORIES_MAX, Category, DeletionPolicy,
    EventSpec, Isolation, MAX_PER_BUYER_MAX, NAME_CHARS_MAX, PARTITIONS_MAX, QUANTITY_MAX,
    SHARDS_MAX, SHARDS_PER_CATEGORY_MAX, Sales, StockSource, TITLE_CHARS_MAX, TicketEvent,
};

const HOLD_FOR_MAX: SignedDuration = SignedDuration::from_hours(24);
const PROCESSING_FOR_MAX: SignedDuration = SignedDuration::from_hours(720);
const RETENTION_MIN: SignedDuration = SignedDuration::from_hours(1);
const REPLICATION_FACTOR_MAX: i32 = 15;

/// A field breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {rule}")]
pub struct Invalid {
    /// Path in the object: `spec.sales.closesAt`.
    pub field: String,
    /// The rule, for people.
    pub rule: String,
}

fn invalid(field: impl Into<String>, rule: impl Into<String>) -> Invalid {
    Invalid {
        field: field.into(),
        rule: rule.into(),
    }
}

/// A spec with typed values, every rule kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedEvent {
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// What buyers read.
    pub title: String,
    /// From when on orders are taken.
    pub opens_at: Timestamp,
    /// Until when orders are taken; later than `opens_at`.
    pub closes_at: Timestamp,
    /// Whether the sale is held.
    pub is_paused: bool,
    /// How long a buyer has to pay.
    pub hold_for: SignedDuration,
    /// How long a slow payment keeps its units; not below `hold_for`.
    pub processing_for: SignedDuration,
    /// Tickets of one buyer, at least 1.
    pub max_per_buyer: u32,
    /// Reservations per second, 0 = no limit.
    pub admission_per_second: u32,
    /// In the order of the spec, names differ, at least one.
    pub categories: Vec<ValidatedCategory>,
    /// Partitions of the order log, if the spec says so.
    pub partitions: Option<u32>,
    /// Copies of a partition, if the spec says so.
    pub replication_factor: Option<u32>,
    /// How long the log keeps what was decided.
    pub retention: SignedDuration,
    /// Where stock shards live.
    pub isolation: Isolation,
    /// Who says how many tickets there are.
    pub stock_source: StockSource,
    /// What deleting the resource does.
    pub deletion_policy: DeletionPolicy,
}

/// A category with typed values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidatedCategory {
    /// Its name.
    pub name: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Price of one ticket in minor units.
    pub amount_minor: i64,
    /// Tickets in all.
    pub quantity: u32,
    /// Stock shards that were asked for, at least 1.
    pub stock_shards: u16,
}

/// Checks every rule and returns typed values.
///
/// # Errors
/// [`Invalid`] names the first field that breaks a rule, and the rule.
pub fn validate(event: &TicketEvent) -> Result<ValidatedEvent, Invalid> {
    let metadata = |value: &Option<String>, field: &str| {
        value
            .clone()
            .filter(|v| !v.is_empty())
            .ok_or_else(|| invalid(field, "is missing"))
    };
    let namespace = metadata(&event.metadata.namespace, "metadata.namespace")?;
    let name = metadata(&event.metadata.name, "metadata.name")?;
    if name.len() > NAME_CHARS_MAX {
        return Err(invalid("metadata.name", "may have at most 63 characters"));
    }

    let EventSpec {
        title,
        sales,
        categories,
        queue,
        placement,
        stock_source,
        deletion_policy,
    } = &event.spec;
    let title_chars = title.chars().count();
    if title_chars == 0 || title_chars > TITLE_CHARS_MAX {
        return Err(invalid("spec.title", "must have 1 to 200 characters"));
    }
    let retention = duration(&queue.retention, "spec.queue.retention")?;
    if retention < RETENTION_MIN {
        return Err(invalid("spec.queue.retention", "must be at least 1h"));
    }
    let Sales {
        opens_at,
        closes_at,
        paused,
        hold_for,
        processing_for,
        max_per_buyer,
        admission_per_second,
    } = sales;
    let (hold_for, processing_for) = holds(hold_for, processing_for)?;
    if closes_at <= opens_at {
        return Err(invalid("spec.sales.closesAt", "must be later than opensAt"));
    }

    Ok(ValidatedEvent {
        namespace,
        name,
        title: title.clone(),
        opens_at: *opens_at,
        closes_at: *closes_at,
        is_paused: *paused,
        hold_for,
        processing_for,
        max_per_buyer: within(
            *max_per_buyer,
            1,
            MAX_PER_BUYER_MAX,
            "spec.sales.maxPerBuyer",
        )?,
        admission_per_second: within(
            *admission_per_second,
            0,
            ADMISSION_PER_SECOND_MAX,
            "spec.sales.admissionPerSecond",
        )?,
        categories: validate_categories(categories)?,
        partitions: queue
            .partitions
            .map(|n| within(n, 1, PARTITIONS_MAX, "spec.queue.partitions"))
            .transpose()?,
        replication_factor: queue
            .replication_factor
            .map(|n| within(n, 1, REPLICATION_FACTOR_MAX, "spec.queue.replicationFactor"))
            .transpose()?,
        retention,
        isolation: placement.isolation,
        stock_source: *stock_source,
        deletion_policy: *deletion_policy,
    })
}

fn holds(
    hold_for: &DurationText,
    processing_for: &DurationText,
) -> Result<(SignedDuration, SignedDuration), Invalid> {
    let hold_for = duration(hold_for, "spec.sales.holdFor")?;
    if hold_for > HOLD_FOR_MAX {
        return Err(invalid("spec.sales.holdFor", "may be at most 24h"));
    }
    let processing_for = duration(processing_for, "spec.sales.processingFor")?;
    if processing_for < hold_for || processing_for > PROCESSING_FOR_MAX {
        return Err(invalid(
            "spec.sales.processingFor",
            "must be from holdFor to 720h",
        ));
    }
    Ok((hold_for, processing_for))
}

fn validate_categories(categories: &[Category]) -> Result<Vec<ValidatedCategory>, Invalid> {
    if categories.is_empty() || categories.len() > CATEGORIES_MAX {
        return Err(invalid("spec.categories", "must have 1 to 32 entries"));
    }
    let mut validated: Vec<ValidatedCategory> = Vec::with_capacity(categories.len());
    for (at, category) in categories.iter().enumerate() {
        let field = |name: &str| format!("spec.categories[{at}].{name}");
        if !is_category_name(&category.name) {
            return Err(invalid(
                field("name"),
                "must be 1 to 40 of a-z, 0-9 and -, with no - at the ends",
            ));
        }
        if validated.iter().any(|other| other.name == category.name) {
            return Err(invalid(field("name"), "stands twice in the list"));
        }
        let currency = &category.price.currency;
        if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(invalid(
                field("price.currency"),
                "must be three upper-case letters",
            ));
        }
        let amount_minor = category.price.amount_minor;
        if !(1..=AMOUNT_MINOR_MAX).contains(&amount_minor) {
            return Err(invalid(
                field("price.amountMinor"),
                "must be from 1 to 999999999999",
            ));
        }
        let quantity = u32::try_from(category.quantity)
            .ok()
            .filter(|q| i64::from(*q) <= QUANTITY_MAX)
            .ok_or_else(|| invalid(field("quantity"), "must be from 0 to 10000000"))?;
        let stock_shards = u16::try_from(category.stock_shards)
            .ok()
            .filter(|n| *n >= 1 && i32::from(*n) <= SHARDS_PER_CATEGORY_MAX)
            .ok_or_else(|| invalid(field("stockShards"), "must be from 1 to 256"))?;
        validated.push(ValidatedCategory {
            name: category.name.clone(),
            currency: currency.clone(),
            amount_minor,
            quantity,
            stock_shards,
        });
    }
    let shards: i32 = validated.iter().map(|c| i32::from(c.stock_shards)).sum();
    if shards > SHARDS_MAX {
        return Err(invalid(
            "spec.categories",
            "may have at most 512 stock shards together",
        ));
    }
    Ok(validated)
}

fn is_category_name(name: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=40).contains(&name.len())
        && name.bytes().all(is_allowed)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

fn duration(text: &DurationText, field: &str) -> Result<SignedDuration, Invalid> {
    text.parse().map_err(|err| invalid(field, err.to_string()))
}

fn within(value: i32, min: i32, max: i32, field: &str) -> Result<u32, Invalid> {
    u32::try_from(value)
        .ok()
        .filter(|_| (min..=max).contains(&value))
        .ok_or_else(|| invalid(field, format!("must be from {min} to {max}")))
}
