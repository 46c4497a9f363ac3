//! `GET /admin/v1/events/{event}/warmup` and what follows it: who refills the stock store, and who holds the sale.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Warm-up of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WarmupView {
    /// `<namespace>.<name>`.
    pub event: String,
    /// Epoch of the ledger.
    pub epoch: i64,
    /// Epoch that the stock store is armed with; absent while it is warming up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub armed_epoch: Option<i64>,
    /// Absent when nobody holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<LockView>,
    /// Newest first, bounded.
    #[serde(default)]
    pub history: Vec<WarmupRun>,
}

/// The warm-up lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockView {
    /// Who holds it.
    pub holder: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub acquired_at: Timestamp,
    /// When it ends unless it is extended.
    pub expires_at: Timestamp,
}

/// A warm-up that was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct WarmupRun {
    /// Its epoch.
    pub epoch: i64,
    /// Who ran it.
    pub holder: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// `armed` (only then the store sells with this epoch), `fenced`, `failed`, `expired`, `broken`, `released` (of a hold),
    /// `missed` (the store missed decisions, so that a warm-up follows); absent while it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
}

/// Body of `POST /admin/v1/events/{event}/warmup/run` and `.../lock`; may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LockRequest {
    /// Why, for people: at most 200 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(max_length = 200))]
    pub reason: Option<String>,
}

/// Body of `POST /admin/v1/events/{event}/warmup/unlock`; may be left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct UnlockRequest {
    /// Breaks the lock, whoever holds it.
    #[serde(default)]
    pub force: bool,
    /// `<namespace>.<name>` once more: refused if it is another event than the path's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirm: Option<String>,
}
