//! Whose turn it is to be audited, and what the last audit of each event found. What is audited, and how, is not known here.

use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::Timestamp as SqlTimestamp;
use ticket_core::EventId;
use uuid::Uuid;

use crate::connect::Ledger;
use crate::error::{LedgerError, Result};

/// What the last audit of an event found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audited {
    /// When it ended.
    pub at: Timestamp,
    /// Names of the checks that did not hold, in their order; empty if the books are in order.
    pub failed_checks: Vec<String>,
}

impl Ledger {
    /// Takes the event whose turn it is, for `lasts`: on sale, and not audited for `every`; the one that has waited longest.
    /// `None` if it is nobody's turn, or if somebody is auditing: an audit reads everything of an event, so there is one at
    /// a time, whatever the number of processes.
    pub async fn take_audit(
        &self,
        holder: &str,
        every: Duration,
        lasts: Duration,
    ) -> Result<Option<EventId>> {
        let mut connection = self.acquire().await?;
        // A turn that was taken and never noted counts too: an event whose audit always dies must not keep the others waiting.
        // Of two that ask at the same moment both find the same event, and the second one meets the lease of the first.
        let taken: Option<Uuid> = sqlx::query_scalar(
            "INSERT INTO audits AS a (event_id, holder, leased_until) \
             SELECT e.event_id, $1, clock_timestamp() + make_interval(secs => $3) \
             FROM events e LEFT JOIN audits last ON last.event_id = e.event_id \
             WHERE e.opens_at IS NOT NULL AND e.is_open AND NOT e.is_closed \
               AND coalesce(greatest(last.audited_at, last.leased_until), '-infinity') \
                 <= clock_timestamp() - make_interval(secs => $2) \
               AND NOT EXISTS (SELECT FROM audits other WHERE other.leased_until > clock_timestamp()) \
             ORDER BY greatest(last.audited_at, last.leased_until) NULLS FIRST, e.event_id LIMIT 1 \
             ON CONFLICT (event_id) DO UPDATE SET holder = excluded.holder, leased_until = excluded.leased_until \
             WHERE a.leased_until IS NULL OR a.leased_until <= clock_timestamp() \
             RETURNING event_id",
        )
        .bind(holder)
        .bind(every.as_secs_f64())
        .bind(lasts.as_secs_f64())
        .fetch_optional(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Write {
            what: "whose audit it is",
            cause,
        })?;
        Ok(taken.map(EventId))
    }

    /// Notes what an audit found, and gives the turn back if it was `holder`'s. Somebody who asked for an audit by hand holds
    /// none, and is noted all the same. An event that is gone is no error.
    pub async fn note_audit(
        &self,
        event: EventId,
        holder: &str,
        failed_checks: &[String],
    ) -> Result<()> {
        let mut connection = self.acquire().await?;
        sqlx::query(
            "INSERT INTO audits AS a (event_id, audited_at, failed_checks) \
             SELECT event_id, clock_timestamp(), $3 FROM events WHERE event_id = $1 \
             ON CONFLICT (event_id) DO UPDATE SET \
               audited_at = excluded.audited_at, failed_checks = excluded.failed_checks, \
               leased_until = CASE WHEN a.holder = $2 THEN NULL ELSE a.leased_until END",
        )
        .bind(event.0)
        .bind(holder)
        .bind(failed_checks)
        .execute(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Write {
            what: "what an audit found",
            cause,
        })?;
        Ok(())
    }

    /// What the last audit of an event found; `None` before the first.
    pub async fn last_audit(&self, event: EventId) -> Result<Option<Audited>> {
        let mut connection = self.acquire().await?;
        let row: Option<(SqlTimestamp, Vec<String>)> = sqlx::query_as(
            "SELECT audited_at, failed_checks FROM audits \
             WHERE event_id = $1 AND audited_at IS NOT NULL",
        )
        .bind(event.0)
        .fetch_optional(&mut *connection)
        .await
        .map_err(|cause| LedgerError::Read {
            what: "what an audit found",
            cause,
        })?;
        let audited = |(at, failed_checks): (SqlTimestamp, _)| Audited {
            at: at.to_jiff(),
            failed_checks,
        };
        Ok(row.map(audited))
    }
}
