//! Whose event it is. An event is the ledger's and outlives the resource that asked for it; the oldest living resource
//! owns it.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::{Connection, PgConnection};
use ticket_core::{EventId, EventName};
use uuid::Uuid;

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};
use crate::events;

/// A resource that wants the event of its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventClaim {
    /// The event.
    pub name: EventName,
    /// Uid of the resource.
    pub owner_uid: String,
    /// When the resource was created: the older one wins.
    pub owner_created_at: Timestamp,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Adopted {
    /// The event is the claimant's.
    Owned {
        /// Its identity.
        event: EventId,
        /// It was made by this claim; else it was there, perhaps with stock and orders.
        fresh: bool,
    },
    /// It belongs to an older resource, and stays there.
    Conflict {
        /// Uid of that resource.
        owner: String,
    },
}

impl Ledger {
    /// Claims the event of a name: makes it if there is none, takes it over if nobody owns it or a younger resource does.
    /// The same claim again changes nothing.
    pub async fn adopt_event(&self, claim: &EventClaim) -> Result<Adopted> {
        let failed = |cause| LedgerError::Write {
            what: "the owner of an event",
            cause,
        };
        let mut connection = self.acquire().await?;
        // Whoever owns it already asks at every look: that takes neither the lock of all writers nor a commit.
        let owned: Option<Uuid> = sqlx::query_scalar(
            "SELECT event_id FROM events WHERE namespace = $1 AND name = $2 AND owner_uid = $3",
        )
        .bind(claim.name.namespace())
        .bind(claim.name.name())
        .bind(&claim.owner_uid)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed)?;
        if let Some(event) = owned {
            return Ok(Adopted::Owned {
                event: EventId(event),
                fresh: false,
            });
        }
        let mut transaction = connection.begin().await.map_err(failed)?;
        let adopted = adopt(&mut transaction, claim).await.map_err(failed)?;
        transaction.commit().await.map_err(failed)?;
        Ok(adopted)
    }

    /// The resource gives the event up and the sale is closed; stock and orders stay for whoever adopts the name next.
    /// Nothing happens if the event is somebody else's by now.
    pub async fn release_event(&self, event: EventId, owner_uid: &str) -> Result<()> {
        let failed = |cause| LedgerError::Write {
            what: "the release of an event",
            cause,
        };
        let mut connection = self.acquire().await?;
        let mut transaction = connection.begin().await.map_err(failed)?;
        let change = events::next_change(&mut transaction)
            .await
            .map_err(failed)?;
        sqlx::query(
            "UPDATE events SET owner_uid = NULL, owner_created_at = NULL, is_open = false, \
             is_closed = true, change = $3 WHERE event_id = $1 AND owner_uid = $2",
        )
        .bind(event.0)
        .bind(owner_uid)
        .bind(change)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        transaction.commit().await.map_err(failed)
    }
}

async fn adopt(
    transaction: &mut PgConnection,
    claim: &EventClaim,
) -> std::result::Result<Adopted, sqlx::Error> {
    // One writer of events at a time: it also keeps two claims of a new name apart.
    let change = events::next_change(transaction).await?;
    let EventClaim {
        name,
        owner_uid,
        owner_created_at,
    } = claim;
    let found: Option<(Uuid, Option<String>, Option<jiff_sqlx::Timestamp>)> = sqlx::query_as(
        "SELECT event_id, owner_uid, owner_created_at FROM events \
         WHERE namespace = $1 AND name = $2",
    )
    .bind(name.namespace())
    .bind(name.name())
    .fetch_optional(&mut *transaction)
    .await?;
    let Some((event, uid, created_at)) = found else {
        let event = EventId::random();
        sqlx::query(
            "INSERT INTO events (event_id, namespace, name, owner_uid, owner_created_at, change) \
             VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(event.0)
        .bind(name.namespace())
        .bind(name.name())
        .bind(owner_uid)
        .bind(owner_created_at.to_sqlx())
        .bind(change)
        .execute(&mut *transaction)
        .await?;
        return Ok(Adopted::Owned { event, fresh: true });
    };
    let event = EventId(event);
    if let (Some(uid), Some(created_at)) = (uid, created_at) {
        if uid == *owner_uid {
            return Ok(Adopted::Owned {
                event,
                fresh: false,
            });
        }
        // Equal ages (a resource restored into two clusters) are decided by uid, so that they never take turns.
        if (created_at.to_jiff(), uid.as_str()) <= (*owner_created_at, owner_uid.as_str()) {
            return Ok(Adopted::Conflict { owner: uid });
        }
    }
    sqlx::query(
        "UPDATE events SET owner_uid = $2, owner_created_at = $3, change = $4 WHERE event_id = $1",
    )
    .bind(event.0)
    .bind(owner_uid)
    .bind(owner_created_at.to_sqlx())
    .bind(change)
    .execute(&mut *transaction)
    .await?;
    // The new owner's generations begin anew.
    sqlx::query("UPDATE adjustments SET spec_version = NULL WHERE event_id = $1")
        .bind(event.0)
        .execute(transaction)
        .await?;
    Ok(Adopted::Owned {
        event,
        fresh: false,
    })
}
