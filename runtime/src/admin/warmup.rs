//! `GET /admin/v1/events/{event}/warmup`: with which epoch an event is sold.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use ticket_admin::WarmupView;

use super::Admin;
use super::document::LookProblems;
use crate::path::PathPart;
use crate::problem::Problem;

/// Nothing takes the warm-up lock yet, so that nobody holds it and there is no history.
#[utoipa::path(get, path = "/admin/v1/events/{event}/warmup", tag = "warmup", operation_id = "getWarmup",
    summary = "The warm-up lock and the epochs of an event",
    params(("event" = String, Path, description = "`<namespace>.<name>`.")), security(("manager" = [])),
    responses((status = 200, description = "How it stands.", body = WarmupView), LookProblems))]
pub(super) async fn get(
    State(admin): State<Arc<Admin>>,
    PathPart(event): PathPart,
) -> Result<Json<WarmupView>, Problem> {
    let event = admin.event(&event).await?;
    let armed = admin.parts.stock.state(event.id()).await;
    let armed = armed.map_err(|_| Problem::unavailable("the stock store"))?;
    Ok(Json(WarmupView {
        event: event.name().to_string(),
        epoch: event.epoch().0,
        armed_epoch: armed.map(|epoch| epoch.0),
        lock: None,
        history: Vec::new(),
    }))
}
